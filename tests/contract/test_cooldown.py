"""The fleet's cool-down: the longest wish stands, every worker sees it, and without Redis each is on its own."""

import socket
import threading
from collections.abc import Callable, Iterator
from time import monotonic

import fakeredis
import pytest
import redis
from structlog.typing import EventDict

from clearance.limits.cooldown import CoolDown, RedisCoolDown
from tests.fakes.clock import ManualClock
from tests.fakes.cooldown import FakeCoolDown

_REDIS = ["fakeredis", pytest.param("redis", marks=pytest.mark.services)]


@pytest.fixture(params=_REDIS)
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """An empty Redis."""
    if request.param == "fakeredis":
        with fakeredis.FakeRedis() as fake:
            yield fake
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as real:
        real.flushdb()
        yield real


@pytest.fixture(params=["fake", *_REDIS])
def cooldown(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[CoolDown]:
    """The port: the fake that other tests use, and the real one."""
    if request.param == "fake":
        yield FakeCoolDown(clock)
    elif request.param == "fakeredis":
        with fakeredis.FakeRedis() as fake:
            yield RedisCoolDown(fake, "optimove-test")
    else:
        with redis.Redis.from_url(request.getfixturevalue("redis_url")) as real:
            real.flushdb()
            yield RedisCoolDown(real, "optimove-test")


def test_nobody_is_held_back_before_anybody_asked(cooldown: CoolDown) -> None:
    assert cooldown.remaining_s() == 0


def test_it_holds_back_for_as_long_as_was_asked(cooldown: CoolDown) -> None:
    cooldown.start(20)

    assert 19 < cooldown.remaining_s() <= 20


def test_a_shorter_wish_does_not_shorten_a_longer_one(cooldown: CoolDown) -> None:
    cooldown.start(20)
    cooldown.start(2)

    assert 19 < cooldown.remaining_s() <= 20


def test_a_longer_wish_extends_a_shorter_one(cooldown: CoolDown) -> None:
    cooldown.start(2)
    cooldown.start(20)

    assert 19 < cooldown.remaining_s() <= 20


class _Seconds:
    """`time.monotonic` as the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_worker_sees_what_one_was_told(client: redis.Redis) -> None:
    told, other = RedisCoolDown(client, "g"), RedisCoolDown(client, "g")
    told.start(20)
    told.start(1)

    assert 19 < other.remaining_s() <= 20
    assert RedisCoolDown(client, "another-group").remaining_s() == 0


def test_it_ends_by_itself(client: redis.Redis) -> None:
    seconds = _Seconds()
    cooldown = RedisCoolDown(client, "g", time=seconds)
    cooldown.start(20)

    assert 0 < int(client.pttl("clearance:cooldown:g")) <= 20_000
    client.delete("clearance:cooldown:g")  # what Redis does when the time is over
    seconds.now += 19.9
    assert 0 < cooldown.remaining_s() <= 0.1 + 1e-6
    seconds.now += 0.1
    assert cooldown.remaining_s() == 0


def test_however_long_the_vendor_asks_for_it_is_asked_again_after_a_minute(client: redis.Redis) -> None:
    cooldown = RedisCoolDown(client, "g")
    cooldown.start(86_400)

    assert cooldown.remaining_s() <= 60
    assert int(client.pttl("clearance:cooldown:g")) <= 60_000


def test_the_shortest_cool_down_is_kept_too(client: redis.Redis) -> None:
    RedisCoolDown(client, "g").start(0.0001)

    assert int(client.pttl("clearance:cooldown:g")) <= 1


def test_redis_is_read_at_most_every_fifty_milliseconds(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, reads = _Seconds(), []
    read = client.pttl
    monkeypatch.setattr(client, "pttl", lambda key: reads.append(key) or read(key))
    cooldown = RedisCoolDown(client, "g", time=seconds)

    for _ in range(100):  # ten seconds of a hundred calls a second
        for _ in range(10):
            cooldown.remaining_s()
            seconds.now += 0.01

    assert len(reads) <= 201


def test_between_two_reads_the_rest_is_counted_down(client: redis.Redis) -> None:
    seconds = _Seconds()
    cooldown = RedisCoolDown(client, "g", time=seconds)
    cooldown.start(20)
    first = cooldown.remaining_s()
    seconds.now += 0.04

    assert cooldown.remaining_s() == pytest.approx(first - 0.04)


def test_of_two_wishes_at_once_the_longer_stands(client: redis.Redis) -> None:
    for number in range(100):
        group = f"g{number}"
        wishes = [(RedisCoolDown(client, group), seconds) for seconds in (20, 1)]
        _at_once([lambda each=each: each[0].start(each[1]) for each in wishes])

        assert int(client.pttl(f"clearance:cooldown:{group}")) > 15_000


def _at_once(calls: list[Callable[[], None]]) -> None:
    together = threading.Barrier(len(calls))
    threads = [threading.Thread(target=lambda call=call: (together.wait(), call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def away() -> Iterator[redis.Redis]:
    """A Redis that answers nothing."""
    server = fakeredis.FakeServer()
    server.connected = False
    with fakeredis.FakeRedis(server=server) as client:
        yield client


def test_without_redis_nobody_is_held_back_and_the_log_says_so(
    away: redis.Redis, log_events: list[EventDict]
) -> None:
    assert RedisCoolDown(away, "g").remaining_s() == 0

    assert [(event["event"], event["error"]) for event in log_events] == [
        ("cooldown.not_read", "ConnectionError")
    ]


def test_without_redis_a_worker_still_heeds_what_it_was_told_itself(
    away: redis.Redis, log_events: list[EventDict]
) -> None:
    cooldown = RedisCoolDown(away, "g")
    cooldown.start(20)

    assert 19 < cooldown.remaining_s() <= 20
    assert log_events[0]["event"] == "cooldown.not_shared"


def test_a_redis_that_is_away_is_asked_once_a_second_only(
    away: redis.Redis, log_events: list[EventDict]
) -> None:
    """Each look at a server that hangs costs an approval its whole timeout."""
    seconds = _Seconds()
    cooldown = RedisCoolDown(away, "g", time=seconds)

    for _ in range(100):
        cooldown.remaining_s()
        seconds.now += 0.1

    assert len(log_events) == pytest.approx(10, abs=1)


def test_a_server_that_hangs_costs_no_more_than_its_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}"
        with redis.Redis.from_url(url, socket_timeout=0.1, socket_connect_timeout=0.1) as client:
            began = monotonic()
            assert RedisCoolDown(client, "g").remaining_s() == 0
            took_s = monotonic() - began

    assert took_s < 1
