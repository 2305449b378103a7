"""How often a worker tells Flower what it does: four times a second, in one message, instead of at every task.

Celery sends what has happened at every turn of its loop, which at some hundred tasks a second costs a quarter of the
worker. Flower does not need it sooner.
"""

from typing import Any

from celery import bootsteps

_EVERY_S = 0.25
_SOONER_AT = 2000


class EventCadence(bootsteps.StartStopStep):
    """A step of Celery's consumer, after its `Events`; without an event loop Celery's own way stays."""

    requires = ("celery.worker.consumer:Events",)

    def __init__(self, _consumer: Any, **_: Any) -> None:
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Take over the sending of buffered events for as long as this connection lives."""
        dispatcher = consumer.event_dispatcher
        if consumer.hub is None or dispatcher is None:
            return
        dispatcher.on_send_buffered = None
        dispatcher.buffer_limit = _SOONER_AT

        def flush() -> None:
            if any(dispatcher._group_buffer.values()):  # flushing nothing would publish it
                dispatcher.flush()

        self._timer = consumer.hub.call_repeatedly(_EVERY_S, flush)

    def stop(self, _consumer: Any) -> None:
        """Give it back before the connection goes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def shutdown(self, consumer: Any) -> None:
        """The same at the end."""
        self.stop(consumer)
