"""How long does a process that died wait before it is started again? Longer each time, until it has run for a while."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Doubling waits.

    Attributes:
        first_s: The wait after the first end.
        longest_s: No wait is longer.
        steady_after_s: What ran at least so long had started well: the waits begin anew.
    """

    first_s: float = 0.5
    longest_s: float = 30.0
    steady_after_s: float = 60.0


class Restarts:
    """The restarts of one process. Knows no clock: it is told how long the process ran."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._ends_in_a_row = 0

    def wait_after(self, ran_for_s: float) -> float:
        """Seconds to wait, now that the process has ended after `ran_for_s`."""
        policy = self._policy
        if ran_for_s >= policy.steady_after_s:
            self._ends_in_a_row = 0
        # The exponent is bounded, for one that dies for a year.
        wait_s = min(policy.first_s * 2.0 ** min(self._ends_in_a_row, 32), policy.longest_s)
        self._ends_in_a_row += 1
        return wait_s
