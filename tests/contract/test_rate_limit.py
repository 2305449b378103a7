"""The rate limit: never more calls than allowed in any window, a reserve that holds, and waits that are right.

The suite runs on the fake that other tests use, on the embedded server and on a real Redis.
"""

import json
import math
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

import pytest
import redis
from structlog.typing import EventDict

from clearance.limits.rate import RateLimit, RedisRateLimit, Urgency
from tests.contract.redis_servers import EmbeddedServer
from tests.contract.takers import SEEN, take_all
from tests.fakes.clock import ManualClock
from tests.fakes.rate import FakeRateLimit

ORDINARY, URGENT = Urgency.ORDINARY, Urgency.URGENT
_ROOT = Path(__file__).resolve().parents[2]
_SERVERS = ["embedded", pytest.param("redis", marks=pytest.mark.services)]
# Real time goes on while a test runs, and this machine may be busy.
_SLACK_S = 1.0


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=_SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    """An empty Redis."""
    if request.param == "embedded":
        found = request.getfixturevalue("embedded").url
    else:
        found = str(request.getfixturevalue("redis_url"))
    with redis.Redis.from_url(found) as client:
        client.flushdb()
    return found


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as opened:
        yield opened


class Bench(Protocol):
    """A kind of rate limit, and a way to let its time go by."""

    def limit(self, *, calls: int, reserved: int = 0, window_s: float = 10.0) -> RateLimit: ...
    def later(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class FakeBench:
    clock: ManualClock

    def limit(self, *, calls: int, reserved: int = 0, window_s: float = 10.0) -> RateLimit:
        return FakeRateLimit(self.clock, calls=calls, reserved=reserved, window_s=window_s)

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)


@dataclass(frozen=True, slots=True)
class RedisBench:
    client: redis.Redis

    def limit(self, *, calls: int, reserved: int = 0, window_s: float = 10.0) -> RateLimit:
        return RedisRateLimit(self.client, "g", calls=calls, reserved=reserved, window_s=window_s)

    def later(self, seconds: float) -> None:
        """Nobody owns the server's time: what it has counted grows older instead."""
        _age(self.client, seconds)


def _age(client: redis.Redis, seconds: float) -> None:
    with client.pipeline() as at_once:
        for key in client.scan_iter("clearance:rate:*"):
            for place, counted_us in enumerate(client.lrange(key, 0, -1)):
                at_once.lset(key, place, int(counted_us) - round(seconds * 1e6))
        # On a busy machine a key may end, of old age, while it is being aged.
        at_once.execute(raise_on_error=False)


@pytest.fixture(params=["fake", *_SERVERS])
def bench(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Bench]:
    if request.param == "fake":
        yield FakeBench(clock)
        return
    name = "embedded" if request.param == "embedded" else "redis_url"
    found = request.getfixturevalue(name)
    with redis.Redis.from_url(getattr(found, "url", found)) as opened:
        opened.flushdb()
        yield RedisBench(opened)


def _taken(limit: RateLimit, urgency: Urgency, times: int) -> int:
    return sum(limit.take(urgency) == 0 for _ in range(times))


def _about(seconds: float) -> object:
    return pytest.approx(seconds, abs=_SLACK_S)


# --- on the fake and on Redis ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("urgency", Urgency)
def test_as_many_calls_as_allowed_go_at_once_and_the_next_waits_for_the_first_to_leave(
    bench: Bench, urgency: Urgency
) -> None:
    limit = bench.limit(calls=5)

    assert _taken(limit, urgency, 5) == 5
    assert limit.take(urgency) == _about(10)
    bench.later(7)
    assert limit.take(urgency) == _about(3)


def test_a_call_that_has_to_wait_is_not_counted(bench: Bench) -> None:
    limit = bench.limit(calls=2)
    _taken(limit, ORDINARY, 100)
    bench.later(10)

    assert _taken(limit, ORDINARY, 100) == 2


def test_the_window_slides_call_by_call(bench: Bench) -> None:
    limit = bench.limit(calls=3)
    for _ in range(3):
        assert limit.take(ORDINARY) == 0
        bench.later(2)

    bench.later(4)  # ten seconds after the first
    assert limit.take(ORDINARY) == 0
    assert limit.take(ORDINARY) == _about(2)
    bench.later(2)
    assert limit.take(ORDINARY) == 0
    assert limit.take(ORDINARY) == _about(2)


def test_ordinary_callers_leave_the_reserve_to_urgent_ones(bench: Bench) -> None:
    limit = bench.limit(calls=10, reserved=4)

    assert _taken(limit, ORDINARY, 20) == 6
    assert _taken(limit, URGENT, 20) == 4
    assert limit.take(URGENT) == _about(10)


def test_urgent_callers_may_take_everything(bench: Bench) -> None:
    limit = bench.limit(calls=10, reserved=4)

    assert _taken(limit, URGENT, 20) == 10
    assert limit.take(ORDINARY) == _about(10)


