"""When must a group's approvals leave? Late enough that most are decided, early enough that all arrive; pure.

`submit_at = deadline - max(min_margin, safety_factor x estimated duration)`: calls go one after the other, each as long
as measured, inside a rate limit that lets so many begin in a sliding window. More customers are never submitted later.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """From `submit_at` on, approvals are sent; from `hard_stop_at` on, none. The latter is never the earlier one."""

    submit_at: datetime
    hard_stop_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast the vendor takes approvals: as measured, and as allowed."""

    seconds_per_call: float
    calls_per_window: int
    window_s: float
    customers_per_call: int

    def duration_s(self, customers: int) -> float:
        """How long it takes to submit so many."""
        calls = max(1, -(-customers // self.customers_per_call))
        windows, left = divmod(calls - 1, self.calls_per_window)
        a_window_s = max(self.window_s, self.calls_per_window * self.seconds_per_call)
        return windows * a_window_s + (left + 1) * self.seconds_per_call


def schedule_of(
    deadline_at: datetime,
    customers: int | None,
    speed: Speed,
    *,
    min_margin_s: float,
    safety_factor: float,
    stop_margin_s: float,
) -> Schedule:
    """When to submit a group, and when to stop.

    Args:
        customers: How many are expected; None when nobody said: the least margin, until they are fetched.
        safety_factor: How many times the estimate is allowed for.
    """
    hard_stop_at = deadline_at - timedelta(seconds=stop_margin_s)
    margin_s = max(min_margin_s, safety_factor * speed.duration_s(customers or 0))
    return Schedule(
        submit_at=min(hard_stop_at, deadline_at - timedelta(seconds=margin_s)), hard_stop_at=hard_stop_at
    )
