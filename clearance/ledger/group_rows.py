"""How the rows of groups are locked, added and written: who holds one decides alone what becomes of the group."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from clearance.ledger.group_facts import Group, dump_campaign, group_of
from clearance.ledger.insert_new import insert_new
from clearance.ledger.tables import groups

Key = tuple[str, str]
"""The api and the vendor's id."""


def locked(connection: Connection, new_by_key: Mapping[Key, Group]) -> tuple[dict[Key, Group], set[Key]]:
    """The groups of these keys, locked until the end of the transaction, and which of them are new.

    Those that are not there are added as `new_by_key` says.
    """
    known = _select(connection, new_by_key)
    # In one order everywhere: two transactions with the same groups wait for each other in turn, not in a ring.
    missing = sorted(new_by_key.keys() - known.keys())
    if not missing:
        return known, set()
    connection.execute(_INSERT, [_row(new_by_key[key]) for key in missing])
    known |= _select(connection, missing)
    return known, {key for key in missing if known[key].group_id == new_by_key[key].group_id}


def current(connection: Connection, key: Key) -> Group:
    """A group that is locked, as this transaction has made it."""
    return _select(connection, [key])[key]


def write(connection: Connection, group: Group) -> None:
    """Let a group that is locked be this from now on."""
    connection.execute(_UPDATE, {"the_id": group.group_id} | _changing(group))


def tell(connection: Connection, group: Group, told_at: datetime) -> None:
    """The vendor said the same again, later."""
    connection.execute(_TELL, {"the_id": group.group_id, "at": told_at})


def _select(connection: Connection, keys: Iterable[Key]) -> dict[Key, Group]:
    wanted = set(keys)
    rows = connection.execute(_SELECT, {"vendor_ids": sorted({vendor_id for _, vendor_id in wanted})})
    return {(row.api, row.vendor_id): group_of(row) for row in rows if (row.api, row.vendor_id) in wanted}


def _row(group: Group) -> dict[str, object]:
    return _changing(group) | {
        "id": group.group_id,
        "api": group.api,
        "vendor_id": group.vendor_id,
        "created_at": group.created_at,
    }


def _changing(group: Group) -> dict[str, object]:
    """What another revision may say differently."""
    return {
        "campaign": dump_campaign(group.campaign),
        "series_id": group.campaign.series_id or None,
        "occurrence_id": group.campaign.occurrence_id or None,
        "order_number": group.order,
        "total_groups": group.total_groups,
        "unique_customers": group.unique_customers,
        "expected_customers": group.expected_customers,
        "revision": group.revision,
        "generation": group.generation,
        "told_at": group.told_at,
        "deadline_at": group.deadline_at,
        "submit_at": group.submit_at,
        "hard_stop_at": group.hard_stop_at,
        "state": group.state,
        "fetched_at": group.fetched_at,
        "finished_at": group.finished_at,
        "fetched": group.fetched,
        "chunk_count": group.chunk_count,
        "trace_id": group.trace_id,
    }


_IS_IT = groups.c.id == bindparam("the_id")
_INSERT = insert_new(groups)
_SELECT = (
    select(groups)
    .where(groups.c.vendor_id.in_(bindparam("vendor_ids", expanding=True)))
    .order_by(groups.c.id)
    .with_for_update()
)
_UPDATE = update(groups).where(_IS_IT)
_TELL = update(groups).where(_IS_IT, groups.c.told_at < bindparam("at")).values(told_at=bindparam("at"))