def test_urgent_calls_inside_the_reserve_cost_ordinary_callers_nothing(bench: Bench) -> None:
    limit = bench.limit(calls=10, reserved=4)
    _taken(limit, URGENT, 4)

    assert _taken(limit, ORDINARY, 20) == 6


def test_an_ordinary_caller_waits_for_the_later_of_its_own_share_and_the_whole(bench: Bench) -> None:
    limit = bench.limit(calls=3, reserved=1)
    limit.take(URGENT)
    bench.later(2)
    _taken(limit, ORDINARY, 2)
    bench.later(3)

    assert limit.take(URGENT) == _about(5)  # the urgent one leaves
    assert limit.take(ORDINARY) == _about(7)  # the first ordinary one leaves


def test_an_hour_of_calls_keeps_to_the_limit_and_tells_the_right_wait_each_time(bench: Bench) -> None:
    """Against the definition, by a list of everything; steps of 5 s never end near the edge of the window."""
    calls, reserved, window_s = 7, 3, 102.5
    limit, rng = bench.limit(calls=calls, reserved=reserved, window_s=window_s), random.Random(4)
    now, every, ordinary, refused = 0.0, [], [], 0

    for _ in range(600):
        step_s = rng.choice([0, 0, 0, 5, 10, 30, 120])
        bench.later(step_s)
        now += step_s
        urgency = rng.choice([ORDINARY, ORDINARY, URGENT])
        needed = [_until_fewer(every, calls, window_s, now)]
        if urgency is ORDINARY:
            needed.append(_until_fewer(ordinary, calls - reserved, window_s, now))

        assert limit.take(urgency) == _about(max(needed))

        refused += max(needed) > 0
        if max(needed) == 0:
            every.append(now)
            if urgency is ORDINARY:
                ordinary.append(now)

    assert refused > 50
    assert len(every) > 50


def _until_fewer(counted: list[float], most: int, window_s: float, now: float) -> float:
    """Seconds until fewer than `most` of these are in the window."""
    inside = sorted(each for each in counted if each > now - window_s)
    return inside[len(inside) - most] + window_s - now if len(inside) >= most else 0.0


# --- on Redis: the fleet --------------------------------------------------------------------------------------------


def test_a_wait_that_was_told_is_exact(client: redis.Redis) -> None:
    limit = RedisRateLimit(client, "g", calls=2, window_s=0.4)
    took = [monotonic(), limit.take(URGENT), monotonic()]
    limit.take(URGENT)
    asked = [monotonic(), limit.take(URGENT), monotonic()]

    # Each answer was made at some moment between the two that surround it.
    assert asked[0] + asked[1] <= took[2] + 0.4 + 0.001
    assert asked[2] + asked[1] >= took[0] + 0.4 - 0.001
    sleep(asked[1] + 0.001)
    assert limit.take(URGENT) == 0


