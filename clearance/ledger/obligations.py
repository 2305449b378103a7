"""How a worker changes an obligation's state: conditional updates, so that of two workers one wins.

Each function takes a connection inside a transaction and works on many at once (`group_commit` brings them together).
The invariant: an unfinished obligation always has a `publish_at`, and only `claim_many` makes one running.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    and_,
    bindparam,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from clearance.identifiers import new_id
from clearance.ledger import dead_letters
from clearance.ledger.mail_tables import lane_pauses
from clearance.ledger.statement import Asked, Result, Statement, run_together
from clearance.ledger.tables import obligations
from clearance.obligations import (
    Claimed,
    Done,
    Lane,
    Missed,
    Obligation,
    ObligationId,
    Outcome,
    Parked,
    Retry,
    State,
)

# Hosts of one fleet keep the same time to within this; a message that comes this early is not too early.
_CLOCK_TOLERANCE = timedelta(milliseconds=100)
_LONGEST_ERROR_CHARS = 500
IS_PAUSED = obligations.c.lane.in_(select(lane_pauses.c.lane))
"""The condition that an obligation's lane is paused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """A worker's wish to hold an obligation until `lease_until`."""

    obligation_id: ObligationId
    now: datetime
    lease_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How one attempt ended; it counts only while `attempt` is still the one that holds the obligation."""

    claimed: Claimed
    outcome: Outcome
    now: datetime
    publish_at: datetime | None = None


def add_many(connection: Connection, items: Sequence[Obligation]) -> None:
    """Owe these from now on."""
    _ADD.write(connection, [row_of(item) for item in items])


def row_of(item: Obligation) -> dict[str, object]:
    """A new obligation as its row, without the columns that have a default."""
    return {
        "id": item.obligation_id,
        "lane": item.lane,
        "task": item.task,
        "subject": item.subject,
        "state": State.MISSED if item.missed else State.OPEN,
        "reason": item.missed,
        "finished_at": item.created_at if item.missed else None,
        "created_at": item.created_at,
        "run_at": item.run_at,
        "deadline_at": item.deadline_at,
        "publish_at": item.publish_at,
        "trace_id": item.trace_id,
    }


def claim_many(connection: Connection, requests: Sequence[ClaimRequest]) -> list[Claimed | None]:
    """Hold what is due and held by nobody; None for what is finished, not yet due, or held by another.

    Of a paused lane nothing is held: it comes up at the guardian's first look after the lane was resumed.
    """
    return [None if row is None else claimed_of(row) for row in claimed_rows(connection, requests, _CLAIM)]


def claimed_rows(
    connection: Connection, requests: Sequence[ClaimRequest], claim: Statement
) -> list[Any | None]:
    """As `claim_many`, by a statement of `claiming`: its rows, for `claimed_of` and for what they tell besides."""
    now = max(request.now for request in requests)
    until = min(request.lease_until for request in requests)
    # In one order everywhere: two who claim the same wait for each other in turn, not in a ring.
    asked = [
        {"the_id": each, "now": now, "due": now + _CLOCK_TOLERANCE}
        for each in sorted({request.obligation_id for request in requests})
    ]
    by_id = {row.id: row for row in claim.rows(connection, [run | {"until": until} for run in asked])}
    _WAIT_FOR_RESUME.write(connection, [run for run in asked if run["the_id"] not in by_id])
    # pop: the same id twice in one group has one winner
    return [by_id.pop(request.obligation_id, None) for request in requests]


def renew_many(connection: Connection, claims: Sequence[tuple[Claimed, datetime]]) -> list[bool]:
    """Hold on for longer: each claim with its new end. False for one that was lost meanwhile."""
    until = min(lease_until for _, lease_until in claims)
    keys = [(claimed.obligation_id, claimed.attempt) for claimed, _ in claims]
    ids = [obligation_id for obligation_id, _ in keys]
    renewed = set(connection.execute(_RENEW, {"ids": ids, "keys": keys, "until": until}).scalars())
    return [claimed.obligation_id in renewed for claimed, _ in claims]


def finish_many(connection: Connection, finishes: Sequence[Finish]) -> list[bool]:
    """End attempts. False for one whose obligation was taken over meanwhile: its outcome is not recorded."""
    (ended,) = run_together(connection, finishing(finishes))
    return finished(connection, finishes, ended)


def finishing(finishes: Sequence[Finish]) -> Asked:
    """What ends those of them that are done, to be run together with something else; then comes `finished`."""
    done = [item for item in finishes if isinstance(item.outcome, Done)]
    # In one order everywhere: two who end the same wait for each other in turn, not in a ring.
    held = sorted((item.claimed.obligation_id, item.claimed.attempt, item.now) for item in done)
    return _FINISH_DONE, [{"the_id": each, "attempt": attempt, "now": now} for each, attempt, now in held]


def finished(connection: Connection, finishes: Sequence[Finish], ended: Result) -> list[bool]:
    """As `finish_many`, once those that are done have been ended."""
    won = {(row.id, row.attempts) for row in ended.rows}
    for item in finishes:
        if isinstance(item.outcome, Done):
            continue
        row = connection.execute(
            _FINISH_ONE.values(**_ending(item)),
            {"the_id": item.claimed.obligation_id, "attempt": item.claimed.attempt},
        ).first()
        if row is not None:
            won.add((row.id, row.attempts))
    results = [(item.claimed.obligation_id, item.claimed.attempt) in won for item in finishes]
    parked = [
        (item, item.outcome)
        for item, is_ours in zip(finishes, results, strict=True)
        if is_ours and isinstance(item.outcome, Parked)
    ]
    if parked:
        dead_letters.record_many(connection, [_dead_letter(item, outcome) for item, outcome in parked])
    return results


