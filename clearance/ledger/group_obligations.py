"""What is owed for a group: to fetch its customers, to review each chunk, to submit in time, and to close the books.

Ids and subjects are made of the group's id and numbers, so that the same thing owed twice is one row. Everything here
runs inside the transaction that changes the group, after its row is locked.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, update

from clearance.ledger.group_facts import ChunkState
from clearance.ledger.insert_new import insert_new
from clearance.ledger.obligations import in_order, row_of
from clearance.ledger.portions import portions
from clearance.ledger.tables import UNFINISHED, chunks, obligations
from clearance.obligations import Lane, Obligation, ObligationId, State

FETCH, REVIEW = "clearance.groups.fetch", "clearance.groups.review"
SUBMIT, CLOSE = "clearance.groups.submit", "clearance.groups.close"
# To write down what was missed is owed as well, but not to the vendor.
_CLOSE_WITHIN = timedelta(days=1)


def subject_of(group_id: str, *numbers: int) -> str:
    """What an obligation, a decision or a call is about: `GROUP:GENERATION`, `GROUP:GENERATION:NUMBER`, ..."""
    return ":".join((group_id, *map(str, numbers)))


def numbers_of(subject: str) -> tuple[str, list[int]]:
    """The group's id and the numbers of a subject."""
    group_id, *numbers = subject.split(":")
    return group_id, [int(number) for number in numbers]


def obligation_id(task: str, subject: str) -> ObligationId:
    """The id of what is owed: `groups.fetch:GROUP:GENERATION`, ..."""
    return ObligationId(f"{task.removeprefix('clearance.')}:{subject}")


def fetch(
    group_id: str, generation: int, *, now: datetime, until: datetime, hedge_after: timedelta, trace_id: str
) -> Obligation:
    """To fetch the customers of a generation, at once."""
    return _obligation(
        FETCH,
        subject_of(group_id, generation),
        now=now,
        run_at=now,
        deadline_at=until,
        publish_at=now + hedge_after,
        trace_id=trace_id,
    )


def review(
    group_id: str,
    generation: int,
    number: int,
    *,
    now: datetime,
    until: datetime,
    hedge_after: timedelta,
    trace_id: str,
) -> Obligation:
    """To decide about the customers of a chunk, at once."""
    return _obligation(
        REVIEW,
        subject_of(group_id, generation, number),
        now=now,
        run_at=now,
        deadline_at=until,
        publish_at=now + hedge_after,
        trace_id=trace_id,
    )


def submit(
    group_id: str,
    revision: int,
    *,
    now: datetime,
    run_at: datetime,
    until: datetime,
    eta_window: timedelta,
    trace_id: str,
) -> Obligation:
    """To submit a revision from `run_at` on; the guardian hands it over `eta_window` before."""
    return _obligation(
        SUBMIT,
        subject_of(group_id, revision),
        now=now,
        run_at=max(run_at, now),
        deadline_at=until,
        publish_at=max(run_at - eta_window, now),
        trace_id=trace_id,
    )


def close(group_id: str, revision: int, *, now: datetime, deadline_at: datetime, trace_id: str) -> Obligation:
    """To record, once the deadline is over, what became of a revision."""
    run_at = max(deadline_at, now)
    return _obligation(
        CLOSE,
        subject_of(group_id, revision),
        now=now,
        run_at=run_at,
        deadline_at=run_at + _CLOSE_WITHIN,
        publish_at=run_at,
        trace_id=trace_id,
    )


def owe_new(connection: Connection, items: Sequence[Obligation]) -> None:
    """Owe these from now on; one that is owed already, or was, stays as it is."""
    if items:
        connection.execute(_INSERT, [row_of(item) | _DEFAULTS for item in items])


def cancel_revision(
    connection: Connection, group_id: str, revision: int, now: datetime, *, but_close: bool = False
) -> None:
    """Nobody submits or closes it any more; who is at it finds that its attempt does not count.

    `but_close`: whom it missed is still to be told.
    """
    subject = subject_of(group_id, revision)
    tasks = (SUBMIT,) if but_close else (SUBMIT, CLOSE)
    cancel(connection, [obligation_id(task, subject) for task in tasks], now)


