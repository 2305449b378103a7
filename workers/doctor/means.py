"""What does the doctor look with? The ledger and the broker, opened with little patience, and the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from celery import Celery
from sqlalchemy import Connection, make_url

from clearance.clock import Clock, utc_now
from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger, open_ledger
from config.settings import Settings
from workers import wiring

# One for each check that reads, and a second one for the ledger's own.
_CONNECTIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every check gets.

    Attributes:
        timeout_s: How long any one exchange may take.
        asks_vendors: Whether vendors are called.
    """

    settings: Settings
    ledger: Ledger
    app: Celery
    clock: Clock
    timeout_s: float
    asks_vendors: bool

    @property
    def now(self) -> datetime:
        """The present moment by this host's clock."""
        return self.clock()

    @property
    def sqlite_path(self) -> Path | None:
        """The file of an embedded ledger."""
        url = make_url(self.settings.ledger_url)
        return Path(url.database or "") if url.get_backend_name() == "sqlite" else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction of the ledger. A file that is not there is not made: that would look like a ledger.

        Raises:
            LedgerUnavailable: The ledger is away.
        """
        if self.sqlite_path is not None and not self.sqlite_path.is_file():
            raise LedgerUnavailable("ledger: there is no such file")
        with self.ledger.read() as connection:
            yield connection


def means(settings: Settings, *, timeout_s: float, asks_vendors: bool, clock: Clock = utc_now) -> Means:
    """Nothing is connected yet."""
    hasty = replace(
        settings,
        broker_socket_timeout_s=min(settings.broker_socket_timeout_s, timeout_s),
        ledger_timeout_s=min(settings.ledger_timeout_s, timeout_s),
    )
    return Means(
        settings=hasty,
        ledger=open_ledger(hasty.ledger_url, timeout_s=hasty.ledger_timeout_s, pool_size=_CONNECTIONS),
        app=wiring.celery_app(hasty),
        clock=clock,
        timeout_s=timeout_s,
        asks_vendors=asks_vendors,
    )
