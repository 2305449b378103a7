"""Never one request too many: every order in which workers, a wipe and the time can meet, gone through one by one.

Workers do what `tasks.posting` does: a slot, the ledger, the slot again, the request, and the next with the same slot.
Redis does what `slots.lua` does (`tests.fakes.slots`, which the contract suite holds to it), and is wiped at any
moment, twice. Workers are killed while they send; a request takes as long as the hard timeout lets it. One slot and two
workers stand for two and three, which take half a minute to go through, and hold as well. That no order breaks the rule
says something only because each part of it, left out, is shown to be needed.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

import pytest

from tests.fakes.slots import Remembered

_WIPES = 2
# In steps of the clock.
_TIMEOUT, _GAP = 1, 0
_LEASE = _TIMEOUT + 1
# The name of what Redis remembers now, and of all that it remembered before.
_KNOWN, _FORGOTTEN = 1, -1
# What is further back makes no difference any more.
_LONG_AGO = -(_TIMEOUT + _GAP + 1)


class At(Enum):
    """Where a worker is."""

    NEEDS_SLOT = 0
    READS_LEDGER = 1  # Redis knew nothing: who may still be sending?
    OPENS = 2
    HAS_SLOT = 3
    TOLD_LEDGER = 4
    VERIFIED = 5
    SENDING = 6
    DEAD = 7  # killed while it was sending: its request goes on


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker. `began` is when it told the ledger, `sent` since when."""

    at: At = At.NEEDS_SLOT
    memory: int = 0
    fence: int = 0
    began: int = 0
    sent: int = 0
    quiet: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """Everything. `posting` is what the ledger says is being posted: by whom, and since when."""

    most: int = 1
    now: int = 0
    wipes: int = 0
    redis: Remembered = field(default_factory=lambda: Remembered(name=_KNOWN, opens_at_s=0))
    workers: tuple[Worker, ...] = ()
    posting: frozenset[tuple[int, int]] = frozenset()

    @property
    def in_flight(self) -> int:
        return sum(worker.at in {At.SENDING, At.DEAD} for worker in self.workers)

    def with_worker(self, number: int, worker: Worker) -> "World":
        return replace(self, workers=(*self.workers[:number], worker, *self.workers[number + 1 :]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is done; each may be left out."""

    verifies_after_ledger: bool = True
    asks_ledger: bool = True
    names_memory: bool = True
    bounds_the_gap: bool = True


def _next(world: World, rules: Rules) -> Iterator[World]:
    for number, worker in enumerate(world.workers):
        yield from _steps(world, rules, number, worker)
    if world.wipes < _WIPES:
        yield replace(world, wipes=world.wipes + 1, redis=Remembered())
    yield _later(world)


def _later(world: World) -> World:
    """A step of the clock; who has reached the hard timeout is cut off before it."""
    now = world.now + 1
    for number, worker in enumerate(world.workers):
        if worker.at in {At.SENDING, At.DEAD} and now >= worker.sent + _TIMEOUT:
            world = _ended(world, number)
    return replace(world, now=now)


def _ended(world: World, number: int) -> World:
    """The request is over. A worker that lives tells the ledger, and gives its slot back."""
    worker = world.workers[number]
    freed = replace(world.with_worker(number, Worker()), posting=_without(world, number))
    if worker.at is At.DEAD:
        return freed
    return replace(freed, redis=freed.redis.released(worker.memory, worker.fence))


def _went_on(world: World, number: int) -> World:
    """The request is over, and in the commit that says so the next one is begun, with the same slot."""
    told = replace(world.workers[number], at=At.TOLD_LEDGER, began=world.now)
    posting = _without(world, number) | {(number, world.now)}
    return replace(world.with_worker(number, told), posting=posting)


def _without(world: World, number: int) -> frozenset[tuple[int, int]]:
    return frozenset(each for each in world.posting if each[0] != number)


def _steps(world: World, rules: Rules, number: int, worker: Worker) -> Iterator[World]:
    now, become = world.now, lambda after: world.with_worker(number, after)
    match worker.at:
        case At.NEEDS_SLOT:
            yield _asked_for_slot(world, number)
        case At.READS_LEDGER:
            over = max((sent + _GAP + _TIMEOUT for _, sent in world.posting), default=now)
            quiet = max(0, over - now) if rules.asks_ledger else 0
            yield become(replace(worker, at=At.OPENS, quiet=quiet))
        case At.OPENS:
            redis = world.redis if rules.names_memory else replace(world.redis, name=_KNOWN)
            name = worker.memory if rules.names_memory else _KNOWN
            yield replace(become(Worker()), redis=redis.opened(now, name, worker.quiet))
        case At.HAS_SLOT:
            told = replace(worker, at=At.TOLD_LEDGER, began=now)
            yield replace(become(told), posting=world.posting | {(number, now)})
        case At.TOLD_LEDGER:
            yield _verified(world, rules, number)
        case At.VERIFIED:
            is_late = rules.bounds_the_gap and now - worker.began > _GAP
            yield _gave_up(world, number) if is_late else become(replace(worker, at=At.SENDING, sent=now))
        case At.SENDING:
            yield _ended(world, number)
            yield _went_on(world, number)
            yield become(Worker(at=At.DEAD, began=worker.began, sent=worker.sent))
        case At.DEAD:
            yield _ended(world, number)


def _asked_for_slot(world: World, number: int) -> World:
    before = world.redis.fence
    redis, found = world.redis.acquired(world.now, most=world.most, lease_s=_LEASE, name=_KNOWN)
    world = replace(world, redis=redis)
    if found is None:
        return world.with_worker(number, Worker(at=At.READS_LEDGER, memory=redis.name))
    if redis.fence == before:
        return world  # it has to wait
    held = Worker(at=At.HAS_SLOT, memory=redis.name, fence=redis.fence)
    return world.with_worker(number, held)


def _verified(world: World, rules: Rules, number: int) -> World:
    worker = world.workers[number]
    if not rules.verifies_after_ledger:
        return world.with_worker(number, replace(worker, at=At.VERIFIED))
    redis, is_held = world.redis.renewed(world.now, worker.memory, worker.fence, _LEASE)
    if not is_held:
        return _gave_up(world, number)
    verified = replace(worker, at=At.VERIFIED)
    return replace(world.with_worker(number, verified), redis=redis)


def _gave_up(world: World, number: int) -> World:
    worker = world.workers[number]
    freed = replace(world.with_worker(number, Worker()), posting=_without(world, number))
    return replace(freed, redis=freed.redis.released(worker.memory, worker.fence))


def _most_in_flight(rules: Rules, *, most: int, workers: int) -> tuple[int, int]:
    """The most requests that were ever in flight, and how many worlds were seen; ends when they are too many."""
    first = _same(World(most=most, workers=(Worker(),) * workers))
    seen, ahead, in_flight = {first}, deque([first]), 0
    while ahead and in_flight <= most:
        world = ahead.popleft()
        in_flight = max(in_flight, world.in_flight)
        for following in _next(world, rules):
            found = _same(following)
            if found not in seen:
                seen.add(found)
                ahead.append(found)
    return in_flight, len(seen)


def _same(world: World) -> World:
    """Worlds that differ by the time, by tokens or by the workers' numbers only are one: so there are finitely many."""
    redis = world.redis.alive(world.now)
    fences = {fence: place for place, (fence, _) in enumerate(sorted(redis.held), 1)}
    began_by_worker = {whose: _ago(began, world) for whose, began in world.posting}
    seen = sorted(
        (
            (_seen(worker, fences, world), began_by_worker.get(number, 1))
            for number, worker in enumerate(world.workers)
        ),
        key=lambda each: (_key(each[0]), each[1]),
    )
    opens_at = redis.opens_at_s
    return World(
        most=world.most,
        wipes=world.wipes,
        redis=Remembered(
            name=redis.name,
            opens_at_s=None if opens_at is None else max(0, opens_at - world.now),
            fence=len(fences),
            held=tuple((fences[fence], until - world.now) for fence, until in sorted(redis.held)),
        ),
        workers=tuple(worker for worker, _ in seen),
        posting=frozenset((number, began) for number, (_, began) in enumerate(seen) if began <= 0),
    )


def _seen(worker: Worker, fences: dict[int, int], world: World) -> Worker:
    is_known = worker.memory == world.redis.name == _KNOWN
    return replace(
        worker,
        memory=_KNOWN if is_known else _FORGOTTEN,
        fence=fences.get(worker.fence, 0) if is_known else 0,
        began=_ago(worker.began, world),
        sent=_ago(worker.sent, world),
    )


def _ago(moment: int, world: World) -> int:
    return max(_LONG_AGO, moment - world.now)


def _key(worker: Worker) -> tuple[int, ...]:
    return (
        worker.at.value,
        worker.memory,
        worker.fence,
        worker.began,
        worker.sent,
        worker.quiet,
    )


def test_no_order_of_events_puts_one_request_too_many_in_flight() -> None:
    in_flight, seen = _most_in_flight(Rules(), most=1, workers=2)

    assert in_flight == 1
    assert seen > 1_000


@pytest.mark.parametrize(
    "rules",
    [
        Rules(verifies_after_ledger=False),
        Rules(asks_ledger=False),
        Rules(names_memory=False),
        Rules(bounds_the_gap=False),
    ],
    ids=lambda rules: next(name for name in rules.__slots__ if not getattr(rules, name)),
)
def test_each_part_of_the_rule_is_needed(rules: Rules) -> None:
    in_flight, _ = _most_in_flight(rules, most=1, workers=2)

    assert in_flight == 2
