"""How a thousand decisions are written at once, as fast as each database takes them.

The same rows as `decisions.stand_many` writes, and the same promise: the first decision about a subject and customer
stands, and who comes later is told what it was.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection

from clearance.decisions.decision import Decision
from clearance.ledger.decisions import NewDecision, insert_inputs, stand_many
from clearance.ledger.tables import decisions

_COLUMNS = (
    "subject",
    "customer_id",
    "approved",
    "reasons",
    "rules_version",
    "inputs_digest",
    "decided_at",
    "policy",
    "chunk",
)


def stand_in_bulk(connection: Connection, items: Sequence[NewDecision]) -> list[Decision]:
    """Keep the decisions, and give for each the one that stands; for one subject, or a few, and many customers."""
    if not items:
        return []
    # In one order everywhere: two transactions with the same customers wait for each other in turn, not in a ring.
    in_order = sorted(items, key=lambda item: item.key)
    write = _insert_sqlite if connection.dialect.name == "sqlite" else _insert_postgresql
    if write(connection, in_order) < len(items):
        return stand_many(connection, items)
    insert_inputs(connection, in_order)
    return [item.decision for item in items]


def _insert_sqlite(connection: Connection, items: Sequence[NewDecision]) -> int:
    moment = _moment_writer(connection)
    rows = [
        (
            item.subject,
            item.customer_id,
            item.decision.approved,
            _reasons(item.decision.reasons),
            item.decision.rules_version,
            item.inputs_digest,
            moment(item.decided_at),
            item.decision.policy,
            item.chunk,
        )
        for item in items
    ]
    return connection.exec_driver_sql(_INSERT_SQLITE, rows).rowcount


def _insert_postgresql(connection: Connection, items: Sequence[NewDecision]) -> int:
    columns: Iterable[list[Any]] = (
        [item.subject for item in items],
        [item.customer_id for item in items],
        [item.decision.approved for item in items],
        [_reasons(item.decision.reasons) for item in items],
        [item.decision.rules_version for item in items],
        [item.inputs_digest for item in items],
        [item.decided_at for item in items],
        [item.decision.policy for item in items],
        [item.chunk for item in items],
    )
    return connection.exec_driver_sql(_INSERT_POSTGRESQL, tuple(columns)).rowcount


def _moment_writer(connection: Connection) -> Any:
    """Writes a time as SQLAlchemy does; those of a chunk are the same one, mostly."""
    process = decisions.c.decided_at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return lru_cache(maxsize=16)(cast(Any, process))


@lru_cache(maxsize=1024)
def _reasons(reasons: tuple[str, ...]) -> str:
    return json.dumps(reasons)


_NAMES = ", ".join(_COLUMNS)
_INSERT_SQLITE = (
    f"INSERT INTO decisions ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own columns
)
_INSERT_POSTGRESQL = (
    f"INSERT INTO decisions ({_NAMES}) SELECT * FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::text[],"  # noqa: S608 - names of our own columns
    " %s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::integer[]) ON CONFLICT DO NOTHING"
)
