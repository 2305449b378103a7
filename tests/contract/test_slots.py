"""Slots: never more holders than allowed, none is lost with its holder, and after a wipe nobody is given one too soon.

The suite runs on the fake that other tests use, on the embedded server and on a real Redis.
"""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Protocol

import pytest
import redis

from clearance.errors import LedgerUnavailable
from clearance.limits.slots import NoSlot, RedisSlots, Slot, Slots, SlotsUnavailable
from tests.contract.redis_servers import EmbeddedServer
from tests.fakes.clock import ManualClock
from tests.fakes.slots import FakeSlots

_SERVERS = ["embedded", pytest.param("redis", marks=pytest.mark.services)]
_LEASE_S = 25.0
# Real time goes on while a test runs, and this machine may be busy.
_SLACK_S = 1.0
_KEY = "clearance:slots:g"


@dataclass(slots=True)
class Ledger:
    """What the ledger says when it is asked in how many seconds it will be quiet."""

    quiet_in_s: float = 0.0
    asked: int = 0
    is_away: bool = False

    def __call__(self) -> float:
        self.asked += 1
        if self.is_away:
            raise LedgerUnavailable("ledger: away")
        return self.quiet_in_s


class Bench(Protocol):
    """A kind of slots, and ways to let its time go by and its memory go."""

    def slots(self, ledger: Ledger, *, most: int = 2) -> Slots: ...
    def later(self, seconds: float) -> None: ...
    def wipe(self) -> None: ...


