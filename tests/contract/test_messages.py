"""What is put on the broker: Celery's own messages, with ids and nothing else, where no set-up is needed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection
from structlog.typing import EventDict

from clearance.errors import BrokerUnavailable
from clearance.obligations import Due, Lane, ObligationId, Why
from config.settings import Settings
from tasks.base import MESSAGE_VERSION
from tasks.publisher import CeleryPublisher
from tests.fakes.metrics import RecordingMetrics
from workers import wiring

_TASK = "clearance.triggered.approve"
_QUEUE = "clearance.triggered"
_DEADLINE = datetime(2030, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)


def _due(
    name: str,
    *,
    eta: datetime | None = None,
    attempts: int = 0,
    lane: Lane = Lane.TRIGGERED,
    why: Why = Why.DUE,
) -> Due:
    return Due(
        obligation_id=ObligationId(name),
        lane=lane,
        task=_TASK,
        eta=eta,
        deadline_at=_DEADLINE,
        attempts=attempts,
        trace_id=f"trace-{name}",
        why=why,
    )


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.services)])
def broker_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A broker with nothing in it."""
    if request.param == "memory":
        yield "memory://"
        return
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    yield url


@pytest.fixture
def app(broker_url: str) -> Iterator[Celery]:
    made = wiring.celery_app(Settings(broker_url=broker_url))
    with made.connection_for_write() as connection:
        for lane in Lane:
            connection.default_channel.queue_declare(f"clearance.{lane}", durable=True)
            connection.default_channel.queue_purge(f"clearance.{lane}")
    yield made
    made.close()


@pytest.fixture
def measured() -> RecordingMetrics:
    return RecordingMetrics()


@pytest.fixture
def publisher(app: Celery, measured: RecordingMetrics) -> Iterator[CeleryPublisher]:
    made = CeleryPublisher(app, measured, publisher="guardian")
    yield made
    made.close()


def _waiting(connection: Connection, queue: str = _QUEUE) -> list[Any]:
    messages = []
    while (message := connection.default_channel.basic_get(queue, no_ack=True)) is not None:
        messages.append(message)
    return messages


def test_a_message_says_whose_turn_it_is_and_by_when(app: Celery, publisher: CeleryPublisher) -> None:
    eta = datetime(2029, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)

    publisher([_due("a", eta=eta, attempts=2)])

    with app.connection_for_read() as connection:
        (message,) = _waiting(connection)
    args, kwargs, embedded = message.decode()
    assert args == ["a"]
    assert kwargs == {"version": MESSAGE_VERSION, "deadline_ms": 1_893_499_200_123}
    headers = message.headers
    assert (headers["task"], headers["id"], headers["retries"]) == (_TASK, "a", 2)
    assert datetime.fromisoformat(headers["eta"]) == eta
    assert headers["trace_id"] == "trace-a"
    assert (message.content_type, message.properties["delivery_info"]["exchange"]) == ("application/json", "")
    assert set(embedded.values()) == {None}


def test_a_message_carries_ids_only_whatever_flower_shows_of_it(
    app: Celery, publisher: CeleryPublisher
) -> None:
    publisher([_due("a")])

    with app.connection_for_read() as connection:
        (message,) = _waiting(connection)
    assert (message.headers["argsrepr"], message.headers["kwargsrepr"]) == ("('a',)", "{}")
    # Nothing but identifiers and times: what a sender or a customer is called is in the ledger.
    known = {"lang", "task", "id", "root_id", "origin", "trace_id", "argsrepr", "kwargsrepr", "retries"}
    assert {name for name, value in message.headers.items() if value not in (None, [], {})} <= known | {
        "timelimit",
        "ignore_result",
        "replaced_task_nesting",
    }
    assert len(message.body) < 400


def test_each_lane_has_its_own_queue(app: Celery, publisher: CeleryPublisher) -> None:
    publisher([_due(f"o-{lane}", lane=lane) for lane in Lane])

    with app.connection_for_read() as connection:
        for lane in Lane:
            (message,) = _waiting(connection, f"clearance.{lane}")
            assert message.headers["id"] == f"o-{lane}"


def test_a_large_batch_arrives_whole_and_in_order(
    app: Celery, publisher: CeleryPublisher, measured: RecordingMetrics
) -> None:
    publisher([_due(f"o{number}") for number in range(1_200)])

    with app.connection_for_read() as connection:
        ids = [message.headers["id"] for message in _waiting(connection)]
    assert ids == [f"o{number}" for number in range(1_200)]
    assert measured.counted("publish_batches_total", publisher="guardian", outcome="published") == 1
    assert len(measured.observed("publish_seconds", publisher="guardian")) == 1


def test_what_was_accepted_together_shares_messages_of_eight(app: Celery, publisher: CeleryPublisher) -> None:
    alone = [_due("retried", attempts=1)]
    together = [_due(f"o{number}", why=Why.ACCEPTED) for number in range(11)]
    elsewhere = [_due("m0", lane=Lane.MAIL, why=Why.ACCEPTED)]

    publisher(alone + together + elsewhere)

    with app.connection_for_read() as connection:
        messages = [(each.headers["id"], each.payload[0]) for each in _waiting(connection)]
        mail = [(each.headers["id"], each.payload[0]) for each in _waiting(connection, "clearance.mail")]
    assert messages == [
        ("retried", ["retried"]),
        ("o0+7", [f"o{number}" for number in range(8)]),
        ("o8+2", ["o8", "o9", "o10"]),
    ]
    assert mail == [("m0", ["m0"])]


@pytest.mark.services
def test_what_is_published_after_the_broker_was_wiped_arrives(redis_url: str) -> None:
    """No binding, queue or set of the broker's has to be there: the worker declared them before the wipe."""
    app, measured = wiring.celery_app(Settings(broker_url=redis_url)), RecordingMetrics()
    publisher = CeleryPublisher(app, measured, publisher="ingest")
    publisher([_due("before")])

    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        publisher([_due("after")])
        assert client.keys("_kombu.binding.*") == []
    with app.connection_for_read() as connection:
        assert [message.headers["id"] for message in _waiting(connection)] == ["after"]
    publisher.close()
    app.close()


def test_a_broker_that_is_away_is_told_with_its_type_only(log_events: list[EventDict]) -> None:
    measured = RecordingMetrics()
    app = wiring.celery_app(Settings(broker_url="redis://:secret@127.0.0.1:1/0"))
    publisher = CeleryPublisher(app, measured, publisher="ingest")

    with pytest.raises(BrokerUnavailable, match=r"^broker: [A-Za-z]+$"):
        publisher([_due("a"), _due("b")])

    assert measured.counted("publish_batches_total", publisher="ingest", outcome="failed") == 1
    assert measured.counted("publish_failed_total", publisher="ingest") == 2
    publisher.close()
    publisher.close()
    app.close()
    assert log_events == []
