"""Which batch a new letter joins: the one that its automation gathers, until it is full, and then the next.

At most one batch of an automation gathers (a partial unique index); its row is locked while it is filled. What fills a
batch alone never gathers: it is ready at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, update

from clearance.identifiers import new_id
from clearance.ledger import mail_batches, obligations
from clearance.ledger.insert_new import insert_new
from clearance.ledger.mail_batches import NewBatch
from clearance.ledger.mail_tables import GATHERING, mail_turns
from clearance.ledger.mail_tables import mail_batches as table
from clearance.ledger.tables import obligations as owed
from clearance.mail_states import BatchState
from clearance.obligations import Obligation, State

_NO_TURN_YET = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Letters of one automation, in order."""

    automation_id: str
    is_dry_run: bool
    recipient_ids: Sequence[str]
    batch_size: int
    max_wait: timedelta
    now: datetime
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a letter stands."""

    batch_id: str
    position: int


@dataclass(slots=True, kw_only=True)
class Seated:
    """Where letters stand, by recipient, and what is due now, by the recipient that filled its batch."""

    places: dict[str, Place] = field(default_factory=dict)
    filled: dict[str, Obligation] = field(default_factory=dict)


def seat(connection: Connection, arrivals: Arrivals) -> Seated:
    """Give each letter a place in a batch; the batches are owed from then on."""
    seated = Seated()
    waiting = list(arrivals.recipient_ids)
    while waiting:
        waiting = _join(connection, arrivals, waiting, seated)
        if waiting:
            waiting = _open(connection, arrivals, waiting, seated)
    return seated


def _join(connection: Connection, arrivals: Arrivals, waiting: list[str], seated: Seated) -> list[str]:
    """Fill the batch that gathers, if there is one; who is left."""
    asked = {"automation": arrivals.automation_id, "is_dry_run": arrivals.is_dry_run}
    batch = connection.execute(_LOCK_GATHERING, asked).first()
    if batch is None:
        return waiting
    room = max(arrivals.batch_size - batch.recipients, 0)
    joining, left = waiting[:room], waiting[room:]
    _place(seated, batch.id, joining, first=batch.recipients)
    recipients = batch.recipients + len(joining)
    is_full = recipients >= arrivals.batch_size
    state = BatchState.READY if is_full else BatchState.GATHERING
    due_at = arrivals.now if is_full else batch.due_at
    connection.execute(_FILL, {"the_id": batch.id, "to_state": state, "count": recipients, "due_at": due_at})
    if is_full:
        obligation = mail_batches.owed(
            batch.id, now=arrivals.now, due_at=arrivals.now, trace_id=batch.trace_id
        )
        connection.execute(_HASTEN, {"the_id": obligation.obligation_id, "now": arrivals.now})
        if joining:
            seated.filled[joining[-1]] = obligation
    return left


def _open(connection: Connection, arrivals: Arrivals, waiting: list[str], seated: Seated) -> list[str]:
    """Open as many batches as the letters fill, and one for the rest; who is left when another process opened it."""
    connection.execute(_INSERT_TURN, {"automation_id": arrivals.automation_id, "posted_at": _NO_TURN_YET})
    size = arrivals.batch_size
    full = len(waiting) - len(waiting) % size
    portions = [waiting[first : first + size] for first in range(0, full, size)]
    owed_now = _add(connection, arrivals, BatchState.READY, portions, seated)
    seated.filled.update((joining[-1], each) for joining, each in zip(portions, owed_now, strict=True))
    rest = waiting[full:]
    if rest and not _add(connection, arrivals, BatchState.GATHERING, [rest], seated):
        return rest
    return []


def _add(
    connection: Connection, arrivals: Arrivals, state: BatchState, portions: list[list[str]], seated: Seated
) -> list[Obligation]:
    due_at = arrivals.now if state is BatchState.READY else arrivals.now + arrivals.max_wait
    batches = [
        NewBatch(
            batch_id=new_id(arrivals.now),
            automation_id=arrivals.automation_id,
            is_dry_run=arrivals.is_dry_run,
            state=state,
            recipients=len(joining),
            created_at=arrivals.now,
            due_at=due_at,
            trace_id=arrivals.trace_id,
        )
        for joining in portions
    ]
    if not mail_batches.add_many(connection, batches):
        return []
    owes = [
        mail_batches.owed(batch.batch_id, now=arrivals.now, due_at=due_at, trace_id=arrivals.trace_id)
        for batch in batches
    ]
    obligations.add_many(connection, owes)
    for batch, joining in zip(batches, portions, strict=True):
        _place(seated, batch.batch_id, joining, first=0)
    return owes


def _place(seated: Seated, batch_id: str, recipient_ids: Sequence[str], *, first: int) -> None:
    for position, recipient_id in enumerate(recipient_ids, start=first):
        seated.places[recipient_id] = Place(batch_id=batch_id, position=position)


_LOCK_GATHERING = (
    select(table.c.id, table.c.recipients, table.c.due_at, table.c.trace_id)
    .where(
        table.c.automation_id == bindparam("automation"),
        table.c.is_dry_run == bindparam("is_dry_run"),
        GATHERING,
    )
    .with_for_update()
)
_FILL = (
    update(table)
    .where(table.c.id == bindparam("the_id"))
    .values(state=bindparam("to_state"), recipients=bindparam("count"), due_at=bindparam("due_at"))
)
_HASTEN = (
    update(owed)
    .where(owed.c.id == bindparam("the_id"), owed.c.state == State.OPEN.value)
    .values(run_at=bindparam("now"), publish_at=bindparam("now"))
)
_INSERT_TURN = insert_new(mail_turns)
