"""What a worker takes from the ledger to post: the batch whose turn it is, marked as being posted before it is sent.

Without those letters whose address was suppressed since they came: what becomes of them is in `mail_withheld`.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Boolean, Connection, Row, and_, bindparam, exists, func, or_, select, update

from clearance.ledger import address_suppressions as suppressions
from clearance.ledger import mail_batches, obligations
from clearance.ledger.mail_tables import WAITING_BATCH, address_suppressions, mail_recipients, mail_turns
from clearance.ledger.mail_tables import mail_batches as table
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.ledger.tables import obligations as owed
from clearance.mail_states import BatchState
from clearance.obligations import Claimed, Done, Lane, ObligationId, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One letter of a batch. `payload` is what Optilyz gets; `may_be_suppressed`: its address is, for somebody."""

    recipient_id: str
    position: int
    payload: bytes
    customer_ids: Mapping[str, str]
    campaign: str | None
    address_key: str
    may_be_suppressed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchToPost:
    """A batch that this worker holds.

    Attributes:
        letters: What is posted; of an abandoned batch all that may have been.
        withheld: What is not posted after all: its address is suppressed for its customer.
        posts: How often it was begun to be posted, this time included.
        was_abandoned: Another worker had begun to post it and disappeared: it may have been posted.
    """

    claimed: Claimed
    batch_id: str
    automation_id: str
    is_dry_run: bool
    letters: tuple[Letter, ...]
    withheld: tuple[Letter, ...]
    posts: int
    was_abandoned: bool
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRequest:
    """A worker's wish to post a batch, with the token of its slot."""

    claim: ClaimRequest
    fence: int


def next_due(connection: Connection, now: datetime, *, only_rehearsals: bool = False) -> ObligationId | None:
    """Which batch to post next: of the automation whose turn is longest ago, what has been due for longest.

    A batch whose worker disappeared while it posted comes when the lease of its obligation has run out. With
    `only_rehearsals` all the others wait: such a one is held, and nothing else is begun that would be posted.
    """
    waiting = connection.execute(_SELECT_WAITING, {"now": now, "only_rehearsals": only_rehearsals}).all()
    posting = connection.execute(_SELECT_POSTING).all()
    candidates = sorted((row.posted_at, row.automation_id, row.id) for row in (*waiting, *posting) if row.id)
    owed_as = {
        row.subject: ObligationId(row.id)
        for row in connection.execute(_SELECT_OWED, {"now": now, "batches": [each[2] for each in candidates]})
    }
    return next((owed_as[batch_id] for *_, batch_id in candidates if batch_id in owed_as), None)


def begin_many(connection: Connection, requests: Sequence[BeginRequest]) -> list[BatchToPost | None]:
    """Hold batches and mark them as being posted; None for one that cannot be held.

    Committed before anything is sent: whatever happens after it, the ledger knows that a letter may be on its way.
    """
    batch_ids = [mail_batches.batch_id_of(request.claim.obligation_id) for request in requests]
    batches = mail_batches.locked(connection, batch_ids)
    claims = obligations.claim_many(connection, [request.claim for request in requests])
    begun: dict[str, BeginRequest] = {}
    abandoned: set[str] = set()
    orphans: list[Finish] = []
    for request, claimed in zip(requests, claims, strict=True):
        if claimed is None:
            continue
        state = batches[claimed.subject].state
        if state in _MAY_BEGIN:
            begun[claimed.subject] = request
        elif state == BatchState.POSTING:
            abandoned.add(claimed.subject)
        else:
            # Settled without its obligation: nothing is owed any more.
            orphans.append(Finish(claimed=claimed, outcome=Done(), now=request.claim.now))
    _begin(connection, begun, batches)
    if orphans:
        obligations.finish_many(connection, orphans)
    by_batch = letters(connection, [*begun, *abandoned])
    suppressed = suppressions.suppressed(
        connection, [each for batch_id in begun for each in by_batch[batch_id] if each.may_be_suppressed]
    )
    return [
        _to_post(claimed, batches[claimed.subject], by_batch[claimed.subject], suppressed)
        if claimed and claimed.subject in by_batch
        else None
        for claimed in claims
    ]


def letters(connection: Connection, batch_ids: Sequence[str]) -> dict[str, list[Letter]]:
    """The letters of each batch, in order."""
    found: dict[str, list[Letter]] = {batch_id: [] for batch_id in batch_ids}
    for row in connection.execute(_SELECT_LETTERS, {"batches": list(batch_ids)}):
        found[row.batch_id].append(
            Letter(
                recipient_id=row.id,
                position=row.position,
                payload=row.payload,
                customer_ids=orjson.loads(row.customer_ids),
                campaign=row.campaign,
                address_key=row.address_key,
                may_be_suppressed=bool(row.may_be_suppressed),
            )
        )
    return found


