"""The broker dies, forgets or hangs: ingest acknowledges, workers stay, and what is owed is answered or recorded."""

import time

import pytest

from tests.system.fleet import Fleet
from tests.system.processes import until
from tests.system.verdict import judge

pytestmark = pytest.mark.timeout(120)

# What ingest promises with the broker down or hanging.
_ACKNOWLEDGED_MS = 1000
# Nobody had it before its deadline, or somebody got it when nothing could leave in time any more.
_MISSED_WITHOUT_BROKER = {"NOT_STARTED_IN_TIME", "NO_TIME_LEFT"}


def test_a_broker_killed_in_the_middle_of_traffic_and_restarted_loses_nothing(fleet: Fleet) -> None:
    run = fleet.play(150, 30, window_ms=10_000)
    fleet.wait_sent(run, 50)
    fleet.kill("broker")
    fleet.restart("broker")
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.accepted == 150
    assert verdict.all_answered
    _acknowledged_at_once(fleet)
    fleet.note(f"every worker works again after {fleet.wait_every_worker_works():.2f} s")
    judge(fleet)


def test_a_broker_that_is_down_for_two_seconds_costs_no_answer_at_the_usual_deadline(fleet: Fleet) -> None:
    run = fleet.play(150, 30)
    fleet.wait_sent(run, 50)
    fleet.kill("broker")
    down = time.monotonic()
    until(lambda: time.monotonic() - down > 2, "two seconds", timeout_s=3)
    fleet.restart("broker")
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.accepted == 150
    assert verdict.all_answered
    _acknowledged_at_once(fleet)
    fleet.note(f"every worker works again after {fleet.wait_every_worker_works():.2f} s")
    judge(fleet)


def test_a_broker_wiped_with_a_backlog_costs_no_answer(fleet: Fleet) -> None:
    with fleet.frozen("worker1", "worker2"):
        run = fleet.play(90, 30)
        fleet.wait_sent(run, 30)
        fleet.wipe_broker()
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.accepted == 90
    assert verdict.all_answered
    fleet.note(f"every worker works again after {fleet.wait_every_worker_works():.2f} s")
    judge(fleet)


def test_a_broker_wiped_while_workers_hold_tasks_costs_no_answer(fleet: Fleet) -> None:
    fleet.put_faults(latency_ms=700)
    run = fleet.play(90, 30)
    fleet.wait_sent(run, 45)
    fleet.wipe_broker()
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.accepted == 90
    assert verdict.all_answered


def test_a_broker_frozen_for_three_seconds_costs_no_acknowledgement(fleet: Fleet) -> None:
    run = fleet.play(150, 30)
    fleet.wait_sent(run, 30)
    with fleet.frozen("broker"):
        frozen = time.monotonic()
        until(lambda: time.monotonic() - frozen > 3, "three seconds", timeout_s=4)
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.accepted == 150
    assert set(verdict.missed) <= _MISSED_WITHOUT_BROKER
    _acknowledged_at_once(fleet)
    fleet.note(f"every worker works again after {fleet.wait_every_worker_works():.2f} s")
    judge(fleet)


def test_ingest_acknowledges_without_a_broker_and_it_is_worked_when_the_broker_is_back(fleet: Fleet) -> None:
    fleet.kill("broker")
    fleet.wait_sent(fleet.play(60, 30, window_ms=12_000))
    _acknowledged_at_once(fleet)
    assert fleet.report()["acknowledged"] == {"failed": 0, "202": 60}
    fleet.restart("broker")
    verdict = judge(fleet)
    assert verdict.accepted == 60
    assert verdict.all_answered


def test_ingest_acknowledges_without_a_broker_and_what_nobody_could_work_is_recorded(fleet: Fleet) -> None:
    fleet.kill("broker")
    fleet.wait_sent(fleet.play(30, 30, window_ms=1500))
    verdict = judge(fleet)
    assert verdict.missed == {"NOT_STARTED_IN_TIME": 30}
    _acknowledged_at_once(fleet)
    fleet.restart("broker")
    fleet.note(f"every worker works again after {fleet.wait_every_worker_works():.2f} s")
    judge(fleet)


def _acknowledged_at_once(fleet: Fleet) -> None:
    slowest_ms = fleet.report()["acknowledge_ms"]["max"]
    fleet.note(f"acknowledged at most after {slowest_ms} ms")
    assert slowest_ms < _ACKNOWLEDGED_MS