@pytest.mark.parametrize(
    ("urgencies", "most"),
    [("ordinary ordinary ordinary ordinary", 15), ("urgent urgent ordinary ordinary", 20)],
    ids=["all ordinary", "half urgent"],
)
def test_four_processes_never_make_more_calls_in_any_window_than_allowed(
    url: str, urgencies: str, most: int
) -> None:
    calls, reserved, window_s, lasts_s = 20, 5, 0.5, 2.0
    command = [sys.executable, "-m", "tests.contract.takers", url, str(calls), str(window_s), str(reserved)]
    clocks_ahead_s = ("0", "3600", "-3600", "86400")
    workers = [
        subprocess.Popen(
            [*command, urgency, str(lasts_s), ahead_s],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for urgency, ahead_s in zip(urgencies.split(), clocks_ahead_s, strict=True)
    ]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 4
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    told = [json.loads(worker.communicate()[0]) for worker in workers]
    every_us, ordinary_us = (sorted(set().union(*(each[name] for each in told))) for name in SEEN)

    # A process that is held up for a whole window after its last call sees it no more, and nor does another.
    unseen = sum(each["taken"] for each in told) - len(every_us)
    assert 0 <= unseen <= len(workers)
    assert _shortest_for(calls, every_us) >= window_s * 1e6
    assert _shortest_for(calls - reserved, ordinary_us) >= window_s * 1e6
    # And the limit is used: four windows, of which a busy machine may lose one.
    assert len(every_us) >= 3 * most


def _shortest_for(calls: int, counted_us: list[int]) -> float:
    """The least time from a call to the one that comes `calls` after it."""
    later_us = counted_us[calls:]
    return min((later - first for first, later in zip(counted_us, later_us, strict=False)), default=math.inf)


def test_threads_that_share_one_limit_take_no_more_than_allowed(client: redis.Redis) -> None:
    limit, taken = RedisRateLimit(client, "g", calls=10, window_s=60), []
    threads = [
        threading.Thread(target=lambda: taken.append(take_all(limit, URGENT, 0.2)), name=f"taker-{number}")
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(taken) == 10


def test_all_workers_share_one_window(client: redis.Redis) -> None:
    one, other = (RedisRateLimit(client, "g", calls=4, reserved=1) for _ in range(2))
    _taken(one, ORDINARY, 3)

    assert other.take(ORDINARY) == _about(10)
    assert other.take(URGENT) == 0
    assert one.take(URGENT) == _about(10)


def test_two_groups_do_not_disturb_each_other(client: redis.Redis) -> None:
    one, other = (RedisRateLimit(client, group, calls=3, reserved=1) for group in ("one", "other"))
    _taken(one, URGENT, 9)

    assert _taken(other, ORDINARY, 9) == 2
    assert _taken(other, URGENT, 9) == 1


def test_a_worker_whose_clock_is_wrong_changes_nothing(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = RedisRateLimit(client, "g", calls=2)
    _taken(right, URGENT, 2)
    for wrong in (0.0, 4e9):
        monkeypatch.setattr("time.time", lambda wrong=wrong: wrong)
        limit = RedisRateLimit(client, "g", calls=2, time=lambda wrong=wrong: wrong)

        assert limit.take(URGENT) == _about(10)


def test_a_server_whose_clock_is_set_back_holds_nobody_for_longer_than_a_window(client: redis.Redis) -> None:
    limit = RedisRateLimit(client, "g", calls=3, reserved=1)
    limit.take(ORDINARY)
    _age(client, 4)
    limit.take(ORDINARY)
    limit.take(URGENT)
    _age(client, -3600)
    for key in client.scan_iter():
        client.pexpire(key, 3_610_000)  # as much longer, by that clock

    assert limit.take(ORDINARY) == _about(6)
    assert all(0 < int(client.pttl(key)) <= 10_001 for key in client.scan_iter())
    _age(client, 6)
    assert limit.take(ORDINARY) == 0
    assert limit.take(URGENT) == _about(4)
    assert all(0 < int(client.pttl(key)) <= 10_001 for key in client.scan_iter())


def test_what_is_kept_is_no_more_than_the_limit_and_goes_by_itself(client: redis.Redis) -> None:
    limit = RedisRateLimit(client, "g", calls=5, reserved=1)
    for _ in range(20):
        _taken(limit, ORDINARY, 9)
        _taken(limit, URGENT, 9)
        _age(client, 3)
    keys = {key.decode() for key in client.scan_iter()}

    assert keys == {"clearance:rate:{g}", "clearance:rate:{g}:ordinary"}
    assert all(int(client.llen(key)) <= 5 for key in keys)
    assert all(0 < int(client.pttl(key)) <= 10_001 for key in keys)


def test_of_two_releases_with_two_limits_neither_forgets_what_the_other_counted(client: redis.Redis) -> None:
    larger, smaller = RedisRateLimit(client, "g", calls=6), RedisRateLimit(client, "g", calls=3)
    _taken(larger, URGENT, 2)

    assert _taken(smaller, URGENT, 9) == 1
    assert _taken(larger, URGENT, 9) == 3
    assert smaller.take(URGENT) == _about(10)
    assert larger.take(URGENT) == _about(10)


def test_a_server_that_forgot_the_script_is_given_it_again(
    client: redis.Redis, log_events: list[EventDict]
) -> None:
    limit = RedisRateLimit(client, "g", calls=2)
    limit.take(URGENT)
    client.script_flush()

    assert limit.take(URGENT) == 0
    assert limit.take(URGENT) == _about(10)
    assert log_events == []


# --- without Redis --------------------------------------------------------------------------------------------------


def test_while_redis_is_away_a_process_goes_on_with_a_quarter_and_shares_again_afterwards(
    tmp_path: Path, log_events: list[EventDict]
) -> None:
    server, seconds = EmbeddedServer(tmp_path), [100.0]
    server.start()
    try:
        with redis.Redis.from_url(server.url, socket_timeout=1) as client:
            limit = RedisRateLimit(client, "g", calls=40, time=lambda: seconds[0])
            limit.take(URGENT)
            server.stop()
            alone = _taken(limit, URGENT, 60)
            server.start()
            seconds[0] += 1
            shared = _taken(limit, URGENT, 60)
    finally:
        server.stop()

    assert alone == 40 // 4 - 1  # the call that Redis counted counts here too
    assert shared == 40
    assert [event["event"] for event in log_events] == ["rate.not_shared", "rate.shared_again"]


def test_a_server_that_hangs_costs_no_more_than_its_timeout(log_events: list[EventDict]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        found = f"redis://127.0.0.1:{mute.getsockname()[1]}"
        with redis.Redis.from_url(found, socket_timeout=0.1, socket_connect_timeout=0.1) as client:
            limit = RedisRateLimit(client, "g", calls=40)
            began = monotonic()
            assert _taken(limit, ORDINARY, 10) == 10
            took_s = monotonic() - began

    assert took_s < 1
    assert [event["error"] for event in log_events] == ["TimeoutError"]
