"""What of a group is to be submitted next, what was, and how far it is.

In: a revision that a worker holds the obligation to submit. A revision that is not the current one any more gets
nothing: the vendor said something else meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select, update

from clearance.ledger.chunk_bodies import Answers, load_answers
from clearance.ledger.decisions import Answer, NewApproval, record_approvals
from clearance.ledger.group_facts import ChunkState, Group, GroupState, group_of
from clearance.ledger.late_answers import correct_end
from clearance.ledger.tables import chunks, group_revisions, groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a generation is, in customers; `chunks_left` are those that are not decided or not submitted."""

    group: Group
    undecided: int
    decided: int
    submitted: int
    missed: int
    cancelled: int
    approved: int
    chunks_left: int

    @property
    def is_complete(self) -> bool:
        """Whether every customer was fetched and nothing is left to decide or to submit."""
        return self.group.fetched_at is not None and self.chunks_left == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedChunks:
    """What one call may carry: whole chunks, in order. Empty when nothing more is decided yet."""

    group: Group
    numbers: tuple[int, ...]
    answers: Answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call for a group, and the chunks that it carried, none if it failed for sure.

    Attributes:
        approval: None when nothing had to be sent: the vendor knows these answers.
        now: When that was found out, or the call was recorded.
    """

    group_id: str
    generation: int
    revision: int
    deadline_at: datetime
    approval: NewApproval | None
    now: datetime
    numbers: Sequence[int] = ()


def next_decided(
    connection: Connection, group_id: str, revision: int, limit_customers: int, *, after: int = 0
) -> DecidedChunks | None:
    """The chunks that are decided and not submitted, up to so many customers but at least one chunk.

    Args:
        after: Only chunks of a greater number: for who has a call under way with those up to it.

    Returns:
        None when the revision is not the current one any more, or has ended: nothing may be sent for it.
    """
    row = connection.execute(_SELECT_CURRENT, {"group": group_id, "of_revision": revision}).first()
    if row is None:
        return None
    group = group_of(row)
    numbers: list[int] = []
    customers = 0
    asked = {"group": group_id, "of_generation": group.generation, "after": after}
    asked["limit"] = max(1, limit_customers)
    for number, count in connection.execute(_SELECT_DECIDED, asked).tuples():
        if numbers and customers + count > limit_customers:
            break
        numbers.append(number)
        customers += count
    return DecidedChunks(group=group, numbers=tuple(numbers), answers=_answers(connection, group, numbers))


def submitted_many(connection: Connection, items: Sequence[Call]) -> list[int]:
    """Note calls, and that the chunks which they carried are submitted if the vendor took them.

    Returns:
        For each, how many customers are submitted by it that were not before: 0 for a repeat.
    """
    record_approvals(connection, [item.approval for item in items if item.approval])
    in_order = sorted(enumerate(items), key=lambda each: (each[1].group_id, each[1].revision))
    customers = {position: _submit(connection, item) for position, item in in_order}
    return [customers[position] for position in range(len(items))]


def progress(connection: Connection, group_id: str) -> Progress | None:
    """How far the group's current generation is; None for an unknown group."""
    row = connection.execute(_SELECT_GROUP, {"group": group_id}).first()
    if row is None:
        return None
    group = group_of(row)
    found = connection.execute(_COUNT_STATES, {"group": group_id, "of_generation": group.generation})
    count_by_state = {each.state: each for each in found}
    customers = {state: each.customers for state, each in count_by_state.items()}
    left = (ChunkState.FETCHED, ChunkState.DECIDED)
    return Progress(
        group=group,
        undecided=customers.get(ChunkState.FETCHED, 0),
        decided=customers.get(ChunkState.DECIDED, 0),
        submitted=customers.get(ChunkState.SUBMITTED, 0),
        missed=customers.get(ChunkState.MISSED, 0),
        cancelled=customers.get(ChunkState.CANCELLED, 0),
        approved=sum(each.approved or 0 for each in count_by_state.values()),
        chunks_left=sum(count_by_state[state].chunks for state in left if state in count_by_state),
    )


def _answers(connection: Connection, group: Group, numbers: Sequence[int]) -> Answers:
    if not numbers:
        return []
    asked = {"group": group.group_id, "of_generation": group.generation, "numbers": list(numbers)}
    answers: Answers = []
    for row in connection.execute(_SELECT_ANSWERS, asked):
        answers += load_answers(row.answers)
    return answers


