"""How a revision ends: submitted when every customer was answered, otherwise missed once its deadline is over.

What was fetched and not decided by then is refused with a reason, chunk by chunk, so that whoever asks about a customer
is told; what was decided and not sent keeps its decision, in a chunk that says missed. Each step is a transaction of
its own and safe to repeat; who submits a chunk late, because the vendor's answer came late, still wins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from clearance.decisions.decision import Decision
from clearance.ledger import group_obligations as owed
from clearance.ledger.chunk_bodies import load_customer_ids
from clearance.ledger.decisions import NewDecision
from clearance.ledger.decisions_in_bulk import stand_in_bulk
from clearance.ledger.group_facts import ChunkState, EndedAs, Group, GroupState, group_of
from clearance.ledger.group_revisions import end_revision
from clearance.ledger.tables import chunks, group_revisions, groups

NOT_DECIDED_IN_TIME = "NOT_DECIDED_IN_TIME"
"""The reason of a customer who was fetched but not decided about by the deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftChunk:
    """A chunk of a revision whose deadline is over, that was not submitted."""

    group_id: str
    revision: int
    generation: int
    number: int
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A revision that may have ended. `is_over`: its deadline is, so that it ends whatever is missing."""

    group_id: str
    revision: int
    now: datetime
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a revision ended, in customers.

    Attributes:
        submitted: Those submitted under this revision; `not_decided` and `not_sent` were fetched in vain.
        not_fetched: Of those that the vendor told of, how many never came; 0 when it told no number.
        margin_s: What was left of the time when the last call was taken; None when none was.
    """

    group: Group
    ended_as: EndedAs
    submitted: int
    not_decided: int
    not_sent: int
    not_fetched: int
    margin_s: float | None

    @property
    def missed(self) -> int:
        """Customers who were not answered in time."""
        return self.not_decided + self.not_sent + self.not_fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of an attempt to end a revision.

    Attributes:
        ended: How it ended; None when it has not, had ended before, or is not the current one any more.
        chunks_left: Chunks that have to be submitted or missed before it can end.
    """

    ended: Ended | None = None
    chunks_left: int = 0


def ended_of(revision: Row[Any], group: Group, ended_as: EndedAs) -> Ended:
    """How a revision of the group ended, by its row."""
    # Of a generation before, how many were fetched is not known any more.
    is_counted = group.fetched_at is None and group.generation == revision.generation
    expected = group.expected_customers if is_counted else None
    # Without a call, the revision says how late it was told.
    is_margin = revision.margin_ms is not None and revision.last_call_at is not None
    return Ended(
        group=group,
        ended_as=ended_as,
        submitted=revision.submitted,
        not_decided=revision.not_decided,
        not_sent=revision.not_sent,
        not_fetched=max(0, (expected or 0) - group.fetched),
        margin_s=revision.margin_ms / 1000 if is_margin else None,
    )


def left_chunks(connection: Connection, group_id: str, generation: int, limit: int) -> list[int]:
    """The numbers of chunks that are not submitted, missed or cancelled."""
    asked = {"group": group_id, "of_generation": generation, "limit": limit}
    return list(connection.execute(_SELECT_LEFT, asked).scalars())


def miss_many(connection: Connection, items: Sequence[LeftChunk]) -> list[int]:
    """Give chunks up. How many customers each had; 0 for one that was submitted or given up before."""
    in_order = sorted(enumerate(items), key=lambda each: (each[1].group_id, each[1].revision, each[1].number))
    customers = {position: _miss(connection, item) for position, item in in_order}
    return [customers[position] for position in range(len(items))]


def end_many(connection: Connection, items: Sequence[End]) -> list[Ending]:
    """End revisions of which nothing is left to do. A repeat finds nothing to end."""
    in_order = sorted(enumerate(items), key=lambda each: (each[1].group_id, each[1].revision))
    ending = {position: _end(connection, item) for position, item in in_order}
    return [ending[position] for position in range(len(items))]


def _miss(connection: Connection, item: LeftChunk) -> int:
    group = connection.execute(_LOCK_GROUP, {"group": item.group_id}).first()
    if group is None or (group.revision, group.generation) != (item.revision, item.generation):
        return 0  # the vendor said something else meanwhile: its customers may still be answered
    revision = {"group": item.group_id, "of_revision": item.revision}
    # The revision first, then the chunk: the order in which calls are noted, too.
    connection.execute(_LOCK_REVISION, revision)
    chunk = {"group": item.group_id, "of_generation": item.generation, "the_number": item.number}
    row = connection.execute(_LOCK_CHUNK, chunk).first()
    if row is None or row.state not in _LEFT:
        return 0
    if row.state == ChunkState.FETCHED:
        _refuse(connection, item, load_customer_ids(row.body))
        connection.execute(_ADD_NOT_DECIDED, revision | {"more": row.customers})
    else:
        connection.execute(_ADD_NOT_SENT, revision | {"more": row.customers})
    connection.execute(_MISS, chunk)
    customers: int = row.customers
    return customers


def _refuse(connection: Connection, item: LeftChunk, customer_ids: Sequence[str]) -> None:
    refused = Decision(approved=False, reasons=(NOT_DECIDED_IN_TIME,), rules_version="")
    stand_in_bulk(
        connection,
        [
            NewDecision(
                subject=owed.subject_of(item.group_id, item.generation),
                customer_id=customer_id,
                decision=refused,
                inputs_digest="",
                decided_at=item.now,
                chunk=item.number,
            )
            for customer_id in customer_ids
        ],
    )


def _end(connection: Connection, item: End) -> Ending:
    row = connection.execute(_LOCK_GROUP, {"group": item.group_id}).first()
    if row is None or row.revision != item.revision:
        return Ending()
    group = group_of(row)
    left = connection.execute(_COUNT_LEFT, {"group": group.group_id, "of_generation": group.generation})
    chunks_left: int = left.scalar_one()
    is_complete = group.fetched_at is not None and not chunks_left
    if chunks_left or group.state is not GroupState.OPEN or not (is_complete or item.is_over):
        return Ending(chunks_left=chunks_left)
    return Ending(ended=_ended(connection, group, item.now, is_complete=is_complete))


def _ended(connection: Connection, group: Group, now: datetime, *, is_complete: bool) -> Ended:
    asked = {"group": group.group_id, "of_revision": group.revision, "of_generation": group.generation}
    counts = connection.execute(_LOCK_REVISION, asked).one()
    was_answered = is_complete and not (counts.not_decided or counts.not_sent)
    ended_as = EndedAs.SUBMITTED if was_answered else EndedAs.MISSED
    end_revision(connection, group, ended_as, now)
    connection.execute(_END_GROUP, {"group": group.group_id, "ended": ended_as, "now": now})
    connection.execute(_DROP_ANSWERS, asked)
    return ended_of(counts, group, ended_as)


_LEFT = (ChunkState.FETCHED.value, ChunkState.DECIDED.value)
_OF_GENERATION = (
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
)
_IS_CHUNK = (*_OF_GENERATION, chunks.c.number == bindparam("the_number"))
_IS_REVISION = (
    group_revisions.c.group_id == bindparam("group"),
    group_revisions.c.revision == bindparam("of_revision"),
)
_SELECT_LEFT = (
    select(chunks.c.number)
    .where(*_OF_GENERATION, chunks.c.state.in_(_LEFT))
    .order_by(chunks.c.number)
    .limit(bindparam("limit"))
)
_COUNT_LEFT = select(func.count()).select_from(chunks).where(*_OF_GENERATION, chunks.c.state.in_(_LEFT))
_LOCK_GROUP = select(groups).where(groups.c.id == bindparam("group")).with_for_update()
_LOCK_REVISION = select(group_revisions).where(*_IS_REVISION).with_for_update()
_LOCK_CHUNK = select(chunks.c.state, chunks.c.customers, chunks.c.body).where(*_IS_CHUNK).with_for_update()
_MISS = update(chunks).where(*_IS_CHUNK).values(state=ChunkState.MISSED.value, body=None)
_ADD_NOT_DECIDED = (
    update(group_revisions)
    .where(*_IS_REVISION)
    .values(not_decided=group_revisions.c.not_decided + bindparam("more"))
)
_ADD_NOT_SENT = (
    update(group_revisions)
    .where(*_IS_REVISION)
    .values(not_sent=group_revisions.c.not_sent + bindparam("more"))
)
_END_GROUP = (
    update(groups)
    .where(groups.c.id == bindparam("group"))
    .values(state=bindparam("ended"), finished_at=bindparam("now"))
)
_DROP_ANSWERS = update(chunks).where(*_OF_GENERATION).values(answers=None)
