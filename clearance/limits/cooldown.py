"""When somebody whom we call has asked for quiet: one worker is told, the whole fleet holds back.

In: a 429 that some worker got. Out: how long nobody should call. Kept in Redis under one key for a vendor's API group,
or for the system that a check asks, with a time to live, so that nothing has to end it. Redis that is away means no
cool-down: each worker then backs off alone, and hears 429 again. Read at most every 50 ms a process, and every second
while Redis is away: an approval costs no round trip for it.
"""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Protocol

import structlog
from redis import Redis, RedisError

log = structlog.get_logger()

_READ_EVERY_S = 0.05
# A look at a server that hangs costs an approval the whole timeout.
_READ_AFTER_FAILURE_S = 1.0
# Whatever was asked for: after this we call again.
_LONGEST_S = 60.0


class CoolDown(Protocol):
    """How long somebody wants to be left alone."""

    def start(self, seconds: float) -> None:
        """Hold the fleet back for this long, unless it is held back for longer already."""

    def remaining_s(self) -> float:
        """Seconds until they may be called; zero when they may be."""


class RedisCoolDown:
    """`CoolDown` for the fleet.

    Args:
        group: Who is left alone: a vendor's API group, or `checks.destination.Destination.name`, which holds no
            secret. The key is `clearance:cooldown:<group>`.
    """

    def __init__(self, redis: "Redis", group: str, *, time: Callable[[], float] = monotonic) -> None:
        self._redis = redis
        self._key = f"clearance:cooldown:{group}"
        self._time = time
        self._lock = Lock()
        self._until = 0.0
        self._read_next = 0.0

    def start(self, seconds: float) -> None:
        """See `CoolDown.start`."""
        wanted = min(seconds, _LONGEST_S)
        with self._lock:
            self._until = max(self._until, self._time() + wanted)
        wanted_ms = max(1, int(wanted * 1000))
        try:
            # Each step is one command (GT: Redis 7), so that of two workers at once the longer wish stands.
            if not self._redis.set(self._key, "1", px=wanted_ms, nx=True):
                self._redis.pexpire(self._key, wanted_ms, gt=True)
        except RedisError as error:
            log.warning("cooldown.not_shared", error=type(error).__name__)

    def remaining_s(self) -> float:
        """See `CoolDown.remaining_s`."""
        with self._lock:
            now = self._time()
            if now < self._read_next:
                return max(0.0, self._until - now)
            self._read_next = now + _READ_EVERY_S
        try:
            left_ms = int(self._redis.pttl(self._key))
        except RedisError as error:
            log.warning("cooldown.not_read", error=type(error).__name__)
            left_ms = 0
            self._read_next = now + _READ_AFTER_FAILURE_S
        with self._lock:
            self._until = max(self._until, now + max(0, left_ms) / 1000)
            return max(0.0, self._until - now)
