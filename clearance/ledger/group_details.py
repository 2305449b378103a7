"""Everything about one group, for operators: answers and reasons, revisions, calls, and what is owed for it.

What there may be many of is bounded, the newest first. Nothing here names a customer.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, select

from clearance.ledger import group_obligations as owed_by_groups
from clearance.ledger.closing import NOT_DECIDED_IN_TIME
from clearance.ledger.decisions import Answer
from clearance.ledger.group_facts import Cause, EndedAs, Group
from clearance.ledger.group_reads import Standing, standings
from clearance.ledger.tables import approvals, chunks, group_revisions, obligations
from clearance.obligations import ObligationId, State

# Of a group whose schedule moves all day, the newest are told.
MOST_REVISIONS = 100
MOST_CALLS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One thing that the vendor said of a group, and how it ended; None while it has not.

    Attributes:
        first_call_at: When the first call was begun; `last_call_at` is of those that the vendor took.
        margin_ms: What was left before the deadline at the last of these, or when it was missed without one.
        not_decided: Customers about whom nothing was decided in time.
        not_sent: Customers whose answer was decided, but not sent in time.
    """

    revision: int
    generation: int
    cause: Cause
    told_at: datetime
    received_at: datetime
    deadline_at: datetime
    submit_at: datetime
    ended_as: EndedAs | None
    ended_at: datetime | None
    first_call_at: datetime | None
    last_call_at: datetime | None
    margin_ms: int | None
    submitted: int
    not_decided: int
    not_sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCall:
    """One call that carries answers of a group to the vendor. Without `answered_at` no answer came back, or not yet."""

    revision: int | None
    attempt: int
    customers: int
    sent_at: datetime
    answered_at: datetime | None
    status: int | None
    answer: Answer
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedStep:
    """What is owed for the revision: to fetch, to submit, to close. `step` is the last part of its task's name."""

    step: str
    state: State
    attempts: int
    run_at: datetime
    reason: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Everything about a group. Revisions, the newest first, and calls, the newest first, are bounded.

    Attributes:
        reasons: How many customers each reason was told of; one may have several.
    """

    standing: Standing
    reasons: Mapping[str, int]
    revisions: tuple[Revision, ...]
    calls: tuple[GroupCall, ...]
    owed: tuple[OwedStep, ...]


def details(connection: Connection, group: Group) -> Details:
    """Everything about a group, as far as it is now."""
    (standing,) = standings(connection, [group])
    asked = {"group": group.group_id, "of_generation": group.generation}
    revisions = connection.execute(_SELECT_REVISIONS, {"group": group.group_id})
    return Details(
        standing=standing,
        reasons=_reasons(connection.execute(_SELECT_REASONS, asked).scalars(), standing.not_decided),
        revisions=tuple(map(_revision, revisions)),
        calls=tuple(map(_call, connection.execute(_SELECT_CALLS, {"group": group.group_id}))),
        owed=_owed(connection, group),
    )


def _reasons(of_chunks: Iterable[str | None], not_decided: int) -> dict[str, int]:
    """Those of all chunks together, the most frequent first."""
    together: Counter[str] = Counter({NOT_DECIDED_IN_TIME: not_decided} if not_decided else {})
    for written in of_chunks:
        together.update(orjson.loads(written or "{}"))
    return dict(sorted(together.items(), key=lambda each: (-each[1], each[0])))


def _revision(row: Row[Any]) -> Revision:
    return Revision(
        revision=row.revision,
        generation=row.generation,
        cause=Cause(row.cause),
        told_at=row.told_at,
        received_at=row.received_at,
        deadline_at=row.deadline_at,
        submit_at=row.submit_at,
        ended_as=EndedAs(row.ended_as) if row.ended_as else None,
        ended_at=row.ended_at,
        first_call_at=row.first_call_at,
        last_call_at=row.last_call_at,
        margin_ms=row.margin_ms,
        submitted=row.submitted,
        not_decided=row.not_decided,
        not_sent=row.not_sent,
    )


def _call(row: Row[Any]) -> GroupCall:
    return GroupCall(
        revision=row.revision,
        attempt=row.attempt,
        customers=row.customers,
        sent_at=row.sent_at,
        answered_at=row.answered_at,
        status=row.status,
        answer=Answer(row.outcome),
        error=row.error,
    )


def _owed(connection: Connection, group: Group) -> tuple[OwedStep, ...]:
    ids = [
        obligation_id(owed_by_groups.FETCH, group.group_id, group.generation),
        obligation_id(owed_by_groups.SUBMIT, group.group_id, group.revision),
        obligation_id(owed_by_groups.CLOSE, group.group_id, group.revision),
    ]
    row_by_id = {row.id: row for row in connection.execute(_SELECT_OWED, {"ids": ids})}
    return tuple(
        OwedStep(
            step=row.task.rpartition(".")[2],
            state=State(row.state),
            attempts=row.attempts,
            run_at=row.run_at,
            reason=row.reason,
            last_error=row.last_error,
        )
        for row in (row_by_id[each] for each in ids if each in row_by_id)
    )


def obligation_id(task: str, group_id: str, *numbers: int) -> ObligationId:
    """The id of what is owed for a group."""
    return owed_by_groups.obligation_id(task, owed_by_groups.subject_of(group_id, *numbers))


_SELECT_REASONS = select(chunks.c.reasons).where(
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
    chunks.c.reasons.is_not(None),
)
_SELECT_REVISIONS = (
    select(group_revisions)
    .where(group_revisions.c.group_id == bindparam("group"))
    .order_by(group_revisions.c.revision.desc())
    .limit(MOST_REVISIONS)
)
_SELECT_CALLS = (
    select(approvals)
    .where(approvals.c.subject == bindparam("group"))
    .order_by(approvals.c.sent_at.desc(), approvals.c.id.desc())
    .limit(MOST_CALLS)
)
_SELECT_OWED = select(obligations).where(obligations.c.id.in_(bindparam("ids", expanding=True)))