class FakeBench:
    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._made: FakeSlots | None = None

    def slots(self, ledger: Ledger, *, most: int = 2) -> Slots:
        self._made = FakeSlots(self._clock, most=most, lease_s=_LEASE_S, quiet_in_s=ledger)
        return self._made

    def later(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def wipe(self) -> None:
        assert self._made is not None
        self._made.wipe()


class RedisBench:
    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._ahead_s = 0.0

    def slots(self, ledger: Ledger, *, most: int = 2) -> Slots:
        return RedisSlots(
            self._client,
            "g",
            most=most,
            lease_s=_LEASE_S,
            quiet_in_s=ledger,
            time=lambda: monotonic() + self._ahead_s,
        )

    def later(self, seconds: float) -> None:
        """Nobody owns the server's time: what it has noted is moved back instead."""
        self._ahead_s += seconds
        for field, value in self._client.hgetall(_KEY).items():
            if int(value) > 0 if field == b"opens_at" else field.startswith(b"held:"):
                self._client.hset(_KEY, field, int(value) - round(seconds * 1e6))

    def wipe(self) -> None:
        self._client.flushdb()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


def _opened(request: pytest.FixtureRequest, kind: str) -> redis.Redis:
    found = request.getfixturevalue("embedded" if kind == "embedded" else "redis_url")
    client = redis.Redis.from_url(getattr(found, "url", found))
    client.flushdb()
    return client


@pytest.fixture(params=_SERVERS)
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    with _opened(request, request.param) as opened:
        yield opened


@pytest.fixture(params=["fake", *_SERVERS])
def bench(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Bench]:
    if request.param == "fake":
        yield FakeBench(clock)
        return
    with _opened(request, request.param) as opened:
        yield RedisBench(opened)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def _taken(slots: Slots) -> Slot:
    found = slots.acquire()
    assert isinstance(found, Slot)
    return found


def _refused_s(slots: Slots) -> float:
    found = slots.acquire()
    assert isinstance(found, NoSlot)
    return found.wait_s


def _about(seconds: float) -> object:
    return pytest.approx(seconds, abs=_SLACK_S)


# --- on the fake and on Redis ---------------------------------------------------------------------------------------


def test_as_many_are_held_as_allowed_and_the_next_waits_for_the_end_of_the_first_lease(
    bench: Bench, ledger: Ledger
) -> None:
    slots = bench.slots(ledger)

    _taken(slots)
    bench.later(5)
    _taken(slots)

    assert _refused_s(slots) == _about(20)


def test_a_slot_that_is_given_back_is_free_at_once(bench: Bench, ledger: Ledger) -> None:
    slots = bench.slots(ledger, most=1)
    first = _taken(slots)

    slots.release(first)

    assert _taken(slots).fence > first.fence
    assert not slots.renew(first)


def test_giving_back_what_is_lost_takes_nothing_from_its_next_holder(bench: Bench, ledger: Ledger) -> None:
    slots = bench.slots(ledger, most=1)
    lost = _taken(slots)
    bench.later(_LEASE_S)
    held = _taken(slots)

    slots.release(lost)

    assert slots.renew(held)
    assert _refused_s(slots) == _about(_LEASE_S)


def test_a_holder_that_died_is_forgotten_when_its_lease_is_over(bench: Bench, ledger: Ledger) -> None:
    slots = bench.slots(ledger, most=1)
    dead = _taken(slots)

    bench.later(_LEASE_S)

    assert _taken(slots).fence > dead.fence
    assert not slots.renew(dead)
    assert slots.left_s(dead) <= 0


def test_a_slot_that_is_renewed_is_held_for_a_whole_lease_from_then_on(bench: Bench, ledger: Ledger) -> None:
    slots = bench.slots(ledger, most=1)
    slot = _taken(slots)
    for _ in range(3):
        bench.later(20)
        assert slots.left_s(slot) == _about(5)
        assert slots.renew(slot)

    assert slots.left_s(slot) == _about(_LEASE_S)
    assert _refused_s(slots) == _about(_LEASE_S)


def test_after_a_wipe_the_ledger_is_asked_and_nobody_is_given_a_slot_before_it_is_quiet(
    bench: Bench, ledger: Ledger
) -> None:
    slots = bench.slots(ledger)
    before = _taken(slots)
    bench.wipe()
    ledger.quiet_in_s = 12

    assert _refused_s(slots) == _about(12)
    bench.later(8)
    assert _refused_s(slots) == _about(4)
    assert ledger.asked == 2  # at the beginning and after the wipe: once each
    bench.later(4)
    _taken(slots)
    assert not slots.renew(before)


def test_where_nothing_is_under_way_a_slot_is_given_at_once_after_a_wipe(
    bench: Bench, ledger: Ledger
) -> None:
    slots = bench.slots(ledger)
    bench.wipe()

    _taken(slots)


def test_a_slot_of_before_a_wipe_is_never_confirmed_after_it(bench: Bench, ledger: Ledger) -> None:
    slots = bench.slots(ledger)
    before = _taken(slots)
    bench.wipe()
    _taken(slots)

    assert not slots.renew(before)


def test_while_the_ledger_is_away_nobody_says_that_it_is_quiet(bench: Bench, ledger: Ledger) -> None:
    slots = bench.slots(ledger)
    ledger.is_away = True

    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            slots.acquire()
    ledger.is_away = False

    _taken(slots)


# --- on Redis: the fleet --------------------------------------------------------------------------------------------


def test_of_two_who_find_a_wiped_server_at_once_the_later_respects_what_the_first_has_read(
    client: redis.Redis,
) -> None:
    told, first_asks = [], threading.Event()

    def first() -> float:
        first_asks.set()
        told.append(other.acquire())  # the other is done before the first has opened
        return 12.0

    one = RedisSlots(client, "g", most=2, lease_s=_LEASE_S, quiet_in_s=first)
    other = RedisSlots(client, "g", most=2, lease_s=_LEASE_S, quiet_in_s=lambda: 12.0)

    told.append(one.acquire())

    assert [each.wait_s for each in told if isinstance(each, NoSlot)] == [_about(12), _about(12)]
    assert _refused_s(other) == _about(12)


def test_what_was_read_in_the_ledger_before_a_second_wipe_opens_nothing_after_it(client: redis.Redis) -> None:
    def wiped_meanwhile() -> float:
        client.flushdb()
        second.acquire()
        return 0.0

    second = RedisSlots(client, "g", most=2, lease_s=_LEASE_S, quiet_in_s=lambda: 12.0)
    first = RedisSlots(client, "g", most=2, lease_s=_LEASE_S, quiet_in_s=wiped_meanwhile)

    found = first.acquire()

    assert found == NoSlot(wait_s=_about(12))


def test_a_server_that_was_started_anew_with_an_old_memory_is_as_good_as_wiped(
    client: redis.Redis, ledger: Ledger
) -> None:
    """A snapshot of minutes ago, or a replica that has taken over: the last writes may be missing."""
    slots = RedisBench(client).slots(ledger)
    held = _taken(slots)
    name = client.hget(_KEY, "memory")
    client.hset(_KEY, "memory", b"0" * 40 + name[40:])  # written by another run of the server
    ledger.quiet_in_s = 12

    assert not slots.renew(held)
    assert _refused_s(slots) == _about(12)


def test_a_server_whose_clock_is_set_back_holds_nobody_for_longer_than_a_lease(
    client: redis.Redis, ledger: Ledger
) -> None:
    bench = RedisBench(client)
    slots = bench.slots(ledger, most=1)
    _taken(slots)

    bench.later(-3600)

    assert _refused_s(slots) == _about(_LEASE_S)


def test_tokens_grow_also_over_a_wipe(client: redis.Redis, ledger: Ledger) -> None:
    bench = RedisBench(client)
    slots, fences = bench.slots(ledger), []
    for _ in range(4):
        slot = _taken(slots)
        fences.append(slot.fence)
        slots.release(slot)
        if len(fences) == 2:
            bench.wipe()

    assert fences == sorted(set(fences))


def test_many_threads_of_two_processes_never_hold_more_than_allowed(client: redis.Redis) -> None:
    here, most_seen, lock = [0], [0], threading.Lock()
    takers = [RedisSlots(client, "g", most=2, lease_s=_LEASE_S, quiet_in_s=lambda: 0.0) for _ in range(2)]
    ends = monotonic() + 0.5

    def work(slots: RedisSlots) -> None:
        while monotonic() < ends:
            found = slots.acquire()
            if not isinstance(found, Slot):
                continue
            with lock:
                here[0] += 1
                most_seen[0] = max(most_seen[0], here[0])
            sleep(0.001)
            with lock:
                here[0] -= 1
            slots.release(found)

    threads = [threading.Thread(target=work, args=(takers[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most_seen == [2]


def test_one_key_has_it_all(client: redis.Redis, ledger: Ledger) -> None:
    slots = RedisBench(client).slots(ledger)
    for _ in range(50):
        slots.release(_taken(slots))

    assert [key.decode() for key in client.scan_iter()] == [_KEY]
    assert set(client.hkeys(_KEY)) == {b"memory", b"opens_at", b"fence"}


def test_what_a_slot_costs_is_well_under_a_millisecond(client: redis.Redis, ledger: Ledger) -> None:
    slots = RedisBench(client).slots(ledger)
    took_s = []
    for _ in range(200):
        began = perf_counter()
        slots.release(_taken(slots))
        took_s.append((perf_counter() - began) / 2)

    assert min(took_s) < 0.001  # of the least disturbed: this machine may be busy


# --- without Redis --------------------------------------------------------------------------------------------------


def test_while_redis_is_away_nothing_is_given_and_nothing_confirmed(tmp_path: Path, ledger: Ledger) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    try:
        with redis.Redis.from_url(server.url, socket_timeout=1) as client:
            slots = RedisBench(client).slots(ledger)
            held = _taken(slots)
            server.stop()
            for asked in (slots.acquire, lambda: slots.renew(held)):
                with pytest.raises(SlotsUnavailable):
                    asked()
            slots.release(held)  # does not fail
            server.start()
            ledger.quiet_in_s = 12

            assert not slots.renew(held)
            assert _refused_s(slots) == _about(12)
    finally:
        with suppress(OSError):
            server.stop()
