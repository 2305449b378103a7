"""How many messages wait on each lane's queue? A question that takes none and creates nothing.

Messages that a worker has taken in advance are not counted, and on Redis those for later are with a worker.
"""

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import ChannelError

from clearance.errors import BrokerUnavailable
from clearance.obligations import Lane
from config.queues import QUEUE_BY_LANE

_NOT_FOUND = "404"


class QueueDepths:
    """Asks over a connection of its own, made anew for each question: a broker that was away needs no care."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(self) -> dict[Lane, int]:
        """The number of messages by lane.

        Raises:
            BrokerUnavailable: Nobody knows now.
        """
        try:
            with self._app.connection_for_read() as connection:
                return {lane: _messages(connection, QUEUE_BY_LANE[lane].queue) for lane in Lane}
        except Exception as error:  # noqa: BLE001 - transports raise whatever their client library does
            # The type only: the text may hold the broker's address.
            raise BrokerUnavailable(f"broker: {type(error.__cause__ or error).__name__}") from None


def _messages(connection: Connection, queue: str) -> int:
    # A channel of its own: a queue that does not exist costs an AMQP channel its life.
    with connection.channel() as channel:
        try:
            count: int = channel.queue_declare(queue, passive=True).message_count
        except ChannelError as error:
            if str(error.reply_code) != _NOT_FOUND:
                raise
            return 0  # Redis has no empty lists, and a queue that nobody has used yet has no messages
        return count
