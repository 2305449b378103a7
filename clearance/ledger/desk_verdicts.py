"""What would become of an obligation if it were owed again? Nothing is changed here.

In: rows of obligations, and how fast each lane may take them. Out: a verdict on each, and when it would be its turn:
one after the other, so that what is replayed does not stand in the way of what is new.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from clearance.ledger import group_obligations as owed
from clearance.ledger import mail_batches
from clearance.ledger.group_facts import ChunkState, GroupState
from clearance.ledger.tables import chunks, groups, notifications
from clearance.obligations import Lane, State


class Verdict(StrEnum):
    """What would become of it, or became of it."""

    SENT = "sent"
    PAST_DEADLINE = "past_deadline"
    TOO_SLOW = "too_slow"  # in time today, but not at this rate
    NOTHING_LEFT = "nothing_left"  # what it was about was answered, has ended, or was forgotten
    NEEDS_DECISION = "needs_decision"  # a batch of letters: whether they were posted, a person must say
    NOT_ON_DESK = "not_on_desk"  # unknown, done, discarded, or a worker is at it
    CHANGED = "changed"  # somebody else was faster


@dataclass(slots=True, kw_only=True)
class Pace:
    """Whose turn is when.

    Attributes:
        per_s: How many a second, by lane.
        margins: How long before its deadline a lane must have begun.
        last_at: By lane, the last turn that was taken.
    """

    per_s: Mapping[Lane, float]
    margins: Mapping[Lane, timedelta] = field(default_factory=dict)
    last_at: dict[Lane, datetime] = field(default_factory=dict)

    def next_turn(self, lane: Lane, now: datetime) -> datetime:
        """When the next of a lane could be begun."""
        last_at = self.last_at.get(lane)
        return now if last_at is None else max(now, last_at + timedelta(seconds=1 / self.per_s[lane]))

    def take_turn(self, lane: Lane, at: datetime) -> None:
        """Somebody begins then."""
        self.last_at[lane] = at


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One obligation; `run_at` is when it would be begun; None if it would not, or keeps its time."""

    row: Row[Any]
    verdict: Verdict
    run_at: datetime | None = None


def judge(connection: Connection, rows: Sequence[Row[Any]], pace: Pace, now: datetime) -> list[Judged]:
    """A verdict on each, in the order in which they get their turns."""
    useful = _useful(connection, rows)
    return [_judge(row, pace, now, is_useful=row.id in useful) for row in rows]


def _judge(row: Row[Any], pace: Pace, now: datetime, *, is_useful: bool) -> Judged:
    lane = Lane(row.lane)
    last_moment = row.deadline_at - pace.margins.get(lane, timedelta(0))
    obstacle = _obstacle(row, is_late=last_moment <= now, is_useful=is_useful)
    if obstacle is not None:
        return Judged(row=row, verdict=obstacle)
    if row.attempts == 0 and row.run_at > now:
        # Stopped before its time had come: that has not changed.
        return Judged(row=row, verdict=Verdict.SENT, run_at=row.run_at)
    turn_at = pace.next_turn(lane, now)
    if row.state == State.OPEN and row.run_at <= turn_at:
        # Tried by itself as soon: a turn would make it wait.
        return Judged(row=row, verdict=Verdict.SENT)
    if turn_at >= last_moment:
        return Judged(row=row, verdict=Verdict.TOO_SLOW)
    pace.take_turn(lane, turn_at)
    return Judged(row=row, verdict=Verdict.SENT, run_at=turn_at)


def _obstacle(row: Row[Any], *, is_late: bool, is_useful: bool) -> Verdict | None:
    if not _is_on_desk(row):
        return Verdict.NOT_ON_DESK
    if row.state == State.PARKED and row.task == mail_batches.POST:
        return Verdict.NEEDS_DECISION
    if is_late:
        return Verdict.PAST_DEADLINE
    return None if is_useful else Verdict.NOTHING_LEFT


def _is_on_desk(row: Row[Any]) -> bool:
    if row.state == State.OPEN:
        return bool(row.attempts > 0)
    return row.state in (State.PARKED, State.MISSED)


def _useful(connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
    """The ids of those that would have something to do."""
    has_body = _with_bodies(connection, [row.subject for row in rows if row.lane == Lane.TRIGGERED])
    current = _current(connection, [row for row in rows if row.task in _FOR_GROUPS])
    return {row.id for row in rows if _is_useful(row, has_body, current)}


def _is_useful(row: Row[Any], has_body: set[str], current: set[str]) -> bool:
    if row.lane == Lane.TRIGGERED:
        return row.subject in has_body
    return row.task not in _FOR_GROUPS or row.id in current


def _with_bodies(connection: Connection, subjects: Sequence[str]) -> set[str]:
    if not subjects:
        return set()
    return set(connection.execute(_SELECT_WITH_BODY, {"ids": sorted(subjects)}).scalars())


def _current(connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
    """Of obligations for groups, those that their group still wants."""
    if not rows:
        return set()
    numbers_by_id = {row.id: owed.numbers_of(row.subject) for row in rows}
    ids = sorted({group_id for group_id, _ in numbers_by_id.values()})
    open_groups = {row.id: row for row in connection.execute(_SELECT_OPEN_GROUPS, {"ids": ids})}
    undecided: set[tuple[str, int, int]] = set()
    if any(row.task == owed.REVIEW for row in rows):
        undecided.update(connection.execute(_SELECT_UNDECIDED, {"ids": ids}).tuples())
    found: set[str] = set()
    for row in rows:
        group_id, numbers = numbers_by_id[row.id]
        group = open_groups.get(group_id)
        if group is None:
            continue
        if row.task == owed.REVIEW:
            is_current = (group_id, numbers[0], numbers[1]) in undecided
        else:
            is_current = numbers[0] == (group.generation if row.task == owed.FETCH else group.revision)
        if is_current:
            found.add(row.id)
    return found


# To close the books is owed whatever the group says.
_FOR_GROUPS = frozenset({owed.FETCH, owed.REVIEW, owed.SUBMIT})
_SELECT_WITH_BODY = select(notifications.c.id).where(
    notifications.c.id.in_(bindparam("ids", expanding=True)), notifications.c.body.is_not(None)
)
_SELECT_OPEN_GROUPS = select(groups.c.id, groups.c.generation, groups.c.revision).where(
    groups.c.id.in_(bindparam("ids", expanding=True)), groups.c.state == GroupState.OPEN.value
)
_SELECT_UNDECIDED = (
    select(chunks.c.group_id, chunks.c.generation, chunks.c.number)
    .join(groups, groups.c.id == chunks.c.group_id)
    .where(
        chunks.c.group_id.in_(bindparam("ids", expanding=True)),
        chunks.c.generation == groups.c.generation,
        chunks.c.state == ChunkState.FETCHED.value,
    )
)
