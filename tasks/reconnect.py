"""How soon does a worker come back to a broker that was away? Soon: deadlines here are seconds away.

Celery waits 2, then 4, then 6 s and so on between its attempts, and has no setting for it: a broker that was down for
two seconds was found again after six. `Celery(amqp=...)` is the place that Celery gives for a connection of one's own.
"""

from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection

_FIRST_WAIT_S = 0.2
_LONGER_BY_S = 0.2
_LONGEST_WAIT_S = 2.0


class SoonBack(Connection):
    """A connection whose attempts to come back are closer to each other."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As kombu's, with other waits where none are asked for."""
        waits = {
            "interval_start": _FIRST_WAIT_S,
            "interval_step": _LONGER_BY_S,
            "interval_max": _LONGEST_WAIT_S,
        }
        return super().ensure_connection(*args, **(waits | kwargs))


class Amqp(AMQP):
    """Celery's messaging, over such connections."""

    Connection = SoonBack
