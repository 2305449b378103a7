"""What an operator sees of the desk. Each function takes a connection and changes nothing.

What still has time comes first, the nearest deadline before the others; then what has no deadline; then what is past
it, the newest first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from clearance.bloomreach.commands import CommandState
from clearance.ledger.desk import (
    HELD_BY_OPERATOR,
    DeskFilter,
    DeskState,
    Kind,
    of_batches,
    of_commands,
    of_obligations,
)
from clearance.ledger.mail_tables import mail_batches, track_commands
from clearance.ledger.tables import obligations
from clearance.mail_states import BatchState
from clearance.obligations import Lane, State


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskItem:
    """One thing that waits.

    Attributes:
        subject: What it is about: a notification, a group, a batch.
        since: When it was parked, missed or held; None for what waits for a retry.
        next_at: When it is tried again; None when it is not.
        deadline_at: None for what has none.
        last_error: As it was recorded: without personal data.
        action_id: What an operator last did to it.
    """

    item_id: str
    kind: Kind
    state: DeskState
    lane: Lane
    task: str
    subject: str
    attempts: int
    reason: str | None
    last_error: str | None
    created_at: datetime
    since: datetime | None
    next_at: datetime | None
    deadline_at: datetime | None
    trace_id: str
    action_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskCount:
    """How many wait for the same reason. `next_deadline_at`: the nearest that is not over; None when there is none."""

    lane: Lane
    state: DeskState
    reason: str | None
    items: int
    next_deadline_at: datetime | None = None


def listed(connection: Connection, wanted: DeskFilter, now: datetime, limit: int) -> list[DeskItem]:
    """The first of what is asked for."""
    return list(islice(_all(connection, wanted, now, limit), limit))


def counted(connection: Connection, wanted: DeskFilter, now: datetime) -> list[DeskCount]:
    """All that is asked for, by lane, state and reason; the most first."""
    found = [
        DeskCount(
            lane=Lane(row.lane),
            state=_state_of(row),
            reason=row.reason,
            items=row.items,
            next_deadline_at=row.next_deadline_at if Lane(row.lane) not in _WITHOUT_DEADLINES else None,
        )
        for row in connection.execute(_count_obligations(wanted, now))
    ]
    for conditions, table, lane, state in (
        (of_commands(wanted), track_commands, Lane.TRACK, DeskState.PARKED),
        (of_batches(wanted), mail_batches, Lane.MAIL, DeskState.HELD),
    ):
        if conditions is None:
            continue
        counts = select(table.c.reason, func.count().label("items")).where(and_(*conditions))
        found += [
            DeskCount(lane=lane, state=state, reason=row.reason, items=row.items)
            for row in connection.execute(counts.group_by(table.c.reason))
        ]
    return sorted(found, key=lambda each: (-each.items, each.lane, each.state, each.reason or ""))


def item(connection: Connection, item_id: str) -> DeskItem | None:
    """One thing on the desk, of whatever kind; None when it is not there."""
    owed = select(obligations).where(and_(*of_obligations(DeskFilter()), obligations.c.id == item_id))
    if row := connection.execute(owed).first():
        return _obligation(row)
    command = select(track_commands).where(
        track_commands.c.id == item_id, track_commands.c.state == CommandState.PARKED.value
    )
    if row := connection.execute(command).first():
        return _command(row)
    batch = select(mail_batches).where(
        mail_batches.c.id == item_id, mail_batches.c.state == BatchState.HELD.value
    )
    row = connection.execute(batch).first()
    return None if row is None else _batch(row)


def _all(connection: Connection, wanted: DeskFilter, now: datetime, limit: int) -> Iterator[DeskItem]:
    owed = select(obligations).where(and_(*of_obligations(wanted))).limit(limit)
    in_time = owed.where(obligations.c.deadline_at > now).order_by(
        obligations.c.deadline_at, obligations.c.id
    )
    for row in connection.execute(in_time):
        yield _obligation(row)
    held, parked = of_batches(wanted), of_commands(wanted)
    if held is not None:
        for row in connection.execute(_oldest(select(mail_batches).where(and_(*held)), mail_batches, limit)):
            yield _batch(row)
    if parked is not None:
        page = _oldest(select(track_commands).where(and_(*parked)), track_commands, limit)
        for row in connection.execute(page):
            yield _command(row)
    late = owed.where(obligations.c.deadline_at <= now)
    for row in connection.execute(late.order_by(obligations.c.deadline_at.desc(), obligations.c.id.desc())):
        yield _obligation(row)


def _oldest(page: Select[Any], table: Any, limit: int) -> Select[Any]:
    return page.order_by(table.c.id).limit(limit)


def _count_obligations(wanted: DeskFilter, now: datetime) -> Select[Any]:
    table = obligations.c
    return (
        select(
            table.lane,
            table.state,
            table.reason,
            func.count().label("items"),
            func.min(table.deadline_at).filter(table.deadline_at > now).label("next_deadline_at"),
        )
        .where(and_(*of_obligations(wanted)))
        .group_by(table.lane, table.state, table.reason)
    )


def _obligation(row: Row[Any]) -> DeskItem:
    state, lane = _state_of(row), Lane(row.lane)
    return DeskItem(
        item_id=row.id,
        kind=Kind.OBLIGATION,
        state=state,
        lane=lane,
        task=row.task,
        subject=row.subject,
        attempts=row.attempts,
        reason=row.reason,
        last_error=row.last_error,
        created_at=row.created_at,
        since=row.finished_at,
        next_at=row.run_at if state is DeskState.RETRY else None,
        deadline_at=None if lane in _WITHOUT_DEADLINES else row.deadline_at,
        trace_id=row.trace_id,
        action_id=row.action_id,
    )


def _command(row: Row[Any]) -> DeskItem:
    return DeskItem(
        item_id=row.id,
        kind=Kind.COMMAND,
        state=DeskState.PARKED,
        lane=Lane.TRACK,
        task=row.name,
        subject=row.about,
        attempts=row.attempts,
        reason=row.reason,
        last_error=row.error,
        created_at=row.created_at,
        since=row.finished_at,
        next_at=None,
        deadline_at=None,
        trace_id=row.trace_id,
    )


def _batch(row: Row[Any]) -> DeskItem:
    return DeskItem(
        item_id=row.id,
        kind=Kind.BATCH,
        state=DeskState.HELD,
        lane=Lane.MAIL,
        task=row.automation_id,
        subject=row.id,
        attempts=row.posts,
        reason=row.reason,
        last_error=row.error,
        created_at=row.created_at,
        since=row.answered_at or row.sent_at or row.created_at,
        next_at=None,
        deadline_at=None,
        trace_id=row.trace_id,
    )


def _state_of(row: Row[Any]) -> DeskState:
    if row.state == State.OPEN:
        return DeskState.RETRY
    if row.state == State.MISSED:
        return DeskState.MISSED
    return DeskState.HELD if row.reason == HELD_BY_OPERATOR else DeskState.PARKED


# Theirs are years away: nobody waits for them.
_WITHOUT_DEADLINES = frozenset({Lane.MAIL, Lane.TRACK})
