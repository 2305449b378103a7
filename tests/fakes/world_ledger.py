"""A real ledger in memory that is away as a test says, and at which workers die: before a commit, or just after it."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, StaticPool, create_engine

from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.tables import metadata
from tests.fakes.scheduled_world import World


def connection_in_memory() -> Connection:
    """SQLite with the ledger's tables; one connection, for whoever has the baton.

    The driver begins transactions by itself, and no pool is asked: most of what a run costs is statements.
    """
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    metadata.create_all(engine)
    return engine.connect()


class WorldLedger(Ledger):
    """`away` are the times at which it does not answer.

    Of the workers' writes, `busy` is how often one finds no turn, and `unconfirmed` how often one is committed and
    nobody hears of it.
    """

    def __init__(self, connection: Connection, world: World) -> None:
        super().__init__(connection.engine)
        self._connection = connection
        self._world = world
        self.away: Sequence[tuple[datetime, datetime]] = ()
        self.busy = 0.0
        self.unconfirmed = 0.0
        self.commits = 0

    def is_away(self) -> bool:
        """Whether it answers nothing now."""
        now = self._world.clock()
        return any(begin <= now < end for begin, end in self.away)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._touch()
        if self._world.current is not None and self._chance.random() < self.busy:
            self._world.tell("the ledger is busy")
            raise LedgerUnavailable("ledger: busy")
        with self._connection.begin():
            yield self._connection
        self.commits += 1
        self._world.may_die()
        if self._world.current is not None and self._chance.random() < self.unconfirmed:
            self._world.tell("a commit is not confirmed")
            raise LedgerUnavailable("ledger: connection lost at commit")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._touch()
        with self.look() as connection:
            yield connection

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """A connection for the test itself: never away."""
        with self._connection.begin():
            yield self._connection

    def glance(self, query: str, *values: object) -> tuple[Any, ...]:
        """The first row of a query of the test's own, by the quickest way: it is asked at every step."""
        driver: Any = self._connection.connection.driver_connection
        found: tuple[Any, ...] = driver.execute(query, values).fetchone()
        return found

    @property
    def _chance(self) -> random.Random:
        return self._world.chance

    def _touch(self) -> None:
        self._world.may_die()
        if self.is_away():
            raise LedgerUnavailable("ledger: away")
