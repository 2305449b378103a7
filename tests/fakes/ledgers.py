"""A migrated SQLite ledger in no time: migrated once in a run, then copied."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from clearance.ledger import migrate
from clearance.ledger.engine import Ledger, open_ledger


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.db"
        ledger = open_ledger(f"sqlite:///{path}", timeout_s=10)
        migrate.upgrade(ledger)
        ledger.close()  # the last connection moves everything out of the write-ahead log
        return path.read_bytes()


def new_ledger(directory: Path) -> Ledger:
    """An empty ledger at the newest revision."""
    path = directory / "ledger.db"
    path.write_bytes(_migrated())
    return open_ledger(f"sqlite:///{path}", timeout_s=10)
