"""How obligations become messages: Celery's own, in kombu's batches, with ids and nothing else in them.

A message says whose turn it is, by when, and in which version it says so. Its Celery id is the obligation's, so that
Flower shows one row for one obligation however often it is published. What was accepted together may share a message:
to Celery that is one task, and a task costs a worker more than the notification in it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from time import perf_counter

import structlog
from celery import Celery
from kombu.messaging import Producer

from clearance import tracing
from clearance.errors import BrokerUnavailable
from clearance.obligations import Due, ObligationId, Why
from clearance.telemetry import Metrics
from tasks.base import MESSAGE_VERSION

log = structlog.get_logger()

_MAX_BATCH = 500
# A message is the unit that is lost with a worker and that waits for a thread: few enough not to matter.
_MOST_IN_MESSAGE = 8


class CeleryPublisher:
    """`clearance.publishing.Publish` over one held connection; for one thread.

    Args:
        publisher: `ingest` or `guardian`, for the metrics.
    """

    def __init__(self, app: Celery, metrics: Metrics, *, publisher: str) -> None:
        self._app = app
        self._metrics = metrics
        self._publisher = publisher
        self._producer: Producer | None = None

    def __call__(self, batch: Sequence[Due]) -> None:
        """Put the batch on the broker.

        Raises:
            BrokerUnavailable: It did not arrive, or not all of it, or that is not known.
        """
        started = perf_counter()
        try:
            self._send(batch)
        except Exception as error:  # noqa: BLE001 - transports raise whatever their client library does
            self._drop_connection()
            self._metrics.count("publish_batches_total", publisher=self._publisher, outcome="failed")
            self._metrics.count("publish_failed_total", len(batch), publisher=self._publisher)
            # The type only: the text may hold the broker's address.
            raise BrokerUnavailable(f"broker: {type(error.__cause__ or error).__name__}") from None
        self._metrics.count("publish_batches_total", publisher=self._publisher, outcome="published")
        self._metrics.observe("publish_seconds", perf_counter() - started, publisher=self._publisher)

    def close(self) -> None:
        """Close the connection."""
        self._drop_connection()

    def _send(self, batch: Sequence[Due]) -> None:
        if self._producer is None:
            self._producer = self._app.amqp.Producer(self._app.connection_for_write(), auto_declare=False)
        producer = self._producer
        with producer.batch(max_size=_MAX_BATCH):
            for message in _messages(batch):
                self._publish(message, producer)

    def _publish(self, message: Sequence[Due], producer: Producer) -> None:
        first, ids = message[0], tuple(due.obligation_id for due in message)
        latest = max(due.deadline_at for due in message)
        with tracing.span("message.publish", first.trace_id, lane=str(first.lane), obligations=len(ids)):
            self._send_task(first, ids, latest, producer)

    def _send_task(
        self, first: Due, ids: tuple[ObligationId, ...], latest: datetime, producer: Producer
    ) -> None:
        self._app.send_task(
            first.task,
            args=ids,
            kwargs={"version": MESSAGE_VERSION, "deadline_ms": int(latest.timestamp() * 1000)},
            queue=f"clearance.{first.lane}",
            task_id=ids[0] if len(ids) == 1 else f"{ids[0]}+{len(ids) - 1}",
            eta=first.eta,
            retries=first.attempts,
            argsrepr=repr(ids),
            kwargsrepr="{}",
            headers={"trace_id": first.trace_id},
            producer=producer,
        )

    def _drop_connection(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.connection.close()
        except Exception as error:  # noqa: BLE001 - it is being thrown away because it is broken
            log.debug("publisher.close_failed", error=type(error).__name__)


def _messages(batch: Sequence[Due]) -> Iterator[Sequence[Due]]:
    """What came together and is new shares messages; what the guardian publishes has one each, under its own id."""
    new_by_task: dict[tuple[str, str], list[Due]] = {}
    for due in batch:
        if due.why is Why.ACCEPTED:
            new_by_task.setdefault((due.lane, due.task), []).append(due)
        else:
            yield [due]
    for new in new_by_task.values():
        yield from (new[start : start + _MOST_IN_MESSAGE] for start in range(0, len(new), _MOST_IN_MESSAGE))
