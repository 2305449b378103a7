"""What of a group is to be submitted next, and how far is it?

In: a revision that a worker holds the obligation to submit. A revision that is not the current one any more gets
nothing: the vendor said something else meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from clearance.ledger.chunk_bodies import Answers, load_answers
from clearance.ledger.group_facts import ChunkState, Group, GroupState, group_of
from clearance.ledger.tables import chunks, groups


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
    """What one call may carry: whole chunks, in order. Empty when nothing more is decided yet.

    Attributes:
        unsent: Of `numbers` those that no call has carried of which the vendor's answer is not known.
    """

    group: Group
    numbers: tuple[int, ...]
    answers: Answers
    unsent: tuple[int, ...] = ()


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
    unsent: list[int] = []
    customers = 0
    asked = {"group": group_id, "of_generation": group.generation, "after": after}
    asked["limit"] = max(1, limit_customers)
    for number, count, sent_under in connection.execute(_SELECT_DECIDED, asked).tuples():
        if numbers and customers + count > limit_customers:
            break
        numbers.append(number)
        if sent_under is None:
            unsent.append(number)
        customers += count
    return DecidedChunks(
        group=group,
        numbers=tuple(numbers),
        answers=_answers(connection, group, numbers),
        unsent=tuple(unsent),
    )


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


_OF_GENERATION = (
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
)
_SELECT_GROUP = select(groups).where(groups.c.id == bindparam("group"))
_SELECT_CURRENT = _SELECT_GROUP.where(
    groups.c.revision == bindparam("of_revision"), groups.c.state == GroupState.OPEN.value
)
_SELECT_DECIDED = (
    select(chunks.c.number, chunks.c.customers, chunks.c.submitted_revision)
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
