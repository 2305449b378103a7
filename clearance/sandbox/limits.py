"""How many requests may a key make? A sliding window per key and API group.

A request that was refused does not count. The log of a window is never longer than its limit, and keys are known
before they are counted, so memory is bounded.
Source: facts sheet, "rate limit": 50 requests / 10 s per API key and API group, sliding window.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """What limits and faults are put on: Optimove's API groups, the internal promotion system, and the two of mail.

    The approval call is a group of its own, which the vendor neither states nor denies.
    """

    GENERAL = "general"
    INTEGRATIONS = "integrations"
    CUSTOMERS = "customers"
    TRIGGERED = "triggered"
    TRIGGERED_APPROVAL = "triggered-approval"
    PROMOTIONS = "promotions"
    SCHEDULED_CUSTOMERS = "scheduled-customers"
    SCHEDULED_APPROVALS = "scheduled-approvals"
    OPTILYZ = "optilyz"
    BLOOMREACH = "bloomreach"


# Of Optilyz no limit on rate is known, only one on concurrency, which its caller has to keep.
_UNLIMITED = (Group.TRIGGERED_APPROVAL, Group.PROMOTIONS, Group.OPTILYZ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `requests` in any `window_s` seconds."""

    requests: int = 50
    window_s: float = 10.0


def default_limits() -> dict[Group, Limit | None]:
    """The vendors' limits; None is unlimited. Source of Bloomreach's: facts sheet, 6,000 requests a minute."""
    limits = {group: None if group in _UNLIMITED else Limit() for group in Group}
    return limits | {Group.BLOOMREACH: Limit(requests=6000, window_s=60.0)}


class SlidingWindows:
    """The fleet of windows, one per key and group, made when first used."""

    def __init__(self, limits: Mapping[Group, Limit | None], monotonic_s: Callable[[], float]) -> None:
        self._limit_by_group = default_limits() | dict(limits)
        self._monotonic_s = monotonic_s
        self._admitted_by_window: dict[tuple[str, Group], deque[float]] = {}

    @property
    def limit_by_group(self) -> Mapping[Group, Limit | None]:
        """What is in force now."""
        return self._limit_by_group

    def put(self, group: Group, limit: Limit | None) -> None:
        """Put `limit` in force; the group's windows start empty."""
        self._limit_by_group[group] = limit
        for window in [window for window in self._admitted_by_window if window[1] is group]:
            del self._admitted_by_window[window]

    def clear(self) -> None:
        """Start all windows empty; limits stay."""
        self._admitted_by_window.clear()

    def admits(self, key: str, group: Group) -> bool:
        """Count one request, unless the window is full."""
        limit = self._limit_by_group[group]
        if limit is None:
            return True
        admitted = self._admitted_by_window.setdefault((key, group), deque())
        now_s = self._monotonic_s()
        while admitted and now_s - admitted[0] >= limit.window_s:
            admitted.popleft()
        if len(admitted) >= limit.requests:
            return False
        admitted.append(now_s)
        return True
