"""Who must not get a campaign: named lists of customers, kept by operators.

An entry without `until` stands for good; one with it stands before that moment, and is kept until it is removed.
Customer ids are compared as written.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, or_, select, update

from clearance.ledger.insert_new import insert_new
from clearance.ledger.portions import portions
from clearance.ledger.tables import suppressions

LIST_NAME_PATTERN = r"[a-z0-9-]{1,64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """A customer on a list. `until` is exclusive; None for good."""

    list_name: str
    customer_id: str
    added_at: datetime
    added_by: str
    note: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of entries that were to be added: of those there already, some say something else now."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCount:
    """A list, how many customers stand on it now, and for how many `until` is past."""

    list_name: str
    standing: int
    expired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Which of these customers stand on this list at `now`?"""

    list_name: str
    customer_ids: Sequence[str]
    now: datetime


def add_many(connection: Connection, items: Sequence[Suppression]) -> Added:
    """Put customers on lists. For one who is there, `until` is set as told, and the note if there is one.

    What says nothing new changes nothing: who added it, and when, stays.
    """
    if not items:
        return Added()
    # In one order everywhere: two imports of the same customers wait for each other in turn, not in a ring.
    rows = [_row(item) for item in sorted(items, key=lambda item: (item.list_name, item.customer_id))]
    added = connection.execute(_INSERT, rows).rowcount
    changed = 0
    if added < len(rows):
        changed = connection.execute(
            _CHANGE, [{f"new_{k}": each for k, each in row.items()} for row in rows]
        ).rowcount
    return Added(added=added, changed=changed, unchanged=len(rows) - added - changed)


def remove_many(connection: Connection, list_name: str, customer_ids: Sequence[str]) -> set[str]:
    """Take customers off a list; those who were on it."""
    removed: set[str] = set()
    for portion in portions(customer_ids):
        removed.update(connection.execute(_REMOVE, {"list_name": list_name, "ids": portion}).scalars())
    return removed


def listed(connection: Connection, list_name: str, *, after: str = "", limit: int) -> list[Suppression]:
    """A page of a list, expired entries included, by customer id; the next begins `after` the last of this one."""
    rows = connection.execute(_PAGE, {"list_name": list_name, "after": after, "limit": limit})
    return [_suppression(row) for row in rows]


def of_customer(connection: Connection, customer_id: str) -> list[Suppression]:
    """Every list that the customer is on, expired entries included."""
    return [_suppression(row) for row in connection.execute(_OF_CUSTOMER, {"customer_id": customer_id})]


def counts(connection: Connection, now: datetime) -> list[ListCount]:
    """Every list, by name. Reads them all: for operators, not for decisions."""
    return [
        ListCount(list_name=row.list_name, standing=row.entries - row.expired, expired=row.expired)
        for row in connection.execute(_COUNTS, {"now": now})
    ]


def is_known(connection: Connection, list_name: str) -> bool:
    """Whether anybody is on this list."""
    return bool(connection.execute(_IS_KNOWN, {"list_name": list_name}).scalar())


def find_many(connection: Connection, lookups: Sequence[Lookup]) -> list[frozenset[str]]:
    """For each lookup, who of its customers stands on its list."""
    asked: dict[str, set[str]] = {}
    for lookup in lookups:
        asked.setdefault(lookup.list_name, set()).update(lookup.customer_ids)
    # They were asked within milliseconds; of an entry that ends in between, it is safer that it still stands.
    now = min(lookup.now for lookup in lookups)
    found = {name: _standing(connection, name, ids, now) for name, ids in asked.items()}
    return [found[lookup.list_name].intersection(lookup.customer_ids) for lookup in lookups]


def _standing(
    connection: Connection, list_name: str, customer_ids: Collection[str], now: datetime
) -> frozenset[str]:
    found: set[str] = set()
    for portion in portions(customer_ids):
        asked = {"list_name": list_name, "ids": portion, "now": now}
        found.update(connection.execute(_FIND, asked).scalars())
    return frozenset(found)


def _row(item: Suppression) -> dict[str, object]:
    return {
        "list_name": item.list_name,
        "customer_id": item.customer_id,
        "added_at": item.added_at,
        "added_by": item.added_by,
        "note": item.note,
        "until": item.until,
    }


def _suppression(row: Row[Any]) -> Suppression:
    return Suppression(
        list_name=row.list_name,
        customer_id=row.customer_id,
        added_at=row.added_at,
        added_by=row.added_by,
        note=row.note,
        until=row.until,
    )


_IS_ON_LIST = suppressions.c.list_name == bindparam("list_name")
_IS_ONE_OF = suppressions.c.customer_id.in_(bindparam("ids", expanding=True))
_INSERT = insert_new(suppressions)
_UNTIL = bindparam("new_until", type_=suppressions.c.until.type)
_NOTE = func.coalesce(bindparam("new_note", type_=suppressions.c.note.type), suppressions.c.note)
_CHANGE = (
    update(suppressions)
    .where(
        suppressions.c.list_name == bindparam("new_list_name"),
        suppressions.c.customer_id == bindparam("new_customer_id"),
        or_(suppressions.c.until.is_distinct_from(_UNTIL), suppressions.c.note.is_distinct_from(_NOTE)),
    )
    .values(added_at=bindparam("new_added_at"), added_by=bindparam("new_added_by"), note=_NOTE, until=_UNTIL)
)
_REMOVE = delete(suppressions).where(_IS_ON_LIST, _IS_ONE_OF).returning(suppressions.c.customer_id)
_PAGE = (
    select(suppressions)
    .where(_IS_ON_LIST, suppressions.c.customer_id > bindparam("after"))
    .order_by(suppressions.c.customer_id)
    .limit(bindparam("limit"))
)
_OF_CUSTOMER = (
    select(suppressions)
    .where(suppressions.c.customer_id == bindparam("customer_id"))
    .order_by(suppressions.c.list_name)
)
_EXPIRED = func.count().filter(suppressions.c.until <= bindparam("now"))
_COUNTS = (
    select(suppressions.c.list_name, func.count().label("entries"), _EXPIRED.label("expired"))
    .group_by(suppressions.c.list_name)
    .order_by(suppressions.c.list_name)
)
_IS_KNOWN = select(exists().where(_IS_ON_LIST))
_FIND = select(suppressions.c.customer_id).where(
    _IS_ON_LIST,
    _IS_ONE_OF,
    or_(suppressions.c.until.is_(None), suppressions.c.until > bindparam("now")),
)
