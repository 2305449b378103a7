"""A call taken in time or not at all, and what one process does while Redis is away."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import RedisError
from redis.crc import key_slot
from structlog.typing import EventDict

from clearance.limits.rate import LocalRateLimit, RedisRateLimit, Urgency, take_in_time
from tests.fakes.clock import START, ManualClock
from tests.fakes.rate import FakeRateLimit

ORDINARY, URGENT = Urgency.ORDINARY, Urgency.URGENT


class _Redis:
    """Answers as the test says, after what happens `meanwhile`; `asked` is when and with what it was asked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answer: int | RedisError = 0
        self.asked: list[tuple[float, list[str], list[object]]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def register_script(self, _script: str) -> Callable[..., int]:
        def run(*, keys: list[str], args: list[object]) -> int:
            self.asked.append((self.now, keys, args))
            self.meanwhile()
            if isinstance(self.answer, RedisError):
                raise self.answer
            return self.answer

        return run

    def limit(self, **numbers: float) -> RedisRateLimit:
        return RedisRateLimit(self, "g", **numbers, time=lambda: self.now)


@pytest.fixture
def server() -> _Redis:
    return _Redis()


@pytest.fixture
def away(server: _Redis) -> _Redis:
    server.answer = RedisConnectionError("gone")
    return server


def _taken(limit: RedisRateLimit, urgency: Urgency, times: int = 100) -> int:
    return sum(limit.take(urgency) == 0 for _ in range(times))


# --- taken in time --------------------------------------------------------------------------------------------------


class _Waiter:
    """A caller who may wait until `until_s` after the start; `paused` is what it waited."""

    def __init__(
        self, clock: ManualClock, limit: FakeRateLimit, *, until_s: float, jitter: float = 0.5
    ) -> None:
        self.clock, self.limit, self.jitter = clock, limit, jitter
        self.until = START + timedelta(seconds=until_s)
        self.paused: list[float] = []

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.clock.advance(seconds)

    def took(self, urgency: Urgency = URGENT) -> bool:
        return take_in_time(
            self.limit,
            urgency,
            until=self.until,
            clock=self.clock,
            pause=self.pause,
            jitter=lambda: self.jitter,
        )


def test_a_call_that_may_be_made_now_is_taken_without_a_pause(clock: ManualClock) -> None:
    waiter = _Waiter(clock, FakeRateLimit(clock, calls=1), until_s=20)

    assert waiter.took()
    assert waiter.paused == []
    assert waiter.limit.taken == [(URGENT, START)]


def test_a_caller_comes_back_a_little_after_there_is_room(clock: ManualClock) -> None:
    waiter = _Waiter(clock, FakeRateLimit(clock, calls=1), until_s=20)

    assert waiter.took()
    assert waiter.took()
    assert waiter.paused == [pytest.approx(10.05)]


def test_who_cannot_be_in_time_knows_at_once(clock: ManualClock) -> None:
    waiter = _Waiter(clock, FakeRateLimit(clock, calls=1), until_s=10)
    waiter.took()

    assert not waiter.took()
    assert waiter.paused == []


def test_the_jitter_does_not_make_anybody_late(clock: ManualClock) -> None:
    waiter = _Waiter(clock, FakeRateLimit(clock, calls=1), until_s=10.01, jitter=0.99)
    waiter.took()

    assert waiter.took()
    assert clock() < waiter.until


def test_who_lost_the_place_to_another_waits_again(clock: ManualClock) -> None:
    limit = FakeRateLimit(clock, calls=1, window_s=2)
    waiter = _Waiter(clock, limit, until_s=20, jitter=0)
    limit.take(URGENT)
    quicker = waiter.pause
    waiter.pause = lambda seconds: (quicker(seconds), limit.take(ORDINARY) if len(waiter.paused) < 3 else 0)

    assert waiter.took()
    assert waiter.paused == [2, 2, 2]


def test_nothing_is_taken_once_the_time_is_over(clock: ManualClock) -> None:
    waiter = _Waiter(clock, FakeRateLimit(clock, calls=1), until_s=0)

    assert not waiter.took()
    assert waiter.limit.taken == []


def test_a_call_that_took_until_the_end_to_take_is_not_to_be_made(clock: ManualClock) -> None:
    """A server that hangs may cost what was left."""
    limit = FakeRateLimit(clock, calls=1)
    take = limit.take
    limit.take = lambda urgency: (clock.advance(3), take(urgency))[1]

    assert not _Waiter(clock, limit, until_s=3).took()


def test_an_ordinary_caller_waits_while_an_urgent_one_need_not(clock: ManualClock) -> None:
    limit = FakeRateLimit(clock, calls=2, reserved=1)
    limit.take(ORDINARY)

    assert not _Waiter(clock, limit, until_s=5).took(ORDINARY)
    assert _Waiter(clock, limit, until_s=5).took(URGENT)


# --- while Redis is away --------------------------------------------------------------------------------------------


def test_while_redis_answers_it_alone_decides(server: _Redis) -> None:
    limit = server.limit(calls=4)

    assert _taken(limit, URGENT, 100) == 100
    server.answer = 2_500_000
    assert limit.take(URGENT) == 2.5


def test_redis_is_told_the_numbers_and_who_asks(server: _Redis) -> None:
    server.limit(calls=50, reserved=20, window_s=10.5).take(ORDINARY)

    [(_, keys, args)] = server.asked
    assert args == [50, 30, 10_500_000, "ordinary"]
    assert len({key_slot(key.encode()) for key in keys}) == 1  # a cluster runs scripts on one node


def test_without_redis_a_process_takes_a_quarter_in_any_window(away: _Redis) -> None:
    limit = away.limit(calls=50, window_s=10)

    assert _taken(limit, URGENT) == 12
    away.now += 9.9
    assert _taken(limit, URGENT) == 0
    away.now += 0.2
    assert _taken(limit, URGENT) == 12


def test_without_redis_the_reserve_holds_in_the_quarter(away: _Redis) -> None:
    limit = away.limit(calls=50, reserved=20)

    assert _taken(limit, ORDINARY) == 7
    assert _taken(limit, URGENT) == 5


@pytest.mark.parametrize("urgency", Urgency)
def test_a_quarter_of_a_small_limit_is_one_call_for_either_kind(away: _Redis, urgency: Urgency) -> None:
    assert _taken(away.limit(calls=3, reserved=2), urgency) == 1


def test_what_redis_allowed_just_before_it_went_counts_alone_too(server: _Redis) -> None:
    limit = server.limit(calls=40)
    _taken(limit, ORDINARY, 8)
    server.answer = 1_000_000
    _taken(limit, ORDINARY, 5)  # refused: not counted
    server.answer = RedisConnectionError("gone")

    assert _taken(limit, ORDINARY) == 2


def test_who_waits_alone_asks_again_when_redis_is_asked_again(away: _Redis) -> None:
    limit = away.limit(calls=4)
    limit.take(URGENT)

    assert limit.take(URGENT) == 1.0
    away.now += 9.5
    assert limit.take(URGENT) == 0.5


def test_a_redis_that_is_away_is_asked_once_a_second(away: _Redis) -> None:
    limit = away.limit(calls=50)
    for _ in range(100):
        limit.take(URGENT)
        away.now += 0.1

    times = [now for now, _, _ in away.asked]
    assert len(times) == 10
    assert min(later - first for first, later in pairwise(times)) >= 1


def test_while_one_thread_asks_a_server_that_hangs_the_others_do_not(away: _Redis) -> None:
    limit = away.limit(calls=50)
    limit.take(URGENT)
    away.now += 1
    others = []

    def another_thread() -> None:
        away.meanwhile = lambda: None
        others.append(limit.take(URGENT))

    away.meanwhile = another_thread
    limit.take(URGENT)

    assert others == [0]
    assert len(away.asked) == 2


def test_the_log_tells_each_outage_once_and_its_end(away: _Redis, log_events: list[EventDict]) -> None:
    limit = away.limit(calls=50)
    for answer in (away.answer, 0, away.answer):
        away.answer = answer
        for _ in range(5):
            away.now += 1
            limit.take(URGENT)

    assert [(event["event"], event.get("error"), event["group"]) for event in log_events] == [
        ("rate.not_shared", "ConnectionError", "g"),
        ("rate.shared_again", None, "g"),
        ("rate.not_shared", "ConnectionError", "g"),
    ]


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numbers",
    [
        {"calls": 0, "window_s": 10},
        {"calls": 50, "window_s": 10, "reserved": 50},
        {"calls": 50, "window_s": 10, "reserved": -1},
        {"calls": 50, "window_s": 0},
    ],
    ids=str,
)
def test_numbers_that_would_hold_somebody_for_ever_are_refused(
    server: _Redis, numbers: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match="no rate limit"):
        server.limit(**numbers)
    with pytest.raises(ValueError, match="no rate limit"):
        LocalRateLimit(**numbers)
