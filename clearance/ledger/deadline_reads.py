"""Which deadlines are past, and which were missed lately? Reads what is unfinished and what is on the retries desk."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, text

from clearance.ledger.tables import ON_DESK, UNFINISHED, obligations
from clearance.obligations import Lane, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What is late on a lane.

    Attributes:
        overdue: Unfinished, past their deadline.
        oldest_deadline_at: The deadline of the oldest of these; None when there is none.
        missed: Recorded as missed, with a deadline since the moment that was asked for.
    """

    lane: Lane
    overdue: int = 0
    oldest_deadline_at: datetime | None = None
    missed: int = 0


def late(connection: Connection, now: datetime, since: datetime) -> list[Late]:
    """Every lane, those on which nothing is late included."""
    missed = {row.lane: row.missed for row in connection.execute(_MISSED, {"since": since})}
    overdue = {row.lane: row for row in connection.execute(_OVERDUE, {"now": now})}
    return [
        Late(
            lane=lane,
            overdue=overdue[lane].overdue if lane in overdue else 0,
            oldest_deadline_at=overdue[lane].oldest_deadline_at if lane in overdue else None,
            missed=missed.get(lane, 0),
        )
        for lane in Lane
    ]


_OVERDUE = (
    select(
        obligations.c.lane,
        func.count().label("overdue"),
        func.min(obligations.c.deadline_at).label("oldest_deadline_at"),
    )
    .where(UNFINISHED, obligations.c.deadline_at <= bindparam("now"))
    .group_by(obligations.c.lane)
)
# With the desk's own condition, so that the index of the desk is used, and not all that was ever owed.
_MISSED = (
    select(obligations.c.lane, func.count().label("missed"))
    .where(
        text(f"({ON_DESK.text})"),
        obligations.c.state == State.MISSED.value,
        obligations.c.deadline_at >= bindparam("since"),
    )
    .group_by(obligations.c.lane)
)
