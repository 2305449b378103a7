"""Was what DESIGN promises held? Targets against trials."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.trial import Trial

IDLE_MAX = 0.02
RATE_MIN_PER_S = 500.0
RATIO_MIN_BY_LATENCY_MS = {0.0: 2.5, 80.0: 20.0}
OURS, USUAL = "clearance", "usual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The highest rate that held.

    Attributes:
        fails_at: The lowest rate that did not hold; None when the time was over before one was found.
    """

    system: str
    latency_ms: float
    rate_per_s: float
    fails_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One target. `is_held` None: it was not measured, or the generator was behind."""

    target: str
    measured: str
    is_held: bool | None


def verdicts(
    trials: Iterable[Trial], capacities: Sequence[Capacity], idle_cores: Mapping[str, float]
) -> list[Verdict]:
    """Every target that this benchmark is about. `idle_cores`: by process, of our fleet."""
    rows: dict[tuple[float, float], Trial] = {}
    for trial in trials:
        if trial.system == OURS:
            # The first one: what the search has repeated does not count.
            rows.setdefault((trial.latency_ms, trial.rate_per_s), trial)
    by_cell = {(item.system, item.latency_ms): item for item in capacities}
    found = [_quick(latency_ms, rows.get((latency_ms, 100.0))) for latency_ms in _latencies(rows)]
    found += [_acknowledged(latency_ms, rows.get((latency_ms, 500.0))) for latency_ms in _latencies(rows)]
    for (system, latency_ms), capacity in by_cell.items():
        if system == OURS:
            found.append(_sustained(capacity))
            found += _compared(capacity, by_cell.get((USUAL, latency_ms)))
    if idle_cores:
        found.append(_idle(idle_cores))
    return found


def ratio(ours: Capacity, usual: Capacity) -> float | None:
    """How many times the usual rate ours is; None when the usual way held nothing."""
    return ours.rate_per_s / usual.rate_per_s if usual.rate_per_s else None


def _latencies(rows: Mapping[tuple[float, float], Trial]) -> list[float]:
    return sorted({latency_ms for latency_ms, _ in rows})


def _quick(latency_ms: float, trial: Trial | None) -> Verdict:
    target = (
        f"100/s, vendor {latency_ms:g} ms: notification to approval p50 <= 10 ms, p99 <= 50 ms, none late"
    )
    if trial is None or trial.approval_p50_ms is None or trial.approval_p99_ms is None:
        return Verdict(target=target, measured="not measured", is_held=None)
    measured = (
        f"{trial.approval_p50_ms:.1f} / {trial.approval_p99_ms:.1f} ms, {trial.late + trial.missing} late"
    )
    is_held = trial.approval_p50_ms <= 10 and trial.approval_p99_ms <= 50 and trial.holds
    return _judged(target, measured, is_held, trial.is_trustworthy)


def _acknowledged(latency_ms: float, trial: Trial | None) -> Verdict:
    target = f"500/s, vendor {latency_ms:g} ms: acknowledged p99 <= 25 ms"
    if trial is None or trial.acknowledge_p99_ms is None:
        return Verdict(target=target, measured="not measured", is_held=None)
    is_held = trial.acknowledge_p99_ms <= 25 and not trial.failed
    return _judged(target, f"{trial.acknowledge_p99_ms:.1f} ms", is_held, trial.is_trustworthy)


def _sustained(capacity: Capacity) -> Verdict:
    target = f"vendor {capacity.latency_ms:g} ms: >= {RATE_MIN_PER_S:g}/s with p99 < 250 ms, none late"
    is_held = capacity.rate_per_s >= RATE_MIN_PER_S
    return Verdict(target=target, measured=f"{capacity.rate_per_s:g}/s", is_held=is_held)


def _compared(ours: Capacity, usual: Capacity | None) -> list[Verdict]:
    wanted = RATIO_MIN_BY_LATENCY_MS.get(ours.latency_ms)
    if wanted is None:
        return []
    target = f"vendor {ours.latency_ms:g} ms: >= {wanted:g} times the usual way"
    times = ratio(ours, usual) if usual else None
    if usual is None or times is None:
        return [Verdict(target=target, measured="not measured", is_held=None)]
    measured = f"{times:.1f} times ({ours.rate_per_s:g}/s to {usual.rate_per_s:g}/s)"
    return [Verdict(target=target, measured=measured, is_held=times >= wanted)]


def _idle(idle_cores: Mapping[str, float]) -> Verdict:
    process, most = max(idle_cores.items(), key=lambda item: item[1])
    target = f"idle: <= {IDLE_MAX:.0%} of a core a process"
    return Verdict(target=target, measured=f"{most:.1%} ({process})", is_held=most <= IDLE_MAX)


def _judged(target: str, measured: str, is_held: bool, is_trustworthy: bool) -> Verdict:
    """A generator that was behind proves nothing that it did not refute."""
    if is_held and not is_trustworthy:
        return Verdict(target=target, measured=f"{measured}, generator behind schedule", is_held=None)
    return Verdict(target=target, measured=measured, is_held=is_held)
