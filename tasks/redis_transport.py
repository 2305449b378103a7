"""kombu's Redis transport with one client a channel, where kombu makes a new one for every command.

Making a `Redis` object costs more than the command that it is made for: 14% of a busy worker. The pool beneath is the
same either way, and a client may be shared between threads.
"""

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):
    """A channel that keeps its client for as long as it keeps its pool."""

    _kept: tuple[Any, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Without acknowledgements in Redis, what a lost connection had delivered is the guardian's to publish again.
        # kombu would try to push it back over that connection, and then write it to a file.
        self.do_restore = bool(self.ack_emulation)

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:  # used once a connection, and bound to it
            return super()._create_client(asynchronous=True)
        kept, pool = self._kept, self.pool
        if kept is None or kept[0] is not pool:
            kept = self._kept = (pool, super()._create_client())
        return kept[1]


class Transport(redis.Transport):
    """The transport of such channels."""

    Channel = Channel
