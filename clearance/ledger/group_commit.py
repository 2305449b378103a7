"""How many small writes become one transaction: whoever arrives while one is being committed shares the next.

In: `submit(operation, item)`; an operation takes a connection and every item that was waiting for it, and returns one
result for each, in order. Out: a future that is done once the transaction is committed, never before. An error that
only one item causes does not take its neighbours with it: the group is then repeated one by one. Whoever gave up
(cancelled its future) before its group began is not written.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from time import perf_counter, sleep
from typing import Any, TypeVar

from sqlalchemy import Connection

from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.telemetry import Metrics

Item = TypeVar("Item")
Result = TypeVar("Result")
Operation = Callable[[Connection, Sequence[Item]], Sequence[Result]]

_Waiting = tuple[Operation[Any, Any], Any, Future[Any]]


# After a group the lock is left to others for a moment: who has just had it would always be the first to ask again.
_REST_S = 0.001


class GroupCommit:
    """One writer thread over one ledger connection.

    Args:
        max_group: Most items in one transaction: bounds how long it holds SQLite's only write lock.
        max_waiting: Most items waiting; beyond it `submit` fails at once, because the ledger cannot keep up.
    """

    def __init__(
        self, ledger: Ledger, metrics: Metrics, *, max_group: int = 200, max_waiting: int = 10_000
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._max_group = max_group
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(max_waiting)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[Item, Result], item: Item) -> Future[Result]:
        """Have `item` written with the next group.

        Returns:
            A future of the operation's result; it fails with `LedgerUnavailable` when nothing was written (or, a
            connection lost at commit, when that is unknown).
        """
        future: Future[Result] = Future()
        try:
            self._waiting.put_nowait((operation, item, future))
        except queue.Full:
            future.set_exception(LedgerUnavailable("ledger: too many writes are waiting"))
        return future

    def close(self) -> None:
        """Write what is waiting and stop the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closed:
            first = self._waiting.get()
            if first is None:
                return
            if _is_wanted(first):
                self._commit([first])
                sleep(_REST_S)

    def _commit(self, group: list[_Waiting], *, may_grow: bool = True) -> None:
        """Write `group`, and what has arrived by the time that the ledger lets us write."""
        try:
            with self._ledger.write() as connection:
                started = perf_counter()
                if may_grow:
                    self._gather(group)
                results = _apply(connection, group)
        except LedgerUnavailable as error:
            if may_grow:
                # They waited for it too; one by one, the last would wait for all before it.
                self._gather(group)
            _fail(group, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, its callers must hear of it
            if len(group) == 1:
                _fail(group, error)
                return
            for waiting in group:
                self._commit([waiting], may_grow=False)
        else:
            self._metrics.observe("commit_items", len(group))
            self._metrics.observe("commit_seconds", perf_counter() - started)
            for future, result in results:
                future.set_result(result)

    def _gather(self, group: list[_Waiting]) -> None:
        while len(group) < self._max_group:
            try:
                waiting = self._waiting.get_nowait()
            except queue.Empty:
                return
            if waiting is None:
                self._is_closed = True
                return
            if _is_wanted(waiting):
                group.append(waiting)


def _is_wanted(waiting: _Waiting) -> bool:
    """False for a future that was cancelled; one that was not cannot be any more, so that its result can be set."""
    return waiting[2].set_running_or_notify_cancel()


def _apply(connection: Connection, group: list[_Waiting]) -> list[tuple[Future[Any], Any]]:
    by_operation: dict[Operation[Any, Any], list[_Waiting]] = {}
    for waiting in group:
        by_operation.setdefault(waiting[0], []).append(waiting)
    results: list[tuple[Future[Any], Any]] = []
    # In one order everywhere: two processes that write the same rows wait for each other in turn, not in a ring.
    for operation, members in sorted(by_operation.items(), key=lambda each: _name(each[0])):
        values = operation(connection, [item for _, item, _ in members])
        results += [(future, value) for (_, _, future), value in zip(members, values, strict=True)]
    return results


def _name(operation: Operation[Any, Any]) -> str:
    return f"{operation.__module__}.{getattr(operation, '__qualname__', '')}"


def _fail(group: list[_Waiting], error: Exception) -> None:
    for _, _, future in group:
        future.set_exception(error)
