"""Which is the highest rate that holds? Steps up from a rate that does until one does not, then halves the gap."""

from collections.abc import Callable
from dataclasses import dataclass

_STEP = 1.5
_RESOLUTION = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer, as far as the time went.

    Attributes:
        highest: Highest rate that was seen to hold; 0 when none was.
        fails_at: Lowest rate that was seen not to hold; None when the search ended before.
    """

    highest: float
    fails_at: float | None


def highest_rate(
    holds: Callable[[float], bool],
    *,
    start: float,
    holds_at: float = 0.0,
    fails_at: float | None = None,
    ceiling: float,
    may_go_on: Callable[[], bool],
) -> Found:
    """Search between what is known already: it holds at `holds_at` (0: not known to), and not at `fails_at`.

    Args:
        holds: Tries a rate; may be noisy, is called at most once for a rate.
        start: The first rate, when nothing is known to hold.
        ceiling: No rate above it is tried.
        may_go_on: False ends the search with what is known.
    """
    low, high = holds_at, fails_at
    while high is None and low < ceiling and may_go_on():
        rate = min(ceiling, _rounded(low * _STEP) if low else start)
        if holds(rate):
            low = rate
        else:
            high = rate
    while high is not None and may_go_on():
        # From a rate that fails downwards by halves, until something holds.
        rate = _rounded((low + high) / 2)
        if high - low <= max(1.0, _RESOLUTION * high) or not low < rate < high:
            break
        if holds(rate):
            low = rate
        else:
            high = rate
    return Found(highest=low, fails_at=high)


def _rounded(rate: float) -> float:
    """To what can be said: whole numbers, from 50 on multiples of 5."""
    return float(round(rate)) if rate < 50 else float(5 * round(rate / 5))
