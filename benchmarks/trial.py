"""What happens at one rate for some seconds? One trial, after a short warm-up, and nothing left over at its end."""

import time
from dataclasses import dataclass
from typing import Any

from benchmarks import cpu
from benchmarks.fleets import Fleet

HOLDS_BELOW_MS = 250.0
"""The sandbox's clock stops when it has read the approval, before it adds its latency: none is allowed on top."""
BEHIND_MAX_MS = 5.0
_WARM_UP_S = 1.0
_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the sandbox saw. Percentiles are None when nothing was answered.

    Attributes:
        late: Approvals that came after their deadline.
        missing: Notifications that nobody has answered by the end of the trial, which is after their deadlines.
        failed: Notifications that were not acknowledged with a 2xx.
        cores: Used while sending, by group of processes; the vendor and load generator is `sandbox`.
        cores_of_others: Used by processes that do not belong to the measurement.
    """

    system: str
    latency_ms: float
    rate_per_s: float
    seconds: float
    sent: int
    acknowledge_p50_ms: float | None
    acknowledge_p99_ms: float | None
    approval_p50_ms: float | None
    approval_p99_ms: float | None
    approval_p999_ms: float | None
    late: int
    missing: int
    failed: int
    behind_p99_ms: float
    cores: dict[str, float]
    cores_of_others: float
    load_average: float

    @property
    def holds(self) -> bool:
        """Whether everything was answered in time, 99% of it quickly.

        Counted from when a notification was to be sent: what the generator was behind its plan is added, so that a
        machine that is full cannot look good by sending late.
        """
        return (
            self.approval_p99_ms is not None
            and self.approval_p99_ms + self.behind_p99_ms < HOLDS_BELOW_MS
            and not (self.late or self.missing or self.failed)
        )

    @property
    def is_trustworthy(self) -> bool:
        """Whether the load generator kept to its schedule closely enough to measure milliseconds."""
        return self.behind_p99_ms <= BEHIND_MAX_MS


def run_trial(fleet: Fleet, *, latency_ms: float, rate_per_s: float, seconds: float) -> Trial:
    """Send `rate_per_s` for `seconds` and wait until each notification is answered or past its deadline."""
    _warm_up(fleet, latency_ms, rate_per_s / 2)
    sandbox = fleet.sandbox
    sandbox.start_afresh(latency_ms)
    before = cpu.read(fleet.processes)
    run = sandbox.play(
        fleet.webhook, rate_per_s=rate_per_s, count=max(1, round(rate_per_s * seconds)), seed=2
    )
    time.sleep(seconds)
    after = cpu.read(fleet.processes)
    fleet.processes.wait_until(lambda: not sandbox.is_playing(run), "the sandbox has sent everything", 60)
    report = sandbox.settled(within_s=_DEADLINE_S + 1)
    fleet.drain()
    return trial_of(
        report,
        system=fleet.name,
        latency_ms=latency_ms,
        rate_per_s=rate_per_s,
        seconds=seconds,
        cores=cpu.cores_by_group(before, after),
        cores_of_others=cpu.cores_of_others(before, after),
    )


def trial_of(
    report: dict[str, Any],
    *,
    system: str,
    latency_ms: float,
    rate_per_s: float,
    seconds: float,
    cores: dict[str, float],
    cores_of_others: float,
) -> Trial:
    """A trial from the sandbox's report, whose `missing` includes what was answered late."""
    acknowledge, approval = report["acknowledge_ms"], report["notification_to_approval_ms"]
    acknowledged = sum(count for status, count in report["acknowledged"].items() if status.startswith("2"))
    late = report["late"]
    return Trial(
        system=system,
        latency_ms=latency_ms,
        rate_per_s=rate_per_s,
        seconds=seconds,
        sent=report["sent"],
        acknowledge_p50_ms=acknowledge["p50"],
        acknowledge_p99_ms=acknowledge["p99"],
        approval_p50_ms=approval["p50"],
        approval_p99_ms=approval["p99"],
        approval_p999_ms=approval["p999"],
        late=late,
        missing=report["valid"] - report["answered"] - late,
        failed=report["sent"] - acknowledged,
        behind_p99_ms=report["behind_schedule_ms"]["p99"] or 0.0,
        cores=cores,
        cores_of_others=cores_of_others,
        load_average=cpu.load_average(),
    )


def _warm_up(fleet: Fleet, latency_ms: float, rate_per_s: float) -> None:
    sandbox = fleet.sandbox
    sandbox.start_afresh(latency_ms)
    run = sandbox.play(fleet.webhook, rate_per_s=rate_per_s, count=max(1, round(rate_per_s * _WARM_UP_S)))
    fleet.processes.wait_until(lambda: not sandbox.is_playing(run), "the warm-up is sent")
    sandbox.settled(within_s=_DEADLINE_S + 1)
    fleet.drain()
