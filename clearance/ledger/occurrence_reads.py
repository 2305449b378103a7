"""Which occurrences there are, for operators: the groups that a sending of a campaign is made of, and how far each is.

An occurrence is what its groups say it is: one of many templates or of optimised send times has several, which are
told one by one. The same customer may be in several, and is decided about in each. Nothing here names a customer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from clearance.ledger.group_facts import Group, GroupState, group_of
from clearance.ledger.group_reads import Standing, standings
from clearance.ledger.tables import groups

# Groups that a listing looks through for occurrences, and groups that it tells of.
_MOST_SEEN = 100_000
MOST_GROUPS = 10_000
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One sending of a campaign. `groups` are those that were told of, in their order; there is at least one."""

    occurrence_id: str
    groups: tuple[Standing, ...]

    @property
    def series_id(self) -> str | None:
        """The campaign that it is a sending of; None where nobody said."""
        return self._told_last.campaign.series_id or None

    @property
    def expected(self) -> int | None:
        """How many groups it has by the vendor's last word; None where it said nothing."""
        return self._told_last.total_groups

    @property
    def unique_customers(self) -> int | None:
        """How many customers it has over all its groups by the vendor's last word."""
        return self._told_last.unique_customers

    @property
    def last_deadline_at(self) -> datetime:
        """When the last of the groups that we know must be answered."""
        return max(each.group.deadline_at for each in self.groups)

    @property
    def reviewed(self) -> int:
        """How many groups are fetched and decided about as a whole."""
        return sum(each.is_reviewed for each in self.groups)

    def count(self, state: GroupState) -> int:
        """How many groups are in this state."""
        return sum(each.group.state is state for each in self.groups)

    @property
    def _told_last(self) -> Group:
        return max((each.group for each in self.groups), key=lambda group: group.told_at)


def newest(connection: Connection, last: int) -> list[Occurrence]:
    """The `last` occurrences with the latest deadlines, the latest first."""
    ids: dict[str, None] = {}
    with connection.execute(_SELECT_NEWEST) as rows:
        for occurrence_id in rows.scalars():
            if occurrence_id is not None:
                ids[occurrence_id] = None
            if len(ids) == last:
                break
    found = _occurrences(connection, list(ids))
    return sorted(found, key=lambda each: (each.last_deadline_at, each.occurrence_id), reverse=True)


def one(connection: Connection, occurrence_id: str) -> Occurrence | None:
    """The occurrence of this id; None when no group said that it is of it."""
    return next(iter(_occurrences(connection, [occurrence_id])), None)


def _occurrences(connection: Connection, ids: Sequence[str]) -> list[Occurrence]:
    if not ids:
        return []
    rows = connection.execute(_SELECT_GROUPS, {"ids": list(ids)})
    by_id: dict[str, list[Standing]] = {}
    for standing in standings(connection, [group_of(row) for row in rows]):
        by_id.setdefault(standing.group.campaign.occurrence_id, []).append(standing)
    return [
        Occurrence(occurrence_id=each, groups=tuple(sorted(members, key=_place)))
        for each, members in by_id.items()
    ]


def _place(standing: Standing) -> tuple[bool, int, datetime, str]:
    """Groups without an order, those of V1, come last."""
    group = standing.group
    return group.order is None, group.order or 0, group.deadline_at, group.group_id


# Read until there are enough. That they have an occurrence is not asked here: its index has the wrong order.
_SELECT_NEWEST = (
    select(groups.c.occurrence_id)
    .order_by(groups.c.deadline_at.desc())
    .limit(_MOST_SEEN)
    .execution_options(stream_results=True, max_row_buffer=_ROWS_AT_ONCE)
)
_SELECT_GROUPS = (
    select(groups).where(groups.c.occurrence_id.in_(bindparam("ids", expanding=True))).limit(MOST_GROUPS)
)
