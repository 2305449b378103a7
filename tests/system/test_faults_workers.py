"""Workers die or freeze at the worst moment: what they held is answered in time by others."""

import time

import pytest

from tests.system.fleet import Fleet
from tests.system.processes import until
from tests.system.verdict import judge, taken_over_s

pytestmark = [pytest.mark.timeout(90), pytest.mark.alone]


def test_what_a_killed_worker_held_is_answered_in_time_by_another(fleet: Fleet) -> None:
    fleet.put_faults(hang=1.0, hang_s=30)
    fleet.wait_sent(fleet.play(24, 60))
    until(lambda: fleet.injected("hang") >= 24, "every approval hangs", timeout_s=2)
    killed_at = fleet.kill("worker1")
    fleet.clear_faults()
    verdict = judge(fleet)
    assert verdict.all_answered
    assert taken_over_s(fleet, verdict, killed_at) < 3.0


def test_a_worker_killed_in_the_middle_of_traffic_costs_no_answer(fleet: Fleet) -> None:
    fleet.put_faults(latency_ms=300, latency_jitter_ms=300)
    run = fleet.play(120, 30)
    fleet.wait_sent(run, 50)
    fleet.kill("worker2")
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.all_answered
    assert verdict.slowest_s < 4.0


def test_all_workers_killed_and_started_again_answer_what_they_held(fleet: Fleet) -> None:
    fleet.put_faults(hang=1.0, hang_s=30)
    fleet.wait_sent(fleet.play(24, 60, window_ms=12_000))
    until(lambda: fleet.injected("hang") >= 24, "every approval hangs", timeout_s=2)
    killed_at = fleet.kill("worker1")
    fleet.kill("worker2")
    fleet.clear_faults()
    fleet.start_dead()
    verdict = judge(fleet)
    assert verdict.all_answered
    assert taken_over_s(fleet, verdict, killed_at) < 8.0


def test_what_a_frozen_worker_held_is_answered_in_time_and_its_late_answers_change_nothing(
    fleet: Fleet,
) -> None:
    fleet.put_faults(hang=1.0, hang_s=30)
    fleet.wait_sent(fleet.play(24, 60))
    until(lambda: fleet.injected("hang") >= 24, "every approval hangs", timeout_s=2)
    with fleet.frozen("worker1"):
        fleet.clear_faults()
        frozen_at = time.time()
        prefix = fleet.report(detail=True)["notifications"][0]["request_uid"][:-12]
        until(lambda: fleet.ledger.count(prefix, "done") == 24, "all are answered", timeout_s=6)
        fleet.note(f"all answered {time.time() - frozen_at:.2f} s after the freeze")
    fleet.wait_every_worker_works()
    verdict = judge(fleet)
    assert verdict.all_answered


def test_what_workers_sent_without_an_answer_before_they_died_is_recorded_as_that(fleet: Fleet) -> None:
    fleet.put_faults(reset_after=1.0)
    fleet.wait_sent(fleet.play(24, 60, window_ms=3000))
    until(lambda: fleet.injected("reset_after") >= 3 * 24, "each was sent three times", timeout_s=3)
    for worker in fleet.workers:
        fleet.kill(worker.name)
    verdict = judge(fleet)
    # Open again after a call without an answer, or held by a worker that is gone.
    assert verdict.missed["SENT_UNCONFIRMED"] > 0
    assert verdict.missed["SENT_UNCONFIRMED"] + verdict.missed["ABANDONED"] == 24
