"""What is measured in which order, and when does it end? Fixed rates, then a search, for each system and latency.

The time is shared out in advance: what a cell (one system at one latency) does not use goes to the next ones, and what
there is no time for is left out and said to be.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import cpu
from benchmarks.fleets import Fleet, ours, usual
from benchmarks.search import Found, highest_rate
from benchmarks.targets import OURS, USUAL, Capacity, Verdict, verdicts
from benchmarks.trial import Trial, run_trial

START_BY_SYSTEM: dict[str, Callable[[Path], AbstractContextManager[Fleet]]] = {OURS: ours, USUAL: usual}
# Of a trial besides its sending: warm-up, settling, draining; a failing one waits for the deadlines.
_OVERHEAD_S = 2.5
_OVERHEAD_FAILING_S = 8.0
_START_S = 6.0
_SHARE_OF_FIXED = 0.7
_CEILING_PER_S = 2000.0
_START_PER_S = 50.0
_LEAST_START_PER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. Latencies in ms, rates a second; after `failures_max` the higher fixed rates are left out."""

    systems: tuple[str, ...]
    latencies_ms: tuple[float, ...]
    rates_per_s: tuple[float, ...]
    failures_max: int
    seconds: float
    idle_s: float
    total_s: float
    is_quick: bool


@dataclass(slots=True)
class Outcome:
    """What was measured."""

    trials: list[Trial] = field(default_factory=list)
    capacities: list[Capacity] = field(default_factory=list)
    idle_cores: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def verdicts(self) -> list[Verdict]:
        """Every target."""
        return verdicts(self.trials, self.capacities, self.idle_cores)


class Comparison:
    """Runs a plan; `tell` hears of each trial as it ends."""

    def __init__(self, plan: Plan, directory: Path, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._directory = directory
        self._tell = tell
        self._end_s = time.monotonic() + plan.total_s
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Everything; whatever is raised, `outcome` has what was measured before."""
        plan = self._plan
        cells_left = len(plan.systems) * len(plan.latencies_ms)
        for number, system in enumerate(plan.systems):
            directory = self._directory / system
            directory.mkdir()
            self._tell(f"starting {system}")
            with START_BY_SYSTEM[system](directory) as fleet:
                if system == OURS and plan.idle_s:
                    self.outcome.idle_cores = self._idle(fleet)
                for latency_ms in plan.latencies_ms:
                    starts_s = _START_S * (len(plan.systems) - number)
                    self._cell(fleet, latency_ms, (self._left_s() - starts_s) / cells_left)
                    cells_left -= 1
        return self.outcome

    def _idle(self, fleet: Fleet) -> dict[str, float]:
        # What starting has left behind is not idleness.
        time.sleep(2.0)
        before = cpu.read(fleet.processes)
        time.sleep(self._plan.idle_s)
        used = cpu.cores_by_process(before, cpu.read(fleet.processes))
        return {f"{group} {pid}": cores for (group, pid), cores in used.items() if group != "sandbox"}

    def _cell(self, fleet: Fleet, latency_ms: float, share_s: float) -> None:
        began_s = time.monotonic()
        fixed = self._fixed(fleet, latency_ms, began_s + share_s * _SHARE_OF_FIXED)
        found = self._search(fleet, latency_ms, fixed, began_s + share_s)
        self.outcome.capacities.append(
            Capacity(
                system=fleet.name,
                latency_ms=latency_ms,
                rate_per_s=found.highest,
                fails_at=found.fails_at,
            )
        )

    def _fixed(self, fleet: Fleet, latency_ms: float, end_s: float) -> list[Trial]:
        trials: list[Trial] = []
        for rate in self._plan.rates_per_s:
            failures = sum(not trial.holds for trial in trials)
            if failures >= self._plan.failures_max:
                self._leave_out(fleet, latency_ms, rate, "lower rates did not hold")
            elif not self._has_time(end_s, is_failing=failures > 0):
                self._leave_out(fleet, latency_ms, rate, "no time left")
            elif self._plan.is_quick and rate > _most(fleet.name, latency_ms):
                self._leave_out(fleet, latency_ms, rate, "more than its processes can answer")
            else:
                trials.append(self._trial(fleet, latency_ms, rate))
        return trials

    def _search(self, fleet: Fleet, latency_ms: float, fixed: Sequence[Trial], end_s: float) -> Found:
        failing = [trial.rate_per_s for trial in fixed if not trial.holds]
        fails_at = min(failing) if failing else None
        holding = [
            trial.rate_per_s for trial in fixed if trial.holds and trial.rate_per_s < (fails_at or 1e9)
        ]

        def holds(rate: float) -> bool:
            # One hiccup of the machine is not the end: what fails is tried once more.
            return self._trial(fleet, latency_ms, rate).holds or (
                self._has_time(end_s, is_failing=True) and self._trial(fleet, latency_ms, rate).holds
            )

        # About where it is expected, because a rate far above leaves a long queue behind and says little.
        start = max(_LEAST_START_PER_S, float(round(min(_START_PER_S, 0.6 * _most(fleet.name, latency_ms)))))
        if not holding and fails_at is not None and fails_at > start:
            fails_at = None
        return highest_rate(
            holds,
            start=start,
            holds_at=max(holding, default=0.0),
            fails_at=fails_at,
            ceiling=min(failing, default=_CEILING_PER_S),
            may_go_on=lambda: self._has_time(end_s, is_failing=True),
        )

    def _trial(self, fleet: Fleet, latency_ms: float, rate: float) -> Trial:
        trial = run_trial(fleet, latency_ms=latency_ms, rate_per_s=rate, seconds=self._plan.seconds)
        self.outcome.trials.append(trial)
        p99 = "-" if trial.approval_p99_ms is None else f"{trial.approval_p99_ms:.1f} ms"
        result = "holds" if trial.holds else "does not hold"
        self._tell(f"{fleet.name}, vendor {latency_ms:g} ms, {rate:g}/s: p99 {p99}, {result}")
        return trial

    def _leave_out(self, fleet: Fleet, latency_ms: float, rate: float, why: str) -> None:
        self.outcome.left_out.append(f"{fleet.name}, vendor {latency_ms:g} ms, {rate:g}/s: {why}")

    def _has_time(self, end_s: float, *, is_failing: bool) -> bool:
        needed_s = self._plan.seconds + (_OVERHEAD_FAILING_S if is_failing else _OVERHEAD_S)
        return time.monotonic() + needed_s <= end_s

    def _left_s(self) -> float:
        return self._end_s - time.monotonic()


def _most(system: str, latency_ms: float) -> float:
    """What no rate can exceed: the usual way answers one at a time in each of its processes, one a core."""
    if system != USUAL or not latency_ms:
        return _CEILING_PER_S
    return (os.cpu_count() or 1) * 1000 / latency_ms
