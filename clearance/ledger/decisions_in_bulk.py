"""How a thousand decisions are written at once, as fast as each database takes them.

The same rows as `decisions.stand_many` writes, and the same promise: the first decision about a customer of a
notification or a chunk stands, and who comes later is told what it was.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import orjson
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
    """As one value: half the time of an array for each column, and that of COPY without its temporary table."""
    rows = [
        {
            "subject": item.subject,
            "customer_id": item.customer_id,
            "approved": item.decision.approved,
            "reasons": _reasons(item.decision.reasons),
            "rules_version": item.decision.rules_version,
            "inputs_digest": item.inputs_digest,
            "decided_at": item.decided_at,
            "policy": item.decision.policy,
            "chunk": item.chunk,
        }
        for item in items
    ]
    return connection.exec_driver_sql(_INSERT_POSTGRESQL, (orjson.dumps(rows).decode(),)).rowcount


def _moment_writer(connection: Connection) -> Any:
    """Writes a time as SQLAlchemy does; those of a chunk are the same one, mostly."""
    process = decisions.c.decided_at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return lru_cache(maxsize=16)(cast(Any, process))


@lru_cache(maxsize=1024)
def _reasons(reasons: tuple[str, ...]) -> str:
    return json.dumps(reasons)


_KIND_BY_COLUMN = {
    "subject": "text",
    "customer_id": "text",
    "approved": "boolean",
    "reasons": "text",
    "rules_version": "text",
    "inputs_digest": "text",
    "decided_at": "timestamptz",
    "policy": "text",
    "chunk": "integer",
}
_NAMES = ", ".join(_KIND_BY_COLUMN)
_PLACES = ", ".join("?" * len(_KIND_BY_COLUMN))
_INSERT_SQLITE = f"INSERT INTO decisions ({_NAMES}) VALUES ({_PLACES}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own columns
_INSERT_POSTGRESQL = (
    f"INSERT INTO decisions ({_NAMES}) SELECT * FROM json_to_recordset(%s::json) AS new"  # noqa: S608 - names of our own columns
    f" ({', '.join(map(' '.join, _KIND_BY_COLUMN.items()))}) ON CONFLICT DO NOTHING"
)
