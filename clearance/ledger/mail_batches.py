"""How a batch comes to be owed: its row, and one obligation for each time that it is to be posted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, bindparam, select

from clearance.ledger.insert_new import insert_new
from clearance.ledger.mail_tables import mail_batches
from clearance.mail_states import BatchState
from clearance.obligations import Lane, Obligation, ObligationId

POST = "clearance.mail.post"
_ID = "mail.post:"
# Paper has no deadline; an obligation has one.
_POST_WITHIN = timedelta(days=3_650)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch that was not there before. `parent_id`: the batch of which it is a part."""

    batch_id: str
    automation_id: str
    is_dry_run: bool
    state: BatchState
    recipients: int
    created_at: datetime
    due_at: datetime
    trace_id: str
    parent_id: str | None = None


def obligation_id(batch_id: str, turn: int = 1) -> ObligationId:
    """The id under which it is owed; a batch that a person lets post again is owed anew."""
    return ObligationId(f"{_ID}{batch_id}" + (f":{turn}" if turn > 1 else ""))


def batch_id_of(owed_as: ObligationId) -> str:
    """Which batch it is about; empty for an obligation of another kind."""
    return owed_as.removeprefix(_ID).split(":")[0] if owed_as.startswith(_ID) else ""


def owed(batch_id: str, *, now: datetime, due_at: datetime, trace_id: str, turn: int = 1) -> Obligation:
    """To post a batch from `due_at` on."""
    return Obligation(
        obligation_id=obligation_id(batch_id, turn),
        lane=Lane.MAIL,
        task=POST,
        subject=batch_id,
        created_at=now,
        run_at=due_at,
        deadline_at=now + _POST_WITHIN,
        publish_at=due_at,
        trace_id=trace_id,
    )


def add_many(connection: Connection, batches: Sequence[NewBatch]) -> int:
    """Add rows, not what is owed for them; how many: one that would be a second gathering one is not added."""
    if not batches:
        return 0
    return connection.execute(_INSERT, [_EMPTY | _row(batch) for batch in batches]).rowcount


def locked(connection: Connection, batch_ids: Sequence[str]) -> dict[str, Row[tuple[object, ...]]]:
    """The rows of these batches, which nobody else changes until the transaction ends.

    Whoever changes a batch locks it before its obligation: two of them wait in turn, not in a ring.
    """
    rows = connection.execute(_LOCK, {"ids": sorted(set(batch_ids))})
    return {row.id: row for row in rows}


def _row(batch: NewBatch) -> dict[str, object]:
    return {
        "id": batch.batch_id,
        "automation_id": batch.automation_id,
        "is_dry_run": batch.is_dry_run,
        "state": batch.state,
        "recipients": batch.recipients,
        "created_at": batch.created_at,
        "due_at": batch.due_at,
        "parent_id": batch.parent_id,
        "trace_id": batch.trace_id,
    }


_EMPTY: dict[str, object] = dict.fromkeys(mail_batches.columns.keys()) | {
    "posts": 0,
    "posted": 0,
    "failed": 0,
}
_INSERT = insert_new(mail_batches)
_LOCK = (
    select(mail_batches)
    .where(mail_batches.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(mail_batches.c.id)
    .with_for_update()
)
