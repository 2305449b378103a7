"""A group commit without its thread: each item is a transaction of its own, at once, and fails as often as told."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import Operation


class InlineCommits:
    """In place of a `GroupCommit`, for tests about its callers.

    `away` makes so many submissions fail as if the ledger did not answer. `unconfirmed` makes so many succeed and fail
    to say so: a connection lost at commit.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.away = 0
        self.unconfirmed = 0
        self.submitted: list[tuple[str, Any]] = []

    def submit(self, operation: Operation[Any, Any], item: Any) -> Future[Any]:
        self.submitted.append((operation.__name__, item))
        future: Future[Any] = Future()
        if self.away:
            self.away -= 1
            future.set_exception(LedgerUnavailable("ledger: away"))
            return future
        try:
            results = self._written(operation, [item])
        except Exception as error:  # noqa: BLE001 - as the real one does: the caller hears of it
            future.set_exception(error)
            return future
        if self.unconfirmed:
            self.unconfirmed -= 1
            future.set_exception(LedgerUnavailable("ledger: connection lost at commit"))
            return future
        future.set_result(results[0])
        return future

    def _written(self, operation: Operation[Any, Any], items: Sequence[Any]) -> Sequence[Any]:
        with self._ledger.write() as connection:
            return operation(connection, items)
