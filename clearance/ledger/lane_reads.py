"""How much each lane has to do, and what of it waits for too long. Reads what is unfinished, not what ever was."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, select

from clearance.ledger.tables import UNFINISHED, obligations
from clearance.obligations import Lane, ObligationId, State


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLoad:
    """What a lane owes.

    Attributes:
        due: Open, and their time has come.
        later: Open, for later: planned, or to be tried again.
        running: Held by a worker.
        overdue: Of all these, past their deadline.
        oldest_due_at: Since when the oldest that is due could have been begun; None when none is due.
        next_deadline_at: The nearest that is not over yet; None when nothing is owed.
    """

    lane: Lane
    due: int = 0
    later: int = 0
    running: int = 0
    overdue: int = 0
    oldest_due_at: datetime | None = None
    next_deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """An obligation that a worker holds. `is_abandoned`: held, but its lease ran out: its worker is gone."""

    obligation_id: ObligationId
    task: str
    attempt: int
    lease_until: datetime
    deadline_at: datetime
    is_abandoned: bool


def loads(connection: Connection, now: datetime) -> list[LaneLoad]:
    """Every lane, those with nothing to do included."""
    found = {
        Lane(row.lane): LaneLoad(
            lane=Lane(row.lane),
            due=row.due,
            later=row.unfinished - row.due - row.running,
            running=row.running,
            overdue=row.overdue,
            oldest_due_at=row.oldest_due_at,
            next_deadline_at=row.next_deadline_at,
        )
        for row in connection.execute(_LOADS, {"now": now})
    }
    return [found.get(lane, LaneLoad(lane=lane)) for lane in Lane]


def under_way(connection: Connection, lane: Lane, now: datetime) -> list[UnderWay]:
    """What workers of a lane hold, those first that are held for longest."""
    return [
        UnderWay(
            obligation_id=ObligationId(row.id),
            task=row.task,
            attempt=row.attempts,
            lease_until=row.lease_until,
            deadline_at=row.deadline_at,
            is_abandoned=row.lease_until <= now,
        )
        for row in connection.execute(_UNDER_WAY, {"lane": lane.value})
    ]


_IS_DUE = and_(obligations.c.state == State.OPEN.value, obligations.c.run_at <= bindparam("now"))
_LOADS = (
    select(
        obligations.c.lane,
        func.count().label("unfinished"),
        func.count().filter(_IS_DUE).label("due"),
        func.count().filter(obligations.c.state == State.RUNNING.value).label("running"),
        func.count().filter(obligations.c.deadline_at <= bindparam("now")).label("overdue"),
        func.min(obligations.c.run_at).filter(_IS_DUE).label("oldest_due_at"),
        func.min(obligations.c.deadline_at)
        .filter(obligations.c.deadline_at > bindparam("now"))
        .label("next_deadline_at"),
    )
    .where(UNFINISHED)
    .group_by(obligations.c.lane)
)
_UNDER_WAY = (
    select(obligations)
    .where(UNFINISHED, obligations.c.state == State.RUNNING.value, obligations.c.lane == bindparam("lane"))
    .order_by(obligations.c.lease_until, obligations.c.id)
)