def posting_until(connection: Connection, now: datetime, hard_timeout: timedelta) -> datetime | None:
    """When the last request that may be in flight is over; None when there is none.

    Asked by who finds no slots in Redis: after it was wiped, the ledger alone knows. What is held counts as well: its
    worker is gone, but Optilyz may still be at its request.
    """
    sent_at: datetime | None = connection.execute(_SELECT_LAST_SENT).scalar()
    if sent_at is None or sent_at + hard_timeout <= now:
        return None
    return sent_at + hard_timeout


def _begin(
    connection: Connection, begun: Mapping[str, BeginRequest], batches: Mapping[str, Row[Any]]
) -> None:
    if not begun:
        return
    rows = [
        {"the_id": batch_id, "now": request.claim.now, "token": request.fence}
        for batch_id, request in sorted(begun.items())
    ]
    connection.execute(_BEGIN, rows)
    turns = {batches[batch_id].automation_id: request.claim.now for batch_id, request in begun.items()}
    connection.execute(_TAKE_TURN, [{"automation": name, "now": now} for name, now in sorted(turns.items())])


def _to_post(
    claimed: Claimed, batch: Row[Any], letters: Sequence[Letter], suppressed: Set[str]
) -> BatchToPost:
    # As it was before this transaction, which may have begun it.
    was_abandoned = batch.state == BatchState.POSTING
    return BatchToPost(
        claimed=claimed,
        batch_id=batch.id,
        automation_id=batch.automation_id,
        is_dry_run=batch.is_dry_run,
        letters=tuple(each for each in letters if each.recipient_id not in suppressed),
        withheld=tuple(each for each in letters if each.recipient_id in suppressed),
        posts=batch.posts + (0 if was_abandoned else 1),
        was_abandoned=was_abandoned,
        trace_id=batch.trace_id,
    )


_MAY_BEGIN = frozenset({BatchState.GATHERING, BatchState.READY})
# Three statements that each know their index. Joined into one, PostgreSQL has read all that waits, and taken seconds.
_LONGEST_DUE = (
    select(table.c.id)
    .where(
        table.c.automation_id == mail_turns.c.automation_id,
        WAITING_BATCH,
        table.c.due_at <= bindparam("now"),
        or_(table.c.is_dry_run, ~bindparam("only_rehearsals", type_=Boolean())),
    )
    .order_by(table.c.due_at, table.c.id)
    .limit(1)
    .correlate(mail_turns)
    .scalar_subquery()
)
_SELECT_WAITING = select(mail_turns.c.posted_at, mail_turns.c.automation_id, _LONGEST_DUE.label("id"))
_SELECT_POSTING = (
    select(mail_turns.c.posted_at, table.c.automation_id, table.c.id)
    .join(mail_turns, mail_turns.c.automation_id == table.c.automation_id)
    .where(table.c.state == BatchState.POSTING.value)
)
_SELECT_OWED = select(owed.c.id, owed.c.subject).where(
    owed.c.subject.in_(bindparam("batches", expanding=True)),
    owed.c.lane == Lane.MAIL.value,
    owed.c.run_at <= bindparam("now"),
    or_(
        owed.c.state == State.OPEN.value,
        and_(owed.c.state == State.RUNNING.value, owed.c.lease_until <= bindparam("now")),
    ),
)
_BEGIN = (
    update(table)
    .where(table.c.id == bindparam("the_id"))
    .values(
        state=BatchState.POSTING.value,
        posts=table.c.posts + 1,
        fence=bindparam("token"),
        sent_at=bindparam("now"),
        answered_at=None,
        status=None,
        error=None,
        reason=None,
    )
)
_TAKE_TURN = (
    update(mail_turns)
    .where(mail_turns.c.automation_id == bindparam("automation"))
    .values(posted_at=bindparam("now"))
)
_SELECT_LETTERS = (
    select(
        mail_recipients.c.id,
        mail_recipients.c.batch_id,
        mail_recipients.c.position,
        mail_recipients.c.payload,
        mail_recipients.c.customer_ids,
        mail_recipients.c.campaign,
        mail_recipients.c.address_key,
        # For whom is asked only where there is one: all the others cost next to nothing.
        exists()
        .where(address_suppressions.c.address_key == mail_recipients.c.address_key)
        .label("may_be_suppressed"),
    )
    .where(mail_recipients.c.batch_id.in_(bindparam("batches", expanding=True)))
    .order_by(mail_recipients.c.batch_id, mail_recipients.c.position)
)
_SELECT_LAST_SENT = select(func.max(table.c.sent_at)).where(
    table.c.state.in_([BatchState.POSTING.value, BatchState.HELD.value]), table.c.is_dry_run.is_(False)
)
