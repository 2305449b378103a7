"""A clock that stands still until a test moves it: an hour of waiting is tested in no time."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class ManualClock:
    """A `clearance.clock.Clock`: call it for the present moment, `advance` it, or set `now`."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Move forward, or back with a negative number, and return the new present moment."""
        self.now += timedelta(seconds=seconds)
        return self.now