def in_order(*which: ColumnElement[bool] | TextClause, skip_locked: bool = False) -> ColumnElement[bool]:
    """The condition for several rows to be written: locked in the order of their ids before.

    Two who write the same rows wait for each other in turn, not in a ring: left to itself, PostgreSQL locks them in the
    order in which it happens to find them.
    """
    ids = select(obligations.c.id).where(*which).order_by(obligations.c.id)
    return obligations.c.id.in_(ids.with_for_update(skip_locked=skip_locked))


def claimed_of(row: Any) -> Claimed:
    """What a row of a claim says of the obligation."""
    return Claimed(
        obligation_id=ObligationId(row.id),
        lane=Lane(row.lane),
        task=row.task,
        subject=row.subject,
        created_at=row.created_at,
        deadline_at=row.deadline_at,
        lease_until=row.lease_until,
        attempt=row.attempts,
        trace_id=row.trace_id,
        last_error=row.last_error,
    )


def _dead_letter(item: Finish, outcome: Parked) -> dead_letters.DeadLetter:
    return dead_letters.DeadLetter(
        dead_letter_id=new_id(item.now),
        obligation_id=item.claimed.obligation_id,
        lane=item.claimed.lane,
        reason=outcome.reason,
        detail=outcome.error[:_LONGEST_ERROR_CHARS],
        at=item.now,
    )


def _ending(item: Finish) -> dict[str, object]:
    outcome = item.outcome
    if isinstance(outcome, Retry):
        return {
            "state": State.OPEN,
            "run_at": outcome.run_at,
            "publish_at": item.publish_at or outcome.run_at,
            "publications": 0,
            "lease_until": None,
            "reason": outcome.reason,
            "last_error": outcome.error[:_LONGEST_ERROR_CHARS],
        }
    if isinstance(outcome, Missed):
        return _final(State.MISSED, item.now, outcome.reason, outcome.error)
    if isinstance(outcome, Parked):
        return _final(State.PARKED, item.now, outcome.reason, outcome.error)
    raise AssertionError("done is finished in one statement for all")


def _final(state: State, now: datetime, reason: str, error: str) -> dict[str, object]:
    ending: dict[str, object] = {"state": state, "finished_at": now, "lease_until": None, "reason": reason}
    return ending | ({"last_error": error[:_LONGEST_ERROR_CHARS]} if error else {})


_NEW = (
    "id",
    "lane",
    "task",
    "subject",
    "state",
    "reason",
    "finished_at",
    "created_at",
    "run_at",
    "deadline_at",
    "publish_at",
    "trace_id",
)
_ADD = Statement(insert(obligations), sets=_NEW)


def adding(condition: ColumnElement[bool]) -> Statement:
    """The statement that adds an obligation, by `row_of` it, where the condition holds."""
    values = [bindparam(name, type_=obligations.c[name].type) for name in _NEW]
    return Statement(insert(obligations).from_select(_NEW, select(*values).where(condition)))


# The ids alone as well: SQLite finds no index for a list of pairs, and would read every obligation there ever was.
_KEYS = and_(
    obligations.c.id.in_(bindparam("ids", expanding=True)),
    tuple_(obligations.c.id, obligations.c.attempts).in_(bindparam("keys", expanding=True)),
)
_HELD = obligations.c.state == State.RUNNING.value
_IS_OURS = and_(
    obligations.c.id == bindparam("the_id"), obligations.c.attempts == bindparam("attempt"), _HELD
)
_IS_CLAIMABLE = and_(
    obligations.c.id == bindparam("the_id"),
    obligations.c.run_at <= bindparam("due"),
    or_(
        obligations.c.state == State.OPEN.value,
        and_(_HELD, obligations.c.lease_until <= bindparam("now")),
    ),
)
_CLAIMED = (
    obligations.c.id,
    obligations.c.lane,
    obligations.c.task,
    obligations.c.subject,
    obligations.c.created_at,
    obligations.c.deadline_at,
    obligations.c.lease_until,
    obligations.c.attempts,
    obligations.c.trace_id,
    obligations.c.last_error,
)


def claiming(*also: ColumnElement[Any]) -> Statement:
    """The statement of a claim, whose rows tell `also` besides the obligation."""
    claim = (
        update(obligations)
        .where(_IS_CLAIMABLE, ~IS_PAUSED)
        .values(
            state=State.RUNNING.value,
            reason=None,
            attempts=obligations.c.attempts + 1,
            lease_until=bindparam("until"),
            publish_at=bindparam("until"),
            publications=0,
        )
        .returning(*_CLAIMED, *also)
    )
    return Statement(claim, returns=(*_CLAIMED, *also))


_CLAIM = claiming()
# The message is spent. Where another is at the row it is not waited for: it is claimed, or its lane goes on.
_WAIT_FOR_RESUME = Statement(
    update(obligations)
    .where(in_order(_IS_CLAIMABLE, IS_PAUSED, skip_locked=True))
    .values(publish_at=bindparam("now"), publications=0)
)
_RENEW = (
    update(obligations)
    .where(in_order(_KEYS, _HELD))
    .values(lease_until=bindparam("until"), publish_at=bindparam("until"))
    .returning(obligations.c.id)
)
_FINISH_DONE = Statement(
    update(obligations)
    .where(_IS_OURS)
    .values(state=State.DONE.value, finished_at=bindparam("now"), lease_until=None)
    .returning(obligations.c.id, obligations.c.attempts),
    returns=(obligations.c.id, obligations.c.attempts),
)
_FINISH_ONE = update(obligations).where(_IS_OURS).returning(obligations.c.id, obligations.c.attempts)
