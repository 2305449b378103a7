"""How obligations reach the broker without holding anybody up.

In: obligations that the ledger has committed. Out: messages on the broker, in batches. A broker that is down or hangs
costs its publisher a batch, never its caller a moment: what was not published is open in the ledger, and the guardian
publishes it.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from time import monotonic, sleep, thread_time

import structlog

from clearance.errors import BrokerUnavailable
from clearance.obligations import Due

log = structlog.get_logger()

Publish = Callable[[Sequence[Due]], None]
"""Puts a batch on the broker. Raises `BrokerUnavailable` when it did not, or may not have, arrived."""

_MAX_BATCH = 200
_MOST_WAITING = 20_000
# After a batch others may gather for the next one, for longer the more of the processor it took: at 100 a second hardly
# anything waits; at 500 they share messages, which spares everybody behind. Not by how long it took: on a busy machine
# most of that is waiting for others.
_REST_PER_WORK, _SHORTEST_REST_S, _LONGEST_REST_S = 4.0, 0.004, 0.025
# After a failure the next batches are left to the guardian for this long, so that a hung broker blocks no shutdown.
_PAUSE_AFTER_FAILURE_S = 0.5


class BackgroundPublisher:
    """One thread that publishes what has come up meanwhile as one batch."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._waiting: queue.SimpleQueue[Due | None] = queue.SimpleQueue()
        self._not_before = 0.0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def enqueue(self, due: Due) -> None:
        """Have it published soon; returns at once, whatever the broker does.

        What a slow broker cannot keep up with is left to the guardian, before it becomes a burden on memory.
        """
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put(due)

    def close(self) -> None:
        """Publish what is waiting and stop the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last and (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < _MAX_BATCH and not is_last:
                try:
                    due = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if due is None:
                    is_last = True
                else:
                    batch.append(due)
            started = thread_time()
            self._publish_or_leave(batch)
            if not is_last:
                sleep(_rest_s(thread_time() - started))

    def _publish_or_leave(self, batch: Sequence[Due]) -> None:
        if monotonic() < self._not_before:
            return
        try:
            self._publish(batch)
        except BrokerUnavailable as error:
            self._not_before = monotonic() + _PAUSE_AFTER_FAILURE_S
            log.warning("publish.failed", obligations=len(batch), error=str(error))
        except Exception:
            # The thread must live: without it every answer would wait for the guardian.
            log.exception("publish.failed_on_a_bug", obligations=len(batch))


def _rest_s(took_s: float) -> float:
    return min(max(took_s * _REST_PER_WORK, _SHORTEST_REST_S), _LONGEST_REST_S)
