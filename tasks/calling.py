"""May the scheduled API be called now? The fleet's rate limit and its cool-down, waited for as long as there is time.

Waiting is no attempt: nothing was sent. Who cannot have a turn before its moment is told so at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from clearance.clock import Clock
from clearance.errors import VendorThrottled
from clearance.limits.cooldown import CoolDown
from clearance.limits.rate import RateLimit, Urgency, take_in_time
from clearance.optimove.http import VENDOR
from clearance.telemetry import Metrics

_PAUSE_AFTER_429_S = 1.0
# Everybody waits for the same end of a cool-down.
_JITTER_S = 0.2
_LONGEST_PAUSE_S = 1.0


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
            VendorThrottled: There is no turn before `until`.
        """
        while (wait_s := self.cooldown.remaining_s()) > 0:
            if wait_s >= (until - self.clock()).total_seconds():
                raise VendorThrottled(VENDOR, retry_after_s=wait_s)
            self.pause(min(wait_s, _LONGEST_PAUSE_S) + self.jitter() * _JITTER_S)
        if not take_in_time(
            self.limit, Urgency.ORDINARY, until=until, clock=self.clock, pause=self.pause, jitter=self.jitter
        ):
            raise VendorThrottled(VENDOR)

    def throttled(self, error: VendorThrottled) -> None:
        """The vendor has said 429: the whole fleet holds back."""
        self.cooldown.start(error.retry_after_s or _PAUSE_AFTER_429_S)
        self.metrics.count("vendor_cooldowns_total", vendor=VENDOR)
