"""How groups stand, for operators: which there are, and how far each is.

Every read is bounded, finds its rows by an index, and blocks nobody who writes. Nothing here names a customer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, select

from clearance.ledger.group_facts import ChunkState, Group, GroupState, group_of
from clearance.ledger.portions import portions
from clearance.ledger.tables import chunks, groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """The chunks of one state: how many, and how many customers they have."""

    count: int
    customers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the generation is that a group is at, in customers.

    Attributes:
        decided: About whom the rules decided, whatever became of it.
        approved: How many of them are approved.
        not_decided: About whom they did not, in time.
        not_sent: About whom they did, but whose answer the vendor did not take in time.
    """

    group: Group
    chunks_by_state: Mapping[ChunkState, Chunks]
    decided: int
    approved: int
    not_decided: int
    not_sent: int

    @property
    def not_fetched(self) -> int:
        """Of those that the vendor told of, how many had not come when the group was missed."""
        group = self.group
        if group.state is not GroupState.MISSED or group.fetched_at is not None:
            return 0
        return max(0, (group.expected_customers or 0) - group.fetched)

    @property
    def submitted(self) -> int:
        """How many answers the vendor took."""
        submitted = self.chunks_by_state.get(ChunkState.SUBMITTED)
        return submitted.customers if submitted else 0

    @property
    def is_reviewed(self) -> bool:
        """Whether all customers were fetched and decided."""
        return self.group.fetched_at is not None and self.decided >= self.group.fetched


def listed(
    connection: Connection,
    *,
    last: int,
    state: GroupState | None = None,
    deadline_before: datetime | None = None,
    deadline_after: datetime | None = None,
    occurrence_id: str | None = None,
) -> list[Standing]:
    """The `last` groups of the latest deadlines that are asked for, the latest first."""
    statement = select(groups)
    if state is not None:
        statement = statement.where(groups.c.state == state.value)
    if deadline_before is not None:
        statement = statement.where(groups.c.deadline_at < deadline_before)
    if deadline_after is not None:
        statement = statement.where(groups.c.deadline_at > deadline_after)
    if occurrence_id is not None:
        statement = statement.where(groups.c.occurrence_id == occurrence_id)
    rows = connection.execute(statement.order_by(groups.c.deadline_at.desc()).limit(last))
    return standings(connection, [group_of(row) for row in rows])


def named(connection: Connection, group_id: str) -> list[Group]:
    """The groups that may be meant: the one of this id, else those that a vendor calls so, one for each of its APIs."""
    ours = connection.execute(_SELECT_GROUP, {"group": group_id}).first()
    if ours is not None:
        return [group_of(ours)]
    return [group_of(row) for row in connection.execute(_SELECT_VENDORS, {"vendor": group_id})]


def standings(connection: Connection, found: Sequence[Group]) -> list[Standing]:
    """How far each of these groups is, in their order."""
    rows_by_id: dict[str, list[Row[Any]]] = {group.group_id: [] for group in found}
    for ids in portions(rows_by_id):
        for row in connection.execute(_COUNT_CHUNKS, {"ids": ids}):
            rows_by_id[row.group_id].append(row)
    return [_standing(group, rows_by_id[group.group_id]) for group in found]


def _standing(group: Group, rows: Sequence[Row[Any]]) -> Standing:
    row_by_state = {row.state: row for row in rows}
    return Standing(
        group=group,
        chunks_by_state={
            state: Chunks(count=row_by_state[state].chunks, customers=row_by_state[state].customers)
            for state in ChunkState
            if state in row_by_state
        },
        decided=sum(row.decided for row in rows),
        approved=sum(row.approved or 0 for row in rows),
        not_decided=sum(row.customers - row.decided for row in rows if row.state == ChunkState.MISSED),
        not_sent=sum(row.decided for row in rows if row.state == ChunkState.MISSED),
    )


_SELECT_GROUP = select(groups).where(groups.c.id == bindparam("group"))
_SELECT_VENDORS = select(groups).where(groups.c.vendor_id == bindparam("vendor")).order_by(groups.c.api)
_COUNT_CHUNKS = (
    select(
        chunks.c.group_id,
        chunks.c.state,
        func.count().label("chunks"),
        func.sum(chunks.c.customers).label("customers"),
        func.sum(case((chunks.c.decided_at.is_not(None), chunks.c.customers), else_=0)).label("decided"),
        func.sum(chunks.c.approved).label("approved"),
    )
    .join(groups, groups.c.id == chunks.c.group_id)
    .where(groups.c.id.in_(bindparam("ids", expanding=True)), chunks.c.generation == groups.c.generation)
    .group_by(chunks.c.group_id, chunks.c.state)
)
