"""What an unreachable or busy ledger says: `LedgerUnavailable`, in time, whatever the driver calls it."""

import socket
import sqlite3
import threading
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from clearance.errors import LedgerUnavailable
from clearance.ledger import migrate
from clearance.ledger.engine import Ledger, open_ledger
from tests.fakes.owed import accept, claim, notification


def test_a_ledger_that_cannot_be_reached_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ledger = open_ledger(f"postgresql://clearance@127.0.0.1:{port}/clearance", timeout_s=1)

    with pytest.raises(LedgerUnavailable, match="ledger: OperationalError"):
        accept(ledger, notification("a"))
    with pytest.raises(LedgerUnavailable):
        migrate.current_revision(ledger)


def test_a_ledger_that_does_not_answer_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://clearance@127.0.0.1:{mute.getsockname()[1]}/clearance"
        ledger = open_ledger(url, timeout_s=1)
        began = monotonic()

        with pytest.raises(LedgerUnavailable):
            accept(ledger, notification("a"))

        took_s = monotonic() - began

    assert took_s < 4  # libpq waits at least 2 s


def _sqlite(tmp_path: Path, *, timeout_s: float = 0.05) -> tuple[Ledger, Path]:
    path = tmp_path / "ledger.db"
    ledger = open_ledger(f"sqlite:///{path}", timeout_s=timeout_s)
    migrate.upgrade(ledger)
    return ledger, path


def test_a_ledger_locked_beyond_the_timeout_is_unavailable_and_then_works_again(tmp_path: Path) -> None:
    ledger, path = _sqlite(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    for _ in range(10):  # more often than there are connections: none is lost
        with pytest.raises(LedgerUnavailable, match="ledger: OperationalError"):
            accept(ledger, notification("a"))
    other.execute("ROLLBACK")

    accept(ledger, notification("a"))
    assert claim(ledger, "a") != [None]
    other.close()
    ledger.close()


def test_readers_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    ledger, path = _sqlite(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert migrate.current_revision(ledger) == migrate.newest_revision()

    other.execute("ROLLBACK")
    other.close()
    ledger.close()


def test_more_callers_than_connections_are_told_so_in_time(tmp_path: Path) -> None:
    _, path = _sqlite(tmp_path)
    ledger = open_ledger(f"sqlite:///{path}", timeout_s=0.05, pool_size=1)

    with ledger.read(), pytest.raises(LedgerUnavailable, match="TimeoutError"), ledger.read():
        pass

    ledger.close()


def test_a_ledger_that_was_never_migrated_is_unavailable(ledger_url: str) -> None:
    """A fleet that starts before its migration waits for it; senders are told to come again."""
    ledger = open_ledger(ledger_url, timeout_s=5)

    with ledger.write() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS unrelated (id INTEGER)"))
    with pytest.raises(LedgerUnavailable), ledger.write() as connection:
        connection.execute(text("SELECT * FROM a_table_of_a_newer_release"))
    ledger.close()


def test_what_the_database_refuses_is_a_bug_and_stays_one(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError) as caught, ledger.write() as connection:
        connection.execute(
            text("INSERT INTO rejections (id, detail) VALUES ('r1', :detail)"), {"detail": "C1"}
        )

    # Whoever logs it does not log what was to be written.
    assert "parameters hidden" in str(caught.value)


@pytest.mark.parametrize(("is_bulk", "look_every_s"), [(False, 0.0005), (True, 0.005)])
def test_who_writes_in_bulk_looks_for_the_write_lock_less_often_than_who_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_bulk: bool, look_every_s: float
) -> None:
    _, path = _sqlite(tmp_path)
    ledger = open_ledger(f"sqlite:///{path}", timeout_s=0.05, is_bulk=is_bulk)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    slept: list[float] = []
    monkeypatch.setattr("clearance.ledger.engine.sleep", slept.append)

    with pytest.raises(LedgerUnavailable):
        accept(ledger, notification("a"))

    assert set(slept) == {look_every_s}
    other.close()
    ledger.close()


def test_who_opens_a_new_file_with_others_waits_for_them(tmp_path: Path) -> None:
    """By itself SQLite refuses all but one at once, while a new file is made ready; one round in eight met it."""
    refused: list[LedgerUnavailable] = []

    def start(url: str, together: threading.Barrier) -> None:
        ledger = open_ledger(url, timeout_s=30)
        together.wait()
        try:
            with ledger.write() as connection:
                connection.execute(text("CREATE TABLE IF NOT EXISTS made (id)"))
        except LedgerUnavailable as error:
            refused.append(error)
        ledger.close()

    for number in range(30):
        together = threading.Barrier(6)
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        starting = [threading.Thread(target=start, args=(url, together)) for _ in range(6)]
        for each in starting:
            each.start()
        for each in starting:
            each.join()

    assert refused == []
