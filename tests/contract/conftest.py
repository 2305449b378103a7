"""The ledger, migrated and empty: on SQLite always, on PostgreSQL where there is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clearance.ledger import migrate
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.tables import metadata

_TIMEOUT_S = 10.0
BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)]


@pytest.fixture(params=BACKENDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it, or with the tables of an earlier test, emptied."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A ledger at the newest revision, with nothing in it."""
    opened = open_ledger(ledger_url, timeout_s=_TIMEOUT_S, pool_size=8)
    migrate.upgrade(opened)
    with opened.write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    yield opened
    opened.close()
