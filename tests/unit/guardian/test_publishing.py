"""The publisher's thread: batches of what has come up, a broker that holds nobody up, and an orderly end."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from structlog.typing import EventDict

from clearance import publishing
from clearance.errors import BrokerUnavailable
from clearance.obligations import Due, Lane, ObligationId
from clearance.publishing import BackgroundPublisher
from tests.fakes.clock import START

_SOON_S = 5


class _Broker:
    """Takes batches when the test lets it, and fails as the test says."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Semaphore(1_000)
        self.failure: Exception | None = None
        self.batches: list[list[str]] = []

    def __call__(self, batch: Sequence[Due]) -> None:
        self.asked.release()
        assert self.may_answer.acquire(timeout=_SOON_S)
        if self.failure is not None:
            raise self.failure
        self.batches.append([due.obligation_id for due in batch])

    def hang(self) -> None:
        self.may_answer = threading.Semaphore(0)

    def come_back(self) -> None:
        self.may_answer.release(1_000)

    def was_asked(self) -> bool:
        return self.asked.acquire(timeout=_SOON_S)


class _Seconds:
    """`time.monotonic` as the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now


def _due(name: str) -> Due:
    return Due(
        obligation_id=ObligationId(name),
        lane=Lane.TRIGGERED,
        task="clearance.triggered.approve",
        eta=None,
        deadline_at=START,
        attempts=0,
        trace_id="t",
    )


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> _Seconds:
    made = _Seconds()
    monkeypatch.setattr(publishing, "monotonic", made)
    return made


@pytest.fixture
def broker() -> _Broker:
    return _Broker()


@pytest.fixture
def publisher(broker: _Broker, seconds: _Seconds) -> Iterator[BackgroundPublisher]:
    made = BackgroundPublisher(broker)
    yield made
    broker.come_back()
    made.close()


def test_what_comes_up_meanwhile_is_one_batch(publisher: BackgroundPublisher, broker: _Broker) -> None:
    broker.hang()
    publisher.enqueue(_due("first"))
    assert broker.was_asked()
    for name in "abc":
        publisher.enqueue(_due(name))

    broker.come_back()
    publisher.close()

    assert broker.batches == [["first"], ["a", "b", "c"]]


@pytest.mark.parametrize(("took_s", "rest_s"), [(0.0005, 0.004), (0.003, 0.012), (1.0, 0.025)])
def test_others_may_gather_for_longer_the_more_of_the_processor_a_batch_took(
    monkeypatch: pytest.MonkeyPatch, took_s: float, rest_s: float
) -> None:
    seconds, rests = _Seconds(), list[float]()
    monkeypatch.setattr(publishing, "thread_time", seconds)
    monkeypatch.setattr(publishing, "sleep", rests.append)

    def publish(_batch: Sequence[Due]) -> None:
        seconds.now += took_s

    publisher = BackgroundPublisher(publish)
    publisher.enqueue(_due("first"))
    _wait_until(lambda: bool(rests))
    publisher.close()

    assert rests == [pytest.approx(rest_s)]


def test_a_batch_is_no_larger_than_allowed(publisher: BackgroundPublisher, broker: _Broker) -> None:
    broker.hang()
    publisher.enqueue(_due("first"))
    assert broker.was_asked()
    for number in range(250):
        publisher.enqueue(_due(str(number)))

    broker.come_back()
    publisher.close()

    assert [len(batch) for batch in broker.batches] == [1, 200, 50]


def test_a_broker_that_hangs_holds_nobody_up(publisher: BackgroundPublisher, broker: _Broker) -> None:
    broker.hang()

    for number in range(1_000):
        publisher.enqueue(_due(str(number)))  # would not return otherwise: the broker answers nothing

    assert broker.batches == []


def test_after_a_failure_batches_are_left_to_the_guardian_for_half_a_second(
    publisher: BackgroundPublisher, broker: _Broker, seconds: _Seconds, log_events: list[EventDict]
) -> None:
    broker.failure = BrokerUnavailable("broker: TimeoutError")
    publisher.enqueue(_due("failed"))
    _wait_until(lambda: bool(log_events))
    broker.failure = None
    seconds.now += 0.499
    asked = seconds.asked
    publisher.enqueue(_due("left"))
    _wait_until(lambda: seconds.asked > asked)
    seconds.now += 0.001
    publisher.enqueue(_due("published"))
    publisher.close()

    assert broker.batches == [["published"]]
    (told,) = log_events
    assert (told["event"], told["obligations"], told["error"]) == (
        "publish.failed",
        1,
        "broker: TimeoutError",
    )


def test_a_bug_in_publishing_does_not_end_publishing(
    publisher: BackgroundPublisher, broker: _Broker, seconds: _Seconds, log_events: list[EventDict]
) -> None:
    broker.failure = RuntimeError("a bug")
    publisher.enqueue(_due("lost"))
    _wait_until(lambda: bool(log_events))
    broker.failure = None
    seconds.now += 1
    publisher.enqueue(_due("published"))
    publisher.close()

    assert broker.batches == [["published"]]
    assert log_events[0]["event"] == "publish.failed_on_a_bug"


def test_closing_publishes_what_is_waiting(publisher: BackgroundPublisher, broker: _Broker) -> None:
    broker.hang()
    publisher.enqueue(_due("first"))
    assert broker.was_asked()
    publisher.enqueue(_due("last"))
    closing = threading.Thread(target=publisher.close)
    closing.start()

    broker.come_back()
    closing.join(_SOON_S)

    assert broker.batches == [["first"], ["last"]]


def _wait_until(is_so: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(5_000):
        if is_so():
            return
        ended.wait(0.001)
    raise AssertionError("it did not happen")
