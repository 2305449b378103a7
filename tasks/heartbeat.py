"""Is somebody there? A message that only has to arrive: sent through a lane's queue, written down by its worker.

In: nothing that matters. Out: a row of the ledger (`clearance.ledger.heartbeats`). It takes its turn in the queue like
any other message, so that how long it was under way is how long work waits there. It costs a worker one small write
every few seconds, and nobody waits for it: a ledger that is away is no reason to come again.

No expiry: a worker that comes back after an hour shows at once that it is there, by what it finds.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from celery import Celery, Task

from clearance.clock import Clock
from clearance.errors import BrokerUnavailable, LedgerUnavailable
from clearance.ledger import heartbeats
from clearance.ledger.engine import Ledger
from clearance.ledger.heartbeats import Heard
from config.queues import QUEUE_BY_LANE

NAME = "clearance.heartbeat"
VERSION = 1


class Heartbeat(Task):
    """The task, on every lane. Flower is not told of it: it would show little else on a quiet day.

    Args:
        lane: Whose queue this worker consumes.
        ledger: Opened at the first message, in the process that got it: after a prefork fork.
    """

    name = NAME
    typing = False
    send_events = False

    def __init__(self, lane: str, ledger: Callable[[], Ledger], clock: Clock) -> None:
        self._lane = lane
        self._make_ledger = ledger
        self._ledger: Ledger | None = None
        self._opening = Lock()
        self._clock = clock

    def run(self, *, version: int, sent_ms: int, **_newer: Any) -> str:
        """One heartbeat, sent at `sent_ms` (epoch milliseconds). A newer version means the same."""
        heard = Heard(
            lane=self._lane,
            process=str(self.request.hostname),
            sent_at=datetime.fromtimestamp(sent_ms / 1000, UTC),
            received_at=self._clock(),
        )
        # A lane that nobody worked on has many of these waiting, and every thread begins with one.
        with self._opening:
            if self._ledger is None:
                self._ledger = self._make_ledger()
        try:
            with self._ledger.write() as connection:
                heartbeats.note(connection, heard)
        except LedgerUnavailable:
            return "not written down: the ledger is away"
        return f"heard, in version {version}"


def send(app: Celery, lanes: Sequence[str], now: datetime) -> None:
    """Put a heartbeat on the queue of each of these lanes.

    Raises:
        BrokerUnavailable: None may have arrived.
    """
    sent = {"version": VERSION, "sent_ms": int(now.timestamp() * 1000)}
    connection = app.connection_for_write()
    try:
        # Not held: once in some seconds, and a connection that has to be watched costs more than a new one.
        producer = app.amqp.Producer(connection, auto_declare=False)
        for lane in lanes:
            app.send_task(NAME, kwargs=sent, queue=QUEUE_BY_LANE[lane].queue, producer=producer)
    except Exception as error:  # noqa: BLE001 - transports raise whatever their client library does
        # The type only: the text may hold the broker's address.
        raise BrokerUnavailable(f"broker: {type(error.__cause__ or error).__name__}") from None
    finally:
        with suppress(Exception):  # of a connection that is broken
            connection.close()
