"""When may the fleet call a vendor again: so many calls in any window, counted by all workers together in Redis.

In: who asks. Out: nothing to wait for, and the call is counted; or the seconds to wait, and nothing is. Waiting for the
limit is no attempt: nothing was sent. Part of the window is reserved: ordinary callers leave it to urgent ones, so that
a large send group does not hold up a customer whose approval is due in seconds.

What a change must keep: one round trip (`rate.lua` asks and counts in one step), by the clock of the Redis server
only, so that no worker's clock matters. Measured on one busy machine: 0.2 ms a call (p99 0.4 ms), twice a GET.

Redis that is away: each process goes on alone, with a quarter of the limit, and asks Redis again every second. Closing
instead would miss deadlines for certain; too many calls are only answered by a 429, which the cool-down shares.
What is counted alone is not told to Redis later.
"""

import random
from collections import deque
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Protocol

import structlog
from redis import Redis, RedisError

from clearance.clock import Clock

log = structlog.get_logger()

_SCRIPT = Path(__file__).with_name("rate.lua").read_text(encoding="utf-8")
_US = 1_000_000
# Four busy processes alone then stay inside the limit.
_PROCESSES_ALONE = 4
# Each question to a server that hangs costs the whole timeout of the client.
_ASK_AFTER_FAILURE_S = 1.0
# Who waits for the same place comes back spread over this.
_JITTER_S = 0.1


class Urgency(Enum):
    """Who asks: an urgent caller may take the whole window, an ordinary one leaves the reserve alone."""

    ORDINARY = "ordinary"
    URGENT = "urgent"


class RateLimit(Protocol):
    """How often a vendor may be called. Safe from any thread; never waits itself."""

    def take(self, urgency: Urgency) -> float:
        """Take one call: 0.0 when it may be made now, and is counted; or seconds until one may be, nothing counted.

        The wait ends when the oldest call in the way leaves the window, for all who wait: add jitter to it.
        """


def take_in_time(
    limit: RateLimit,
    urgency: Urgency,
    *,
    until: datetime,
    clock: Clock,
    pause: Callable[[float], None],
    jitter: Callable[[], float] = random.random,
) -> bool:
    """Take one call before `until`, pausing as long as that needs: whether it may be made.

    False comes as soon as it is known, not at `until`; a call that was taken too late stays counted.
    `jitter` gives 0 to 1.
    """
    while clock() < until:
        wait_s = limit.take(urgency)
        left_s = (until - clock()).total_seconds()
        if wait_s == 0:
            return left_s > 0
        if wait_s >= left_s:
            return False
        pause(wait_s + jitter() * min(_JITTER_S, left_s - wait_s))
    return False


