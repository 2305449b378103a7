"""May this system be called now? A circuit breaker: who keeps failing is left alone for a while, then tried once.

    closed     calls pass; so many failures in a row open it
    open       no call passes until `rest_s` are over
    half open  one call passes, the probe: its success closes, its failure rests once more. A probe of which nothing is
               heard blocks for another `rest_s` only

One process, any number of threads, one breaker a destination. Ours, because the libraries at hand hold one lock for
as long as a call takes, and so let one thread call at a time.
"""

from collections.abc import Callable
from threading import Lock
from time import monotonic


class Breaker:
    """Ask `admits` before each call, and tell how it ended.

    Args:
        failures: How many in a row open it.
        rest_s: How long it stays open before a probe.
        time: Seconds on a clock that never goes back.
    """

    def __init__(self, *, failures: int, rest_s: float, time: Callable[[], float] = monotonic) -> None:
        self._limit = failures
        self._rest_s = rest_s
        self._time = time
        self._lock = Lock()
        self._failures = 0
        self._probe_at: float | None = None  # when the next probe may pass; None: closed

    def admits(self) -> bool:
        """Whether a call may be made; true once, for the probe, when the rest is over."""
        with self._lock:
            if self._probe_at is None:
                return True
            now = self._time()
            if now < self._probe_at:
                return False
            self._probe_at = now + self._rest_s
            return True

    def succeeded(self) -> None:
        """The system has answered: whatever it said, it is there."""
        with self._lock:
            self._failures = 0
            self._probe_at = None

    def failed(self) -> bool:
        """The system could not be reached, did not answer in time, or is broken. True if that opened the breaker."""
        with self._lock:
            was_closed = self._probe_at is None
            self._failures += 1
            if was_closed and self._failures < self._limit:
                return False
            self._probe_at = self._time() + self._rest_s
            return was_closed