def cancel(connection: Connection, obligation_ids: Iterable[str], now: datetime) -> None:
    """Nobody meets these any more, as far as they were not met."""
    for ids in portions(obligation_ids):
        connection.execute(_CANCEL, {"ids": ids, "now": now})


def of_generation(connection: Connection, group_id: str, generation: int) -> list[str]:
    """To fetch it, and to review what of it is not decided."""
    numbers = connection.execute(_SELECT_UNREVIEWED, {"group_id": group_id, "generation": generation})
    reviews = [
        obligation_id(REVIEW, subject_of(group_id, generation, number)) for number in numbers.scalars()
    ]
    return [obligation_id(FETCH, subject_of(group_id, generation)), *reviews]


def move_generation(
    connection: Connection, group_id: str, generation: int, *, now: datetime, until: datetime
) -> None:
    """What is left to fetch and to review is owed by `until`; what was missed or parked meanwhile is owed again.

    Who moves a deadline gives time in which a person may have mended what parked it.
    """
    for ids in portions(of_generation(connection, group_id, generation)):
        connection.execute(_MOVE, {"ids": ids, "until": until})
        connection.execute(_OWE_AGAIN, {"ids": ids, "until": until, "now": now})


def hasten_submit(
    connection: Connection,
    group_id: str,
    revision: int,
    *,
    now: datetime,
    run_at: datetime,
    eta_window: timedelta,
) -> None:
    """Submit earlier than planned, unless somebody is at it already."""
    asked = {
        "the_id": obligation_id(SUBMIT, subject_of(group_id, revision)),
        "at": max(run_at, now),
        "publish": max(run_at - eta_window, now),
    }
    connection.execute(_HASTEN, asked)


def _obligation(
    task: str,
    subject: str,
    *,
    now: datetime,
    run_at: datetime,
    deadline_at: datetime,
    publish_at: datetime,
    trace_id: str,
) -> Obligation:
    return Obligation(
        obligation_id=obligation_id(task, subject),
        lane=Lane.REVIEW if task == REVIEW else Lane.SUBMIT,
        task=task,
        subject=subject,
        created_at=now,
        run_at=run_at,
        deadline_at=deadline_at,
        publish_at=publish_at,
        trace_id=trace_id,
    )


_IS_ONE_OF = obligations.c.id.in_(bindparam("ids", expanding=True))
_INSERT = insert_new(obligations)
# This insert names every column.
_DEFAULTS = {"publications": 0, "attempts": 0, "lease_until": None, "last_error": None, "action_id": None}
_SELECT_UNREVIEWED = select(chunks.c.number).where(
    chunks.c.group_id == bindparam("group_id"),
    chunks.c.generation == bindparam("generation"),
    chunks.c.state == ChunkState.FETCHED.value,
)
_CANCEL = (
    update(obligations)
    .where(in_order(_IS_ONE_OF, UNFINISHED))
    .values(state=State.CANCELLED.value, finished_at=bindparam("now"), lease_until=None)
)
_MOVE = update(obligations).where(in_order(_IS_ONE_OF, UNFINISHED)).values(deadline_at=bindparam("until"))
_OWE_AGAIN = (
    update(obligations)
    .where(in_order(_IS_ONE_OF, obligations.c.state.in_([State.MISSED.value, State.PARKED.value])))
    .values(
        state=State.OPEN.value,
        reason=None,
        finished_at=None,
        run_at=bindparam("now"),
        publish_at=bindparam("now"),
        publications=0,
        deadline_at=bindparam("until"),
    )
)
_HASTEN = (
    update(obligations)
    .where(
        obligations.c.id == bindparam("the_id"),
        obligations.c.state == State.OPEN.value,
        obligations.c.run_at > bindparam("at"),
    )
    .values(run_at=bindparam("at"), publish_at=bindparam("publish"), publications=0)
)