def _submit(connection: Connection, item: Call) -> int:
    """The revision's row first, then its chunks: the order in which a group is closed, too."""
    asked: dict[str, Any] = {"group": item.group_id, "of_revision": item.revision}
    at = item.now
    if item.approval is not None:
        at = _note_call(connection, item, item.approval, asked)
        if item.approval.answer is not Answer.TAKEN:
            return 0
    if not item.numbers:
        return 0
    asked |= {"of_generation": item.generation, "numbers": list(item.numbers), "now": at}
    decided = _submit_chunks(connection, asked, ChunkState.DECIDED)
    # Also what was given up meanwhile: the vendor's answer came late, but it took them.
    missed = _submit_chunks(connection, asked, ChunkState.MISSED)
    cancelled = _submit_chunks(connection, asked, ChunkState.CANCELLED)
    customers = decided + missed + cancelled
    if customers:
        connection.execute(_ADD_SUBMITTED, asked | {"more": customers, "less": missed})
    if missed:
        correct_end(connection, item.group_id, item.revision)
    return customers


def _note_call(connection: Connection, item: Call, call: NewApproval, asked: Mapping[str, Any]) -> datetime:
    """When it ended, as far as we know; the revision keeps the first and the last one, and the margin."""
    at = call.answered_at or call.sent_at
    margin_ms = int((item.deadline_at - at).total_seconds() * 1000)
    connection.execute(_NOTE_CALL, {**asked, "at": at, "sent": call.sent_at, "margin": margin_ms})
    return at


def _submit_chunks(connection: Connection, asked: Mapping[str, Any], state: ChunkState) -> int:
    return sum(connection.execute(_SUBMIT, {**asked, "was": state}).scalars())


_OF_GENERATION = (
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
)
_IS_REVISION = (
    group_revisions.c.group_id == bindparam("group"),
    group_revisions.c.revision == bindparam("of_revision"),
)
_SELECT_GROUP = select(groups).where(groups.c.id == bindparam("group"))
_SELECT_CURRENT = _SELECT_GROUP.where(
    groups.c.revision == bindparam("of_revision"), groups.c.state == GroupState.OPEN.value
)
_SELECT_DECIDED = (
    select(chunks.c.number, chunks.c.customers)
    .where(
        *_OF_GENERATION,
        chunks.c.state == ChunkState.DECIDED.value,
        chunks.c.number > bindparam("after"),
    )
    .order_by(chunks.c.number)
    .limit(bindparam("limit"))
)
_SELECT_ANSWERS = (
    select(chunks.c.answers)
    .where(*_OF_GENERATION, chunks.c.number.in_(bindparam("numbers", expanding=True)))
    .order_by(chunks.c.number)
)
_COUNT_STATES = (
    select(
        chunks.c.state,
        func.count().label("chunks"),
        func.sum(chunks.c.customers).label("customers"),
        func.sum(chunks.c.approved).label("approved"),
    )
    .where(*_OF_GENERATION)
    .group_by(chunks.c.state)
)
_NOTE_CALL = (
    update(group_revisions)
    .where(
        *_IS_REVISION,
        or_(group_revisions.c.last_call_at.is_(None), group_revisions.c.last_call_at <= bindparam("at")),
    )
    .values(
        first_call_at=func.coalesce(group_revisions.c.first_call_at, bindparam("sent")),
        last_call_at=bindparam("at"),
        margin_ms=bindparam("margin"),
    )
)
_SUBMIT = (
    update(chunks)
    .where(
        *_OF_GENERATION,
        chunks.c.number.in_(bindparam("numbers", expanding=True)),
        chunks.c.state == bindparam("was"),
        chunks.c.decided_at.is_not(None),
    )
    .values(
        state=ChunkState.SUBMITTED.value,
        submitted_at=bindparam("now"),
        submitted_revision=bindparam("of_revision"),
    )
    .returning(chunks.c.customers)
)
_ADD_SUBMITTED = (
    update(group_revisions)
    .where(*_IS_REVISION)
    .values(
        submitted=group_revisions.c.submitted + bindparam("more"),
        not_sent=group_revisions.c.not_sent - bindparam("less"),
    )
)
