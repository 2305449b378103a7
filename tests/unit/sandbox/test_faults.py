"""Faults: seeded, exclusive, counted."""

import pytest
from marshmallow import ValidationError

from clearance.sandbox.faults import Fault, FaultPlan, Faults, FaultSchema
from clearance.sandbox.limits import Group

APPROVAL = Group.TRIGGERED_APPROVAL


def _plan(**settings: object) -> FaultPlan:
    plan = FaultSchema().load({"group": "triggered-approval", **settings})
    assert isinstance(plan, FaultPlan)
    return plan


def _drawn(plan: FaultPlan, count: int) -> list[Fault | None]:
    faults = Faults()
    faults.put(plan)
    injections = [faults.draw(APPROVAL) for _ in range(count)]
    return [injection.fault if injection else None for injection in injections]


def test_the_same_seed_draws_the_same_faults_and_another_seed_others() -> None:
    ratios = {"error": 0.3, "reset": 0.3}
    assert _drawn(_plan(**ratios, seed=5), 100) == _drawn(_plan(**ratios, seed=5), 100)
    assert _drawn(_plan(**ratios, seed=5), 100) != _drawn(_plan(**ratios, seed=6), 100)


def test_each_fault_takes_about_its_share_of_the_requests() -> None:
    drawn = _drawn(_plan(**{fault.value: 0.06 for fault in Fault}), 5000)
    for fault in Fault:
        assert 240 < drawn.count(fault) < 360, fault
    assert 1800 < drawn.count(None) < 2200


def test_a_ratio_of_one_is_every_request() -> None:
    assert set(_drawn(_plan(half=1.0), 200)) == {Fault.HALF}


def test_another_group_suffers_nothing() -> None:
    faults = Faults()
    faults.put(_plan(error=1.0))
    assert faults.draw(Group.GENERAL) is None


def test_latency_lies_between_its_least_and_its_least_plus_jitter() -> None:
    faults = Faults()
    faults.put(_plan(latency_ms=80, latency_jitter_ms=20))
    latencies_s = [injection.latency_s for _ in range(200) if (injection := faults.draw(APPROVAL))]
    assert len(latencies_s) == 200
    assert min(latencies_s) >= 0.080
    assert max(latencies_s) <= 0.100
    assert max(latencies_s) - min(latencies_s) > 0.010


def test_what_was_injected_is_counted_and_survives_clearing_but_not_a_reset() -> None:
    faults = Faults()
    faults.put(_plan(error=1.0, latency_ms=5))
    for _ in range(3):
        faults.draw(APPROVAL)
    faults.clear()
    assert faults.draw(APPROVAL) is None
    assert faults.injected() == {APPROVAL: {"error": 3, "latency": 3}}
    faults.reset()
    assert faults.injected() == {}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"group": "nowhere"}, "group"),
        ({"error": 1.5}, "error"),
        ({"error": -0.1}, "error"),
        ({"latency_ms": "slow"}, "latency_ms"),
        ({"error_status": 200}, "error_status"),
        ({"erorr": 0.1}, "erorr"),
        ({"error": 0.6, "reset": 0.6}, "_schema"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_field(settings: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _plan(**settings)
    assert list(caught.value.messages_dict) == [field]


def test_no_more_requests_fail_than_were_asked_for_and_a_new_plan_counts_afresh() -> None:
    faults = Faults()
    for _ in range(2):
        faults.put(_plan(reset_after=1.0, times=2, latency_ms=10))
        drawn = [faults.draw(Group.TRIGGERED_APPROVAL) for _ in range(5)]
        assert [injection and injection.fault for injection in drawn] == [Fault.RESET_AFTER] * 2 + [None] * 3
        assert all(injection and injection.latency_s == 0.01 for injection in drawn)
