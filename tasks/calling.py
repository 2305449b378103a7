"""May the scheduled API be called now? The fleet's rate limit and its cool-down, waited for as long as there is time.

Waiting is no attempt: nothing was sent. Who cannot have a turn before its moment is told so at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from clearance.clock import Clock
from clearance.errors import RetryLater, VendorThrottled
from clearance.limits.cooldown import CoolDown
from clearance.limits.rate import RateLimit, Urgency, take_in_time
from clearance.optimove.http import VENDOR
from clearance.telemetry import Metrics

_PAUSE_AFTER_429_S = 1.0
# Everybody waits for the same end of a cool-down.
_JITTER_S = 0.2
_LONGEST_PAUSE_S = 1.0


class NoTurn(RetryLater):
    """The limit or the cool-down leaves no turn in time. The vendor was not called, and has not said 429 to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """What is shared by all who call the scheduled API. `pause` is `time.sleep`, `jitter` gives 0 to 1."""

    limit: RateLimit
    cooldown: CoolDown
    clock: Clock
    pause: Callable[[float], None]
    jitter: Callable[[], float]
    metrics: Metrics

    def wait_for_turn(self, until: datetime) -> None:
        """Return when a call may be made; it is counted.

        Raises:
            NoTurn: There is none before `until`.
        """
        asked_at = self.clock()
        try:
            self._wait(until)
        finally:
            waited_s = (self.clock() - asked_at).total_seconds()
            self.metrics.observe("turn_wait_seconds", waited_s, limit="optimove_scheduled")

    def throttled(self, error: VendorThrottled) -> None:
        """The vendor has said 429: the whole fleet holds back."""
        self.cooldown.start(error.retry_after_s or _PAUSE_AFTER_429_S)
        self.metrics.count("vendor_cooldowns_total", vendor=VENDOR)

    def _wait(self, until: datetime) -> None:
        self._wait_for_quiet(until)
        if not take_in_time(
            self.limit, Urgency.ORDINARY, until=until, clock=self.clock, pause=self.pause, jitter=self.jitter
        ):
            raise NoTurn(f"{VENDOR}: no turn within the rate limit before it is too late")
        if self.cooldown.remaining_s() > 0:
            # Somebody heard 429 while we waited. The turn stays counted: that errs on the vendor's side.
            self._wait_for_quiet(until)

    def _wait_for_quiet(self, until: datetime) -> None:
        while (wait_s := self.cooldown.remaining_s()) > 0:
            left_s = (until - self.clock()).total_seconds()
            if wait_s >= left_s:
                raise NoTurn(f"{VENDOR}: cools down until it is too late", retry_after_s=wait_s)
            self.pause(min(wait_s + self.jitter() * min(_JITTER_S, left_s - wait_s), _LONGEST_PAUSE_S))
