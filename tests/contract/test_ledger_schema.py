"""The schema: the migrations make the tables that the code believes in, at once from several hosts, again and again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from clearance.decisions.decision import Decision
from clearance.ledger import mail_tables, migrate, oncall_tables, why
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.tables import metadata
from tests.contract.conftest import BACKENDS


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'ledger.db'}"
        return
    server = request.getfixturevalue("postgres_url")
    name = urlsplit(server).path.lstrip("/") + "_schema"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_migrated_tables_are_those_that_the_code_believes_in(empty_url: str) -> None:
    ledger = open_ledger(empty_url, timeout_s=10)
    assert migrate.current_revision(ledger) is None

    assert migrate.upgrade(ledger) == migrate.newest_revision()

    with ledger.read() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert metadata.tables[mail_tables.mail_batches.name] is mail_tables.mail_batches
        assert metadata.tables[oncall_tables.lane_heartbeats.name] is oncall_tables.lane_heartbeats
        assert compare_metadata(context, metadata) == []
        indexes = {index["name"] for index in inspect(connection).get_indexes("obligations")}
    assert indexes == {
        "ix_obligations_publish",
        "ix_obligations_deadline",
        "ix_obligations_desk",
        "ix_obligations_parked",
        "ix_obligations_subject",
    }
    ledger.close()


def test_upgrading_again_changes_nothing(empty_url: str) -> None:
    ledger = open_ledger(empty_url, timeout_s=10)
    migrate.upgrade(ledger)

    assert migrate.upgrade(ledger) == migrate.current_revision(ledger) == migrate.newest_revision()
    ledger.close()


# What the spine's release writes, column by column.
_WRITTEN_BY_0001 = {
    "notifications": "id, kind, vendor_id, customer_id, received_at, signed_at, deadline_at, body",
    "obligations": "id, lane, task, subject, state, created_at, run_at, deadline_at, publish_at, trace_id",
    "decisions": "subject, customer_id, approved, reasons, rules_version, inputs_digest, decided_at",
}
_ITS_ROWS = {
    "notifications": "'n1', 'triggered', 'r1', 'C1', {now}, NULL, {now}, NULL",
    "obligations": "'o1', 'triggered', 't', 'n1', 'done', {now}, {now}, {now}, {now}, 'x'",
    "decisions": "'n1', 'C1', {true}, '[\"OLD\"]', 'v1', 'd', {now}",
}


def _write_as_0001(ledger: Ledger) -> None:
    """As a worker does that has not been upgraded yet."""
    is_sqlite = ledger.dialect == "sqlite"
    literals = {"now": "'2026-03-02 09:00:00.000000'", "true": "1" if is_sqlite else "TRUE"}
    with ledger.write() as connection:
        for table, columns in _WRITTEN_BY_0001.items():
            row = _ITS_ROWS[table].format(**literals)
            connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) VALUES ({row})")  # noqa: S608 - a test


@pytest.mark.parametrize("schema_when_written", ["0001", "head"])
def test_what_the_release_before_writes_is_taken_kept_and_told(
    empty_url: str, schema_when_written: str
) -> None:
    ledger = open_ledger(empty_url, timeout_s=10)
    with ledger.write() as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, schema_when_written)
    _write_as_0001(ledger)

    migrate.upgrade(ledger)

    with ledger.read() as connection:
        (story,) = why.stories(connection, "C1", last=10)
    assert story.decided is not None
    assert story.decided.decision == Decision(approved=True, reasons=("OLD",), rules_version="v1")
    assert story.asked is not None
    assert (story.asked.series_id, story.asked.occurrence_id) == (None, None)
    ledger.close()


def test_hosts_that_start_together_migrate_once(empty_url: str) -> None:
    together, told = threading.Barrier(4), []

    def host() -> None:
        ledger = open_ledger(empty_url, timeout_s=30)
        together.wait()
        try:
            told.append(migrate.upgrade(ledger))
        except Exception as error:  # noqa: BLE001 - a thread's error is the test's
            told.append(error)
        ledger.close()

    hosts = [threading.Thread(target=host) for _ in range(4)]
    for each in hosts:
        each.start()
    for each in hosts:
        each.join()

    assert told == [migrate.newest_revision()] * 4


@pytest.mark.services
def test_a_host_waits_for_the_one_that_migrates_for_longer_than_for_a_request(postgres_url: str) -> None:
    ledger = open_ledger(postgres_url, timeout_s=0.2)
    with psycopg.connect(postgres_url) as migrating, ThreadPoolExecutor() as pool:
        migrating.execute("SELECT pg_advisory_xact_lock(726373)")
        waiting = pool.submit(migrate.upgrade, ledger)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.6)
        migrating.commit()

        assert waiting.result(timeout=10) == migrate.newest_revision()
    ledger.close()


@pytest.mark.parametrize("looks_at", ["publish_at", "deadline_at"])
def test_the_guardians_looks_use_the_partial_indexes(tmp_path: Path, looks_at: str) -> None:
    """What was ever owed must not make each look slower."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", timeout_s=10)
    migrate.upgrade(ledger)
    index = {"publish_at": "ix_obligations_publish", "deadline_at": "ix_obligations_deadline"}[looks_at]

    with ledger.read() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN SELECT id FROM obligations WHERE state IN ('open', 'running')"  # noqa: S608 - a test
            f" AND {looks_at} <= '2026' LIMIT 1"
        ).all()

    assert any(index in str(step) for step in plan), plan
    ledger.close()


def test_sqlites_files_are_their_owners_alone(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", timeout_s=10)
    migrate.upgrade(ledger)
    with ledger.read() as connection:
        connection.exec_driver_sql("SELECT * FROM decisions")
        modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    ledger.close()

    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
