from typing import Any

import pytest

from benchmarks.trial import Trial, trial_of

_REPORT: dict[str, Any] = {
    "sent": 100,
    "valid": 100,
    "answered": 100,
    "late": 0,
    "acknowledged": {"failed": 0, "202": 100},
    "acknowledge_ms": {"p50": 3.0, "p99": 9.0, "p999": 9.5, "max": 9.9},
    "notification_to_approval_ms": {"p50": 8.0, "p99": 40.0, "p999": 45.0, "max": 50.0},
    "behind_schedule_ms": {"p50": 0.1, "p99": 1.0, "p999": 2.0, "max": 3.0},
}


def _trial(**changes: Any) -> Trial:
    return trial_of(
        _REPORT | changes,
        system="clearance",
        latency_ms=80,
        rate_per_s=100,
        seconds=1,
        cores={"worker": 0.5},
        cores_of_others=0.1,
    )


def test_everything_answered_quickly_holds() -> None:
    trial = _trial()

    assert trial.holds
    assert trial.is_trustworthy
    assert (trial.late, trial.missing, trial.failed) == (0, 0, 0)
    assert trial.approval_p999_ms == 45.0


def test_late_and_missing_are_counted_apart() -> None:
    trial = _trial(answered=90, late=7)

    assert (trial.late, trial.missing) == (7, 3)
    assert not trial.holds


def test_an_answer_of_two_hundred_and_something_is_an_acknowledgement_and_nothing_else_is() -> None:
    trial = _trial(acknowledged={"failed": 2, "200": 50, "202": 45, "503": 3})

    assert trial.failed == 5
    assert not trial.holds


@pytest.mark.parametrize(("p99", "holds"), [(248.9, True), (249.0, False), (None, False)])
def test_the_limit_is_for_the_ninety_ninth_percentile_from_the_planned_moment(
    p99: float | None, holds: bool
) -> None:
    trial = _trial(notification_to_approval_ms={"p50": p99, "p99": p99, "p999": p99})

    assert trial.holds is holds


def test_a_generator_behind_its_schedule_is_not_trustworthy() -> None:
    trial = _trial(behind_schedule_ms={"p50": 1.0, "p99": 5.1})

    assert trial.holds
    assert not trial.is_trustworthy
