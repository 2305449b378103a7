"""A rate limit by a clock that the test moves: `clearance.limits.rate.RateLimit`, for one process."""

from datetime import datetime

from clearance.limits.rate import LocalRateLimit, Urgency
from tests.fakes.clock import START, ManualClock


class FakeRateLimit:
    """One group's window; `taken` is what was counted in it, and when."""

    def __init__(
        self, clock: ManualClock, *, calls: int = 50, window_s: float = 10.0, reserved: int = 0
    ) -> None:
        self._clock = clock
        self._limit = LocalRateLimit(
            calls=calls,
            window_s=window_s,
            reserved=reserved,
            time=self._seconds,
        )
        self.taken: list[tuple[Urgency, datetime]] = []

    def take(self, urgency: Urgency) -> float:
        wait_s = self._limit.take(urgency)
        if wait_s == 0:
            self.taken.append((urgency, self._clock()))
        return wait_s

    def _seconds(self) -> float:
        return (self._clock() - START).total_seconds()
