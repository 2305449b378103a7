"""What the guardian takes from the ledger: what must be published now, and what is past its deadline.

Both look first without a lock, because most looks find nothing; two guardians never take the same obligation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, exists, or_, select, update

from clearance.ledger.decisions import Answer
from clearance.ledger.group_obligations import SUBMIT, numbers_of
from clearance.ledger.obligations import IS_PAUSED, in_order
from clearance.ledger.tables import UNFINISHED, approvals, obligations
from clearance.ledger.unconfirmed import unconfirmed
from clearance.obligations import Due, Lane, MissedReason, ObligationId, State, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """An obligation that the guardian marked missed."""

    obligation_id: ObligationId
    lane: Lane
    reason: MissedReason
    late_s: float
    trace_id: str


def is_any_due(connection: Connection, now: datetime) -> bool:
    """Whether `take_due` would find something: a look that takes no write lock."""
    return connection.execute(_ANY_DUE, {"now": now}).first() is not None


def is_any_overdue(connection: Connection, now: datetime) -> bool:
    """Whether `take_overdue` would find something: a look that takes no write lock."""
    return connection.execute(_ANY_OVERDUE, {"now": now}).first() is not None


def take_due(connection: Connection, now: datetime, limit: int, repeat_after: timedelta) -> list[Due]:
    """What the guardian must publish now, the nearest deadline first; two guardians never take the same.

    Each taken one comes up again after `repeat_after`, doubled with every publication, until somebody claims it: a
    backlog is not made worse by what is meant to help. What was handed over before its time comes up half of that
    after it: the message waited with a worker or the broker, and may be lost with either. Those past their deadline are
    left to `take_overdue`, and those of a paused lane to a look after it was resumed.
    """
    rows = connection.execute(_SELECT_DUE, {"now": now, "limit": limit}).all()
    if not rows:
        return []
    connection.execute(
        _RESCHEDULE,
        [
            {
                "the_id": row.id,
                "next": _next_publication(row, now, repeat_after),
                "count": row.publications + 1,
            }
            for row in rows
        ],
    )
    return [
        Due(
            obligation_id=ObligationId(row.id),
            lane=Lane(row.lane),
            task=row.task,
            eta=row.run_at if row.run_at > now else None,
            deadline_at=row.deadline_at,
            attempts=row.attempts,
            trace_id=row.trace_id,
            why=_why(row),
        )
        for row in rows
    ]


def put_back(connection: Connection, obligation_ids: Sequence[ObligationId], publish_at: datetime) -> None:
    """What could not be published comes up again at `publish_at`, as if it had not been taken.

    A part of it may have arrived after all: what a worker has claimed meanwhile is left to its lease.
    """
    connection.execute(_PUT_BACK, {"ids": list(obligation_ids), "at": publish_at})


def take_overdue(connection: Connection, now: datetime, limit: int) -> list[Overdue]:
    """Mark missed what is past its deadline and held by nobody; a live worker finishes its own."""
    rows = connection.execute(_MISS_OVERDUE, {"now": now, "limit": limit}).all()
    return [
        Overdue(
            obligation_id=ObligationId(row.id),
            lane=Lane(row.lane),
            reason=_reason(connection, row),
            late_s=(now - row.deadline_at).total_seconds(),
            trace_id=row.trace_id,
        )
        for row in rows
    ]


def _reason(connection: Connection, row: Row[Any]) -> MissedReason:
    """Of a submission more is known than whether it was held: a call that was begun is in the ledger.

    Its calls are not about the subject of its obligation, and one that was repeated and taken is no doubt.
    """
    if row.task != SUBMIT:
        return MissedReason(row.reason)
    group_id, (revision,) = numbers_of(row.subject)
    if not unconfirmed(connection, group_id, revision):
        return MissedReason(row.reason)
    connection.execute(_UNCONFIRMED, {"the_id": row.id})
    return MissedReason.SENT_UNCONFIRMED


def _next_publication(row: Row[Any], now: datetime, repeat_after: timedelta) -> datetime:
    run_at: datetime = row.run_at
    if run_at > now:
        return run_at + repeat_after / 2
    doublings: int = min(row.publications, 6)
    return now + repeat_after * (1 << doublings)


def _why(row: Row[Any]) -> Why:
    if row.state == State.RUNNING:
        return Why.ABANDONED
    # Planned for later than its creation: a retry or a scheduled one, unless it was published for that already.
    is_planned = row.run_at > row.created_at and row.publications == 0
    return Why.DUE if is_planned else Why.HEDGE


_IS_OPEN = obligations.c.state == State.OPEN.value
_IS_RUNNING = obligations.c.state == State.RUNNING.value
_IS_UNCONFIRMED = exists().where(
    approvals.c.subject == obligations.c.subject, approvals.c.outcome == Answer.UNKNOWN.value
)
# A message would find its lane paused; once it is resumed, what waited comes up at the next look.
_IS_DUE = and_(
    UNFINISHED,
    obligations.c.publish_at <= bindparam("now"),
    obligations.c.deadline_at > bindparam("now"),
    ~IS_PAUSED,
)
_IS_OVERDUE = and_(
    UNFINISHED,
    obligations.c.deadline_at <= bindparam("now"),
    or_(_IS_OPEN, obligations.c.lease_until <= bindparam("now")),
)
_ANY_DUE = select(obligations.c.id).where(_IS_DUE).limit(1)
_ANY_OVERDUE = select(obligations.c.id).where(_IS_OVERDUE).limit(1)
_SELECT_DUE = (
    select(obligations)
    .where(_IS_DUE)
    .order_by(obligations.c.deadline_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_RESCHEDULE = (
    update(obligations)
    .where(obligations.c.id == bindparam("the_id"))
    .values(publish_at=bindparam("next"), publications=bindparam("count"))
)
_PUT_BACK = (
    update(obligations)
    .where(
        in_order(
            obligations.c.id.in_(bindparam("ids", expanding=True)),
            UNFINISHED,
            or_(_IS_OPEN, obligations.c.lease_until <= bindparam("at")),
        )
    )
    .values(publish_at=bindparam("at"), publications=0)
)
_UNCONFIRMED = (
    update(obligations)
    .where(obligations.c.id == bindparam("the_id"))
    .values(reason=MissedReason.SENT_UNCONFIRMED.value)
)
_MISS_OVERDUE = (
    update(obligations)
    .where(
        obligations.c.id.in_(
            select(obligations.c.id)
            .where(_IS_OVERDUE)
            .limit(bindparam("limit"))
            .with_for_update(skip_locked=True)
        )
    )
    .values(
        state=State.MISSED.value,
        finished_at=bindparam("now"),
        lease_until=None,
        reason=case(
            (_IS_RUNNING, MissedReason.ABANDONED.value),
            (obligations.c.attempts == 0, MissedReason.NOT_STARTED_IN_TIME.value),
            (_IS_UNCONFIRMED, MissedReason.SENT_UNCONFIRMED.value),
            else_=MissedReason.RETRIES_RAN_OUT.value,
        ),
    )
    .returning(obligations)
)
