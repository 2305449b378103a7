"""Guardians die: the other goes on, and the only one resumes when it is started again."""

import time

import pytest

from tests.system.fleet import Fleet
from tests.system.processes import until
from tests.system.verdict import judge

pytestmark = pytest.mark.timeout(90)


def test_of_two_guardians_one_is_killed_and_the_other_recovers_a_wiped_broker(fleet: Fleet) -> None:
    with fleet.frozen("worker1", "worker2"):
        fleet.wait_sent(fleet.play(30, 60))
        fleet.wipe_broker()
        fleet.kill("guardian1")
    verdict = judge(fleet)
    assert verdict.all_answered
    assert fleet.metric("guardian2", "clearance_guardian_published_total") > 0


def test_without_a_guardian_what_the_broker_lost_waits_and_is_answered_when_one_is_back(fleet: Fleet) -> None:
    with fleet.frozen("worker1", "worker2"):
        fleet.kill("guardian1")
        fleet.kill("guardian2")
        fleet.wait_sent(fleet.play(30, 60, window_ms=12_000))
        fleet.wipe_broker()
    prefix = fleet.report(detail=True)["notifications"][0]["request_uid"][:-12]
    # Longer than the hedge: nobody but a guardian can do it.
    started = time.monotonic()
    until(lambda: time.monotonic() - started > 1.5, "the hedge's time is over", timeout_s=2)
    lost = fleet.ledger.count(prefix, "open")
    assert lost > 20
    fleet.restart("guardian1")
    ready = time.monotonic()
    until(lambda: fleet.ledger.count(prefix, "done") == 30, "all are answered", timeout_s=8)
    fleet.note(f"{lost} lost ones answered {time.monotonic() - ready:.2f} s after the guardian was ready")
    assert judge(fleet).all_answered


def test_guardians_killed_in_the_middle_of_traffic_cost_nothing_while_workers_live(fleet: Fleet) -> None:
    run = fleet.play(60, 30)
    fleet.wait_sent(run, 20)
    fleet.kill("guardian1")
    fleet.kill("guardian2")
    fleet.wait_sent(run)
    assert judge(fleet).all_answered
