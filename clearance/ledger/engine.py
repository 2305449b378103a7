"""How the ledger is opened, and what its failures mean.

A write transaction takes SQLite's write lock at its beginning (`BEGIN IMMEDIATE`), so that it waits its turn instead of
failing half-way. Both databases commit durably: what was acknowledged survives a power cut (`synchronous=FULL`).
Whatever says that the database is away, or not migrated yet, becomes `LedgerUnavailable`; anything else is a bug and
stays one, without the statement's values: they may be personal data.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy import exc as sql

from clearance.errors import LedgerUnavailable

_WRITES = "clearance_writes"
# PostgreSQL's undefined_table and undefined_column: the schema is not this release's yet.
_NOT_MIGRATED = frozenset({"42P01", "42703"})
_LOCK_LOOK_EVERY_S, _LOOK_OF_BULK_EVERY_S = 0.0005, 0.005
# SQLite's defaults hold 500 pages and write the log back after every 1000: measured when a thousand decisions touched
# two thousand pages, a chunk then held the write lock for 17 ms instead of 9.
_CACHE_KIB, _PAGES_BETWEEN_CHECKPOINTS = 16_000, 4000


class Ledger:
    """One process' access to the ledger; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: commits at the end, rolls back on any error.

        Raises:
            LedgerUnavailable: The database is away or busy beyond its timeout; nothing was written, or (a lost
                connection at commit) it is unknown whether it was: every write must be safe to repeat.
        """
        with _translated(), self._engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction, which blocks no writer.

        Raises:
            LedgerUnavailable: The database is away.
        """
        with _translated(), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection; the ledger may be used again afterwards (a forked child starts its own)."""
        self._engine.dispose()


def open_ledger(url: str, *, timeout_s: float, pool_size: int = 4, is_bulk: bool = False) -> Ledger:
    """The ledger at `url`, not yet connected: a database that is away is noticed at its first use.

    Args:
        url: `sqlite:///path` or `postgresql://…`.
        timeout_s: How long to wait for a connection, a lock or a statement before `LedgerUnavailable`.
        pool_size: Connections kept; more callers wait up to `timeout_s`.
        is_bulk: Writes much at once and has time: who else wants SQLite's write lock mostly gets it first.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        look_every_s = _LOOK_OF_BULK_EVERY_S if is_bulk else _LOCK_LOOK_EVERY_S
        return Ledger(_sqlite(parsed, timeout_s, pool_size, look_every_s))
    options = f"-c statement_timeout={int(timeout_s * 1000)} -c lock_timeout={int(timeout_s * 1000)}"
    arguments: dict[str, Any] = {
        "connect_timeout": max(1, round(timeout_s)),
        "options": options,
        # A host that disappears answers nothing: the kernel's own patience would be a quarter of an hour.
        "tcp_user_timeout": int(timeout_s * 1000),
    }
    return Ledger(
        create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args=arguments,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout_s,
            hide_parameters=True,
        )
    )


def _sqlite(url: Any, timeout_s: float, pool_size: int, look_every_s: float) -> Engine:
    if url.database:
        file = Path(url.database)
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            # By itself SQLite lets everybody read. What it puts beside the file gets the same mode.
            with suppress(OSError):
                file.touch(mode=0o600)
    engine = create_engine(
        url,
        connect_args={"timeout": timeout_s},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_s,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        # Of several who open a new file at once only one can do this, and SQLite does not let the others wait.
        give_up_at = monotonic() + timeout_s
        while not _is_done(connection, "PRAGMA journal_mode=WAL", give_up_at):
            sleep(look_every_s)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_PAGES_BETWEEN_CHECKPOINTS}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES):
            _take_write_lock(connection.connection.driver_connection, timeout_s, look_every_s)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _take_write_lock(connection: Any, timeout_s: float, look_every_s: float) -> None:
    """`BEGIN IMMEDIATE`, asked for again and again for up to `timeout_s`.

    SQLite's own waiting sleeps up to 100 ms between two looks. Transactions here take a millisecond or two, so several
    busy processes would mostly sleep beside a free lock.
    """
    give_up_at = monotonic() + timeout_s
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while not _is_done(connection, "BEGIN IMMEDIATE", give_up_at):
            sleep(look_every_s)
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout_s * 1000)}")


def _is_done(connection: Any, statement: str, give_up_at: float) -> bool:
    try:
        connection.execute(statement)
    except sqlite3.OperationalError as error:
        # The low byte: a log that is being recovered by who came first is busy in a way of its own.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() >= give_up_at:
            raise
        return False
    return True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (
        sql.OperationalError,
        sql.InterfaceError,
        sql.InternalError,
        sql.TimeoutError,
        sqlite3.OperationalError,  # from taking the write lock, which SQLAlchemy does not see
    ) as error:
        # The driver's text may hold a host or a statement's values; its type says enough.
        raise LedgerUnavailable(f"ledger: {_cause(error)}") from None
    except sql.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _NOT_MIGRATED:
            raise
        raise LedgerUnavailable(f"ledger: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    return type(getattr(error, "orig", None) or error).__name__
