"""How the schema is brought up to date: Alembic, driven from here so that no file of settings is needed."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from clearance.ledger.engine import Ledger

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(ledger: Ledger) -> str:
    """Bring the schema to the newest revision; safe to repeat, and at once from several hosts.

    A schema that a newer release has made is left as it is: this one runs on it, and while a fleet is upgraded, or when
    that is taken back, its processes start again as before.

    Returns:
        The revision that the ledger is at.

    Raises:
        LedgerUnavailable: The database is away.
    """
    with ledger.write() as connection:
        if ledger.dialect == "postgresql":
            # A migration may take longer than any request, and so may waiting for the host that is at it.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            # Held to the end of the transaction: of several hosts that start together, one migrates.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(726373)")
            # But who waits for a table keeps everybody else waiting for it: not for long.
            connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")
        made = MigrationContext.configure(connection).get_current_revision()
        if made is not None and made > newest_revision():
            return made
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return newest_revision()


def current_revision(ledger: Ledger) -> str | None:
    """The revision that the ledger is at; None for an empty database.

    Raises:
        LedgerUnavailable: The database is away.
    """
    with ledger.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """The revision that this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("no migrations are installed")
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
