from dataclasses import replace

import pytest

from benchmarks.targets import OURS, USUAL, Capacity, Verdict, ratio, verdicts
from benchmarks.trial import Trial

_TRIAL = Trial(
    system=OURS,
    latency_ms=0.0,
    rate_per_s=100.0,
    seconds=5,
    sent=500,
    acknowledge_p50_ms=3.0,
    acknowledge_p99_ms=12.0,
    approval_p50_ms=8.0,
    approval_p99_ms=40.0,
    approval_p999_ms=60.0,
    late=0,
    missing=0,
    failed=0,
    behind_p99_ms=0.5,
    cores={},
    cores_of_others=0.0,
    load_average=1.0,
)


def _capacity(system: str, rate_per_s: float, *, latency_ms: float = 0.0) -> Capacity:
    return Capacity(
        system=system,
        latency_ms=latency_ms,
        rate_per_s=rate_per_s,
        fails_at=rate_per_s + 10,
    )


def _only(found: list[Verdict], part: str) -> Verdict:
    (verdict,) = [each for each in found if part in each.target]
    return verdict


def test_a_quick_answer_at_a_hundred_a_second_holds() -> None:
    assert _only(verdicts([_TRIAL], [], {}), "p50 <= 10 ms").is_held is True


@pytest.mark.parametrize(
    "change", [{"approval_p50_ms": 10.1}, {"approval_p99_ms": 50.1}, {"late": 1}, {"missing": 1}]
)
def test_a_slow_or_a_late_one_does_not(change: dict[str, float]) -> None:
    trial = replace(_TRIAL, **change)  # type: ignore[arg-type]  # values of the fields named

    assert _only(verdicts([trial], [], {}), "p50 <= 10 ms").is_held is False


def test_a_repeated_trial_does_not_replace_the_first() -> None:
    first = replace(_TRIAL, approval_p99_ms=90.0)

    assert _only(verdicts([first, _TRIAL], [], {}), "p50 <= 10 ms").is_held is False


def test_the_usual_way_is_not_judged_by_our_targets() -> None:
    assert verdicts([replace(_TRIAL, system=USUAL)], [_capacity(USUAL, 180)], {}) == []


def test_the_acknowledgement_is_judged_at_five_hundred_a_second() -> None:
    at_500 = replace(_TRIAL, rate_per_s=500.0, acknowledge_p99_ms=26.0)

    assert _only(verdicts([_TRIAL, at_500], [], {}), "acknowledged").is_held is False
    assert _only(verdicts([_TRIAL], [], {}), "acknowledged").is_held is None


@pytest.mark.parametrize(
    ("latency_ms", "usual", "is_held"), [(0.0, 200, True), (0.0, 201, False), (80.0, 26, False)]
)
def test_the_ratio_has_to_reach_what_is_promised_for_the_latency(
    latency_ms: float, usual: float, is_held: bool
) -> None:
    capacities = [
        _capacity(OURS, 500, latency_ms=latency_ms),
        _capacity(USUAL, usual, latency_ms=latency_ms),
    ]

    assert _only(verdicts([], capacities, {}), "times the usual way").is_held is is_held


def test_without_the_usual_way_there_is_no_ratio() -> None:
    found = verdicts([], [_capacity(OURS, 500)], {})

    assert _only(found, "times the usual way").is_held is None
    assert _only(found, ">= 500/s").is_held is True
    assert ratio(_capacity(OURS, 500), _capacity(USUAL, 0)) is None


def test_a_generator_that_was_behind_proves_no_milliseconds() -> None:
    found = verdicts([replace(_TRIAL, rate_per_s=100.0, behind_p99_ms=5.1)], [], {})

    assert _only(found, "100/s, vendor 0 ms").is_held is None


def test_the_busiest_idle_process_decides() -> None:
    verdict = _only(verdicts([], [], {"worker 1": 0.004, "guardian 2": 0.021}), "idle")

    assert verdict.is_held is False
    assert verdict.measured == "2.1% (guardian 2)"