class RedisRateLimit:
    """`RateLimit` for the fleet. All who share a group give the same numbers.

    Args:
        redis: With short timeouts and without retries: `take` lasts as long as they let it.
        group: The vendor's API group; the keys are `clearance:rate:{<group>}` and `clearance:rate:{<group>}:ordinary`.
        calls: How many in any window.
        window_s: Its length. Calls reach the vendor after times that differ: a little more than the vendor's own keeps
            two windows apart there too.
        reserved: How many of `calls` only urgent callers may take.
        time: Seconds that only grow; they say when Redis is asked again, and nothing else while it answers.

    Raises:
        ValueError: The numbers leave nothing for ordinary callers, or the window has no length.
    """

    def __init__(
        self,
        redis: "Redis",
        group: str,
        *,
        calls: int = 50,
        window_s: float = 10.0,
        reserved: int = 0,
        time: Callable[[], float] = monotonic,
    ) -> None:
        _require_sense(calls=calls, reserved=reserved, window_s=window_s)
        self._alone = LocalRateLimit(
            **_share_alone(calls=calls, reserved=reserved), window_s=window_s, time=time
        )
        self._ask = redis.register_script(_SCRIPT)
        # In braces: both keys live on one node of a cluster.
        self._keys = [f"clearance:rate:{{{group}}}", f"clearance:rate:{{{group}}}:ordinary"]
        self._numbers = [calls, calls - reserved, round(window_s * _US)]
        self._group = group
        self._time = time
        self._lock = Lock()
        self._ask_next: float | None = None  # while Redis is away

    def take(self, urgency: Urgency) -> float:
        """See `RateLimit.take`."""
        if not self._is_to_be_asked():
            return self._take_alone(urgency)
        try:
            wait_us = int(self._ask(keys=self._keys, args=[*self._numbers, urgency.value]))
        except RedisError as error:
            self._note_failure(error)
            return self._take_alone(urgency)
        self._note_answer()
        if wait_us == 0:
            self._alone.count(urgency)
        return wait_us / _US

    def _take_alone(self, urgency: Urgency) -> float:
        # Redis may be back, with room, before this process has any of its own.
        return min(self._alone.take(urgency), _ASK_AFTER_FAILURE_S)

    def _is_to_be_asked(self) -> bool:
        """Always; while it is away by one thread a second, so that the others need not wait for its timeout."""
        with self._lock:
            if self._ask_next is None:
                return True
            now = self._time()
            if now < self._ask_next:
                return False
            self._ask_next = now + _ASK_AFTER_FAILURE_S
            return True

    def _note_failure(self, error: RedisError) -> None:
        with self._lock:
            is_first = self._ask_next is None
            self._ask_next = self._time() + _ASK_AFTER_FAILURE_S
        if is_first:
            log.warning("rate.not_shared", group=self._group, error=type(error).__name__)

    def _note_answer(self) -> None:
        with self._lock:
            was_away = self._ask_next is not None
            self._ask_next = None
        if was_away:
            log.info("rate.shared_again", group=self._group)


class LocalRateLimit:
    """`RateLimit` for one process: the same arguments, the same error."""

    def __init__(
        self,
        *,
        calls: int,
        window_s: float,
        reserved: int = 0,
        time: Callable[[], float] = monotonic,
    ) -> None:
        _require_sense(calls=calls, reserved=reserved, window_s=window_s)
        # A full one holds exactly those calls of which the first must leave the window.
        self._every: deque[int] = deque(maxlen=calls)
        self._ordinary: deque[int] = deque(maxlen=calls - reserved)
        self._window_us = round(window_s * _US)
        self._time = time
        self._lock = Lock()

    def take(self, urgency: Urgency) -> float:
        """See `RateLimit.take`."""
        with self._lock:
            now_us = self._now_us()
            wait_us = max(self._until_room_us(counted, now_us) for counted in self._concerned(urgency))
            if wait_us > 0:
                return wait_us / _US
            self._count(urgency, now_us)
        return 0.0

    def count(self, urgency: Urgency) -> None:
        """Count a call that somebody else has allowed."""
        with self._lock:
            self._count(urgency, self._now_us())

    def _count(self, urgency: Urgency, now_us: int) -> None:
        for counted in self._concerned(urgency):
            counted.append(now_us)

    def _concerned(self, urgency: Urgency) -> tuple[deque[int], ...]:
        return (self._every, self._ordinary) if urgency is Urgency.ORDINARY else (self._every,)

    def _until_room_us(self, counted: deque[int], now_us: int) -> int:
        return counted[0] + self._window_us - now_us if len(counted) == counted.maxlen else 0

    def _now_us(self) -> int:
        return round(self._time() * _US)


def _require_sense(*, calls: int, reserved: int, window_s: float) -> None:
    if not 0 <= reserved < calls or window_s <= 0:
        raise ValueError(f"no rate limit: calls={calls}, reserved={reserved}, window_s={window_s}")


def _share_alone(*, calls: int, reserved: int) -> dict[str, int]:
    """What one process may do while Redis is away; both kinds of callers may do something."""
    alone = max(1, calls // _PROCESSES_ALONE)
    ordinary = max(1, (calls - reserved) // _PROCESSES_ALONE)
    return {"calls": alone, "reserved": alone - ordinary}
