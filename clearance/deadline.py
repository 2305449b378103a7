"""By when must an answer leave: the arithmetic of deadlines, pure.

The vendor states a deadline by its own clock; we act by ours. Of all readings the earliest counts, so that an error in
any of them costs budget, never an answer that comes too late.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

# As many as come in a second or two under load: a clock that is set right is believed again soon.
_SAMPLES = 256
# Of the difference between a sample and the best one, no more than this is believed to be travel: a vendor has many
# clocks, and one that is far ahead must not take the time of what the others send.
_LONGEST_TRAVEL = timedelta(seconds=1)
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by our clock, aware UTC, after which an answer is worthless, and the time that the network needs."""

    at: datetime
    send_margin: timedelta

    @property
    def send_by(self) -> datetime:
        """The last moment at which an answer may still leave."""
        return self.at - self.send_margin

    def remaining_s(self, now: datetime) -> float:
        """Seconds in which an answer may still leave; zero or negative when it may not."""
        return (self.send_by - now).total_seconds()

    def margin_s(self, now: datetime) -> float:
        """Seconds to the deadline itself; negative when it is past."""
        return (self.at - now).total_seconds()


class ClockSkew:
    """How far the vendor's clock is ahead of ours, measured from signed timestamps; safe between threads.

    A notification takes some time to arrive, so `received - signed` is that time less the vendor's lead. The smallest
    of the last samples has the least travel in it, and is the best measure of the lead that can be had.
    """

    def __init__(self) -> None:
        self._samples: deque[timedelta] = deque(maxlen=_SAMPLES)
        self._lock = Lock()

    def observe(self, *, signed_at: datetime, received_at: datetime) -> timedelta:
        """Take a sample and give its measured offset: our clock less the vendor's, with the least travel seen."""
        sample = received_at - signed_at
        with self._lock:
            self._samples.append(sample)
            return max(min(self._samples), sample - _LONGEST_TRAVEL)


def approval_deadline(
    *, vendor_deadline_at: datetime, received_at: datetime, timeout: timedelta, offset: timedelta
) -> datetime:
    """The deadline by our clock: the earliest of what the vendor says, that corrected for its clock, and the timeout.

    Args:
        vendor_deadline_at: As stated, by the vendor's clock.
        received_at: When the notification arrived, by our clock.
        timeout: The tenant's response timeout.
        offset: Our clock less the vendor's (`ClockSkew.observe`). Only a vendor ahead of us (negative) is corrected
            for: a positive offset cannot be told from a slow delivery, and correcting it would extend the deadline.
    """
    return min(vendor_deadline_at, vendor_deadline_at + min(offset, _NONE), received_at + timeout)
