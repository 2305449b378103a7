"""How many messages wait on each lane's queue, on every broker."""

from collections.abc import Iterator

import pytest
from celery import Celery

from clearance.errors import BrokerUnavailable
from clearance.obligations import Lane
from config.settings import Settings
from tasks.queue_depths import QueueDepths
from tests.system.processes import free_port, until
from workers import wiring

BROKERS = [
    "memory",
    pytest.param("redis_url", marks=pytest.mark.services),
    pytest.param("rabbitmq_url", marks=pytest.mark.services),
]


@pytest.fixture(params=BROKERS)
def app(request: pytest.FixtureRequest) -> Iterator[Celery]:
    """Celery for publishing, on a broker with nothing in it."""
    named = request.param
    url = "memory://" if named == "memory" else str(request.getfixturevalue(named))
    made = wiring.celery_app(Settings(broker_url=url, redis_url="redis://127.0.0.1:6379/0"))
    with made.connection_for_write() as connection:
        for lane in Lane:
            with connection.channel() as channel:
                channel.queue_delete(f"clearance.{lane}")
    yield made
    made.close()


def test_messages_are_counted_where_they_wait_and_are_still_there(app: Celery) -> None:
    depths = QueueDepths(app)
    assert set(depths().values()) == {0}

    for lane, count in ((Lane.TRIGGERED, 3), (Lane.MAIL, 1)):
        for _ in range(count):
            app.send_task("clearance.nothing", queue=f"clearance.{lane}")

    expected = dict.fromkeys(Lane, 0) | {Lane.TRIGGERED: 3, Lane.MAIL: 1}
    # RabbitMQ counts a message of a quorum queue a moment after it has confirmed it.
    until(lambda: depths() == expected, "all messages are counted", timeout_s=5)
    assert depths() == expected


def test_a_broker_that_is_away_is_not_an_empty_queue() -> None:
    app = wiring.celery_app(Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0"))

    with pytest.raises(BrokerUnavailable, match=r"^broker: \w+$"):
        QueueDepths(app)()

    app.close()
