"""A cool-down by a clock that the test moves: `clearance.limits.cooldown.CoolDown`, for one process."""

from datetime import timedelta

from tests.fakes.clock import ManualClock


class FakeCoolDown:
    """Holds back until the longest that was asked for is over."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._until = clock()
        self.started: list[float] = []

    def start(self, seconds: float) -> None:
        self.started.append(seconds)
        self._until = max(self._until, self._clock() + timedelta(seconds=seconds))

    def remaining_s(self) -> float:
        return max(0.0, (self._until - self._clock()).total_seconds())
