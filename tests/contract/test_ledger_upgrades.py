"""A fleet is upgraded ledger first: every release runs on the schema of the next one, and starts on it.

What a release believes in is the schema of its revision. As long as the next revision has all of it, asks for nothing
that was not asked for, and refuses nothing that was taken, every statement of the former release is as good as before:
that is compared here revision by revision, whatever future migrations do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from clearance.ledger import migrate
from clearance.ledger.engine import Ledger, open_ledger
from tests.contract.conftest import BACKENDS

_REVISIONS = [
    script.revision
    for script in reversed(list(ScriptDirectory.from_config(migrate._config()).walk_revisions()))
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What a statement may trip over; `keys` are the sets of columns that must be unique, in no order."""

    types: dict[str, str]
    may_be_null: set[str]
    asked_for: set[str]
    keys: set[tuple[str, ...]]
    rules: set[str]


@pytest.fixture(params=BACKENDS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with nothing in it, of this test's own."""
    if request.param == "sqlite":
        opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", timeout_s=10)
    else:
        opened = open_ledger(request.getfixturevalue("postgres_url"), timeout_s=10)
        with opened.write() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    yield opened
    opened.close()


def test_every_release_runs_on_the_schema_of_the_next(ledger: Ledger) -> None:
    schemas = [_upgraded(ledger, revision) for revision in _REVISIONS]

    assert len(schemas) >= 4
    for (before, after), revision in zip(pairwise(schemas), _REVISIONS[1:], strict=True):
        assert _broken(before, after) == [], f"revision {revision}"


@pytest.mark.parametrize(("before", "after"), [("0005", "0006"), ("0006", "0007")])
def test_decisions_outlive_the_change_of_their_key_and_the_first_one_stands_as_before(
    ledger: Ledger, before: str, after: str
) -> None:
    _upgraded(ledger, before)
    insert = text(
        "INSERT INTO decisions (subject, customer_id, approved, reasons, rules_version, inputs_digest, decided_at,"
        " chunk, policy) VALUES (:subject, :customer, :approved, '[]', 'v1', 'digest',"
        " '2026-11-22 00:00:00', :chunk, :policy) ON CONFLICT DO NOTHING"
    )
    rows = [
        {"subject": subject, "customer": customer, "approved": True, "policy": policy, "chunk": chunk}
        for subject, policy, chunk in (("n1", None, None), ("g1:1", "bonus", 7))
        for customer in ("C2", "C1")
    ]
    with ledger.write() as connection:
        connection.execute(insert, rows)

    _upgraded(ledger, after)

    with ledger.write() as connection:
        connection.execute(insert, [row | {"approved": False} for row in rows])
        found = connection.execute(text("SELECT * FROM decisions ORDER BY subject, customer_id")).all()
    assert [(each.subject, each.customer_id, each.policy, each.chunk) for each in found] == [
        ("g1:1", "C1", "bonus", 7),
        ("g1:1", "C2", "bonus", 7),
        ("n1", "C1", None, None),
        ("n1", "C2", None, None),
    ]
    assert all(each.approved for each in found)


def test_what_decisions_were_made_from_is_told_its_chunk(ledger: Ledger) -> None:
    _upgraded(ledger, "0006")
    with ledger.write() as connection:
        for subject, chunk in (("g1:1", 7), ("n1", None), ("g1:2", 8)):
            given = {"subject": subject, "chunk": chunk}
            connection.execute(
                text(
                    "INSERT INTO decisions (subject, customer_id, approved, reasons, rules_version, inputs_digest,"
                    " decided_at, chunk) VALUES (:subject, 'C1', :yes, '[]', 'v1', 'd', '2026-11-22 00:00:00', :chunk)"
                ),
                given | {"yes": True},
            )
            connection.execute(
                text(
                    "INSERT INTO decision_inputs (subject, customer_id, inputs, recorded_at)"
                    " VALUES (:subject, 'C1', :inputs, '2026-11-22 00:00:00')"
                ),
                {"subject": subject, "inputs": b"{}"},
            )

    _upgraded(ledger, "0007")

    with ledger.read() as connection:
        found = connection.execute(text("SELECT subject, chunk FROM decision_inputs")).all()
    assert {(each.subject, each.chunk) for each in found} == {("g1:1", 7), ("n1", None), ("g1:2", 8)}


def test_a_release_leaves_the_schema_of_a_newer_one_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.upgrade(ledger)
    with ledger.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("ALTER TABLE obligations ADD COLUMN of_a_newer_release VARCHAR(8)"))

    assert migrate.upgrade(ledger) == migrate.current_revision(ledger) == "9999"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("ALTER TABLE decisions DROP COLUMN policy", "decisions.policy is gone"),
        ("ALTER TABLE decisions ADD COLUMN more INTEGER NOT NULL DEFAULT 0", ""),
        ("CREATE UNIQUE INDEX one_each ON approvals (subject)", "approvals: ('subject',) must be unique"),
        ("DROP TABLE rejections", "rejections is gone"),
    ],
)
def test_what_would_break_a_running_release_is_seen(tmp_path: Path, statement: str, told: str) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", timeout_s=10)
    before = _upgraded(ledger, "head")
    with ledger.write() as connection:
        connection.execute(text(statement))
        after = _schema(connection)
    ledger.close()

    assert _broken(before, after) == ([told] if told else [])


def _upgraded(ledger: Ledger, revision: str) -> dict[str, _Table]:
    with ledger.write() as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        return _schema(connection)


def _schema(connection: Connection) -> dict[str, _Table]:
    found = inspect(connection)
    return {name: _table(found, name) for name in found.get_table_names()}


def _table(found: Any, name: str) -> _Table:
    columns = found.get_columns(name)
    indexes = [each["column_names"] for each in found.get_indexes(name) if each["unique"]]
    constraints = [each["column_names"] for each in found.get_unique_constraints(name)]
    primary = found.get_pk_constraint(name)["constrained_columns"]
    foreign = [f"foreign key {each['constrained_columns']}" for each in found.get_foreign_keys(name)]
    return _Table(
        types={each["name"]: str(each["type"]) for each in columns},
        may_be_null={each["name"] for each in columns if each["nullable"]},
        asked_for={each["name"] for each in columns if not each["nullable"] and each["default"] is None},
        keys={tuple(sorted(each)) for each in (*indexes, *constraints, primary) if each},
        rules={*foreign, *(each["sqltext"] for each in found.get_check_constraints(name))},
    )


def _broken(before: dict[str, _Table], after: dict[str, _Table]) -> list[str]:
    """What a release that knows `before` would trip over in `after`."""
    told = [f"{name} is gone" for name in before if name not in after]
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        told += [f"{name}.{column} is gone" for column in old.types if column not in new.types]
        told += [
            f"{name}.{column} is {new.types[column]}, was {kind}"
            for column, kind in old.types.items()
            if column in new.types and new.types[column] != kind
        ]
        told += [
            f"{name}.{column} may not be null"
            for column in old.may_be_null - new.may_be_null
            if column in new.types
        ]
        told += [f"{name}.{column} is asked for" for column in new.asked_for - old.asked_for]
        # What was unique by fewer of its columns is nothing new.
        told += [
            f"{name}: {key} must be unique"
            for key in new.keys
            if not any(set(known) <= set(key) for known in old.keys)
        ]
        told += [f"{name}: {rule}" for rule in new.rules - old.rules]
    return told
