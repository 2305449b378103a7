"""How a thousand decisions are written at once, as fast as each database takes them.

The same rows as `decisions.stand_many` writes, and the same promise: the first decision about a customer of a
notification or a chunk stands, and who comes later is told what it was.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, cast

from sqlalchemy import Connection

from clearance.decisions.decision import Decision
from clearance.ledger.decisions import NewDecision, insert_inputs, stand_many
from clearance.ledger.tables import decisions


def stand_in_bulk(connection: Connection, items: Sequence[NewDecision]) -> list[Decision]:
    """Keep the decisions, and give for each the one that stands; for one subject, or a few, and many customers."""
    if not items:
        return []
    if connection.dialect.name == "sqlite":
        written, in_order = _insert_sqlite(connection, items), items
    else:
        # In one order everywhere: two transactions with the same customers wait for each other in turn, not in a ring.
        in_order = sorted(items, key=lambda item: item.key)
        written = _insert_postgresql(connection, in_order)
    if written < len(items):
        return stand_many(connection, items)
    insert_inputs(connection, in_order)
    return [item.decision for item in items]


def _insert_sqlite(connection: Connection, items: Sequence[NewDecision]) -> int:
    moment = _moment_writer(connection)
    rows = [
        (
            item.customer_id,
            item.decision.approved,
            _reasons(item.decision.reasons),
            item.inputs_digest,
            item.decision.policy,
            item.subject,
            item.decision.rules_version,
            moment(item.decided_at),
            item.chunk,
        )
        for item in items
    ]
    return connection.exec_driver_sql(_INSERT_SQLITE, rows).rowcount


def _insert_postgresql(connection: Connection, items: Sequence[NewDecision]) -> int:
    """As binary arrays: of the ways measured, COPY and JSON among them, the one that costs the server least."""
    written = 0
    for shared, members in groupby(items, key=_shared):
        own = list(members)
        arrays = (
            [item.customer_id for item in own],
            [item.decision.approved for item in own],
            [_reasons(item.decision.reasons) for item in own],
            [item.inputs_digest for item in own],
            [item.decision.policy for item in own],
        )
        written += connection.exec_driver_sql(_INSERT_POSTGRESQL, (*shared, *arrays)).rowcount
    return written


def _shared(item: NewDecision) -> tuple[object, ...]:
    return item.subject, item.decision.rules_version, item.decided_at, item.chunk


def _moment_writer(connection: Connection) -> Any:
    """Writes a time as SQLAlchemy does; those of a chunk are the same one, mostly."""
    process = decisions.c.decided_at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return lru_cache(maxsize=16)(cast(Any, process))


@lru_cache(maxsize=1024)
def _reasons(reasons: tuple[str, ...]) -> str:
    return json.dumps(reasons)


_NAMES = "customer_id, approved, reasons, inputs_digest, policy"
_SHARED_NAMES = "subject, rules_version, decided_at, chunk"
_INSERT_SQLITE = (
    f"INSERT INTO decisions ({_NAMES}, {_SHARED_NAMES})"  # noqa: S608 - names of our own columns
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
# What all of a chunk say is said once; b: the driver writes it as the server keeps it.
_INSERT_POSTGRESQL = (
    f"INSERT INTO decisions ({_SHARED_NAMES}, {_NAMES})"  # noqa: S608 - names of our own columns
    " SELECT %s, %s, %s::timestamptz, %s::integer, * FROM"
    " unnest(%b::text[], %b::boolean[], %b::text[], %b::text[], %b::text[]) ON CONFLICT DO NOTHING"
)
