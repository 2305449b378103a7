"""The system that an `http` check asks fails: answers are in time, with true reasons, and nobody is activated twice."""

import zlib
from collections.abc import Iterator

import pytest

from tests.system.fleet import Fleet, FleetPlan, running
from tests.system.processes import until
from tests.system.promotions_verdict import FAILED, asked, judged, reasons

pytestmark = pytest.mark.timeout(90)

_GROUP = "promotions"
_LOCKED = "PROMOTION_NOT_ACTIVE:BONUS_WALLET_LOCKED"


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    rules = request.path.with_name("rules_promotions.toml")
    # So that one test's failures do not keep the next one's questions back.
    settings = {"CLEARANCE_CHECK_BREAKER_FAILURES": "1000"}
    with running(tmp_path_factory.mktemp("checks"), FleetPlan(rules=rules, settings=settings)) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet: Fleet, request: pytest.FixtureRequest) -> Fleet:
    """A fleet that asks the sandbox's promotion system about everybody from the right country."""
    _fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _fleet


def test_a_system_that_is_well_is_asked_once_about_whom_nothing_else_refuses(fleet: Fleet) -> None:
    fleet.wait_sent(fleet.play(60, 30))
    verdict, promotions = judged(fleet)
    assert verdict.all_answered
    assert reasons(verdict)[FAILED] == 0
    assert promotions["repeats"] == 0


def test_lost_answers_and_errors_are_asked_for_again_under_the_same_key(fleet: Fleet) -> None:
    fleet.put_faults(group=_GROUP, latency_ms=50, error=0.1, reset=0.1, reset_after=0.1, half=0.1)
    fleet.wait_sent(fleet.play(90, 30))
    verdict, promotions = judged(fleet)
    assert verdict.all_answered
    assert reasons(verdict)[FAILED] == 0
    assert promotions["repeats"] > 0


def test_a_system_that_hangs_costs_the_campaign_and_not_the_deadline(fleet: Fleet) -> None:
    fleet.put_faults(group=_GROUP, hang=1.0, hang_s=30)
    fleet.wait_sent(fleet.play(24, 30))
    verdict, _ = judged(fleet)
    assert verdict.all_answered
    assert reasons(verdict)[FAILED] == asked(verdict) > 0
    # Checks are done half a second before the approval must leave, which is 0.2 s before the deadline.
    assert verdict.slowest_s < 4.8


def test_an_activation_that_a_killed_worker_had_begun_is_finished_by_another_and_not_repeated(
    fleet: Fleet,
) -> None:
    fleet.put_faults(group=_GROUP, latency_ms=700)
    fleet.wait_sent(fleet.play(24, 60))
    until(lambda: fleet.report()["promotions"]["activated"] >= 5, "the first are activated", timeout_s=5)
    fleet.kill("worker1")
    verdict, promotions = judged(fleet)
    assert verdict.all_answered
    assert reasons(verdict)[FAILED] == 0
    assert promotions["repeats"] > 0, "the killed worker had asked nothing: the test has shown nothing"


def test_both_workers_killed_after_the_decision_send_the_same_answer_afterwards(fleet: Fleet) -> None:
    fleet.put_faults(hang=1.0, hang_s=30)
    fleet.wait_sent(fleet.play(24, 60, window_ms=12_000))
    until(lambda: fleet.injected("hang") >= 24, "every approval hangs", timeout_s=4)
    # Whoever asked again now would be refused: only what was recorded can be approved.
    fleet.put_faults(group=_GROUP, error=1.0)
    fleet.kill("worker1")
    fleet.kill("worker2")
    fleet.put_faults(latency_ms=0)
    fleet.start_dead()
    verdict, promotions = judged(fleet)
    assert verdict.all_answered
    assert reasons(verdict)[FAILED] == 0
    assert promotions["activated"] > 0
