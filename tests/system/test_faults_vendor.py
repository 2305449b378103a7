"""The vendor fails: what can be repeated in time is, what cannot is recorded, and the load on it is not multiplied."""

import pytest

from tests.system.fleet import Fleet
from tests.system.processes import until
from tests.system.verdict import Verdict, judge

pytestmark = pytest.mark.timeout(90)


def test_a_vendor_slow_at_1200_ms_sees_hardly_more_requests_than_notifications(fleet: Fleet) -> None:
    fleet.put_faults(latency_ms=1200)
    fleet.wait_sent(fleet.play(90, 30))
    verdict = judge(fleet)
    assert verdict.all_answered
    requests = fleet.injected("latency")
    fleet.note(f"{requests} requests for 90 notifications")
    assert requests <= 1.2 * 90


def test_a_vendor_that_hangs_for_a_while_is_asked_again_in_time(fleet: Fleet) -> None:
    run = fleet.play(90, 30)
    fleet.wait_sent(run, 20)
    fleet.put_faults(hang=1.0, hang_s=30)
    fleet.wait_sent(run, 50)
    fleet.clear_faults()
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.all_answered
    _load(fleet, verdict, "hang", most_each=2.0)


def test_a_vendor_that_hangs_beyond_the_deadline_is_recorded_as_sent_and_unconfirmed(fleet: Fleet) -> None:
    fleet.put_faults(hang=1.0, hang_s=30)
    fleet.wait_sent(fleet.play(24, 30, window_ms=4000))
    verdict = judge(fleet)
    assert verdict.missed == {"SENT_UNCONFIRMED": 24}
    # At 1.5 s an attempt there is time for three.
    _load(fleet, verdict, "hang", most_each=3.0)


def test_a_vendor_that_answers_500_for_a_while_is_asked_again_in_time(fleet: Fleet) -> None:
    run = fleet.play(90, 30)
    fleet.wait_sent(run, 20)
    fleet.put_faults(error=1.0)
    fleet.wait_sent(run, 60)
    fleet.clear_faults()
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.all_answered
    _load(fleet, verdict, "error", most_each=6.0)


def test_a_vendor_that_answers_500_beyond_the_deadline_is_recorded_as_retries_that_ran_out(
    fleet: Fleet,
) -> None:
    fleet.put_faults(error=1.0)
    fleet.wait_sent(fleet.play(24, 30, window_ms=3000))
    verdict = judge(fleet)
    assert verdict.missed == {"RETRIES_RAN_OUT": 24}
    assert {owed.last_error for owed in verdict.owed} == {"optimove: 500 from the vendor"}
    # Three in the first run, one in each later one; the waits shrink again before the deadline.
    _load(fleet, verdict, "error", most_each=12.0)


def test_a_vendor_that_says_429_is_left_alone_by_the_whole_fleet_and_then_answered(fleet: Fleet) -> None:
    fleet.put_faults(throttle=1.0, retry_after_s=1)
    run = fleet.play(60, 30)
    fleet.wait_sent(run, 50)
    fleet.clear_faults()
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.all_answered
    # 1.7 s with a cool-down of 1 s: two moments at which the fleet finds out, not a request for every notification.
    _load(fleet, verdict, "throttle", most_each=1.0)


def test_a_vendor_that_resets_before_taking_is_asked_again(fleet: Fleet) -> None:
    fleet.put_faults(reset=0.3)
    fleet.wait_sent(fleet.play(60, 30))
    verdict = judge(fleet)
    assert verdict.all_answered
    _load(fleet, verdict, "reset", most_each=1.0)


def test_a_vendor_that_resets_after_taking_counts_the_first_answer(fleet: Fleet) -> None:
    fleet.put_faults(reset_after=0.3)
    fleet.wait_sent(fleet.play(60, 30))
    verdict = judge(fleet)
    assert verdict.all_answered
    repeated = fleet.report()["duplicate_answers"]
    fleet.note(f"{repeated} answers repeated, because the first one's reply was lost")
    assert repeated == fleet.injected("reset_after")


def test_a_vendor_that_sends_half_replies_counts_the_first_answer(fleet: Fleet) -> None:
    fleet.put_faults(half=0.3)
    fleet.wait_sent(fleet.play(60, 30))
    verdict = judge(fleet)
    assert verdict.all_answered
    assert fleet.report()["duplicate_answers"] == fleet.injected("half")


def test_an_answer_whose_reply_was_lost_and_then_refused_is_recorded_as_unconfirmed(fleet: Fleet) -> None:
    """The vendor has it: that every attempt failed would not be true."""
    fleet.put_faults(reset_after=1.0)
    fleet.wait_sent(fleet.play(12, 60, window_ms=3000))
    until(lambda: fleet.report()["answered"] == 12, "the vendor has all", timeout_s=2)
    fleet.put_faults(error=1.0)
    verdict = judge(fleet)
    assert verdict.missed == {"SENT_UNCONFIRMED": 12}


def test_everything_that_can_happen_to_a_call_at_once_is_survived(fleet: Fleet) -> None:
    fleet.put_faults(
        latency_ms=20,
        latency_jitter_ms=200,
        hang=0.03,
        hang_s=10,
        error=0.1,
        throttle=0.02,
        reset=0.1,
        half=0.05,
    )
    fleet.wait_sent(fleet.play(120, 30, duplicate=0.1, bad_signature=0.05, malformed=0.05, expired=0.05))
    verdict = judge(fleet)
    assert verdict.missed.pop("PAST_ON_ARRIVAL") == 6
    # Three calls in ten fail: now and then all of one notification's do, until its time is over. The verdict has looked
    # whether that is what happened.
    assert verdict.missed.keys() <= {"SENT_UNCONFIRMED", "RETRIES_RAN_OUT"}
    assert verdict.missed.total() <= 2
    assert verdict.answered >= verdict.accepted - 6 - verdict.missed.total()


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_park_and_nothing_is_sent_again(fleet: Fleet, status: int) -> None:
    fleet.put_faults(error=1.0, error_status=status)
    fleet.wait_sent(fleet.play(20, 30, window_ms=2500))
    verdict = judge(fleet)
    assert verdict.parked == {"VendorCredentialsRefused": 20}
    # The deadline of the last one is over, and with it every reason to send.
    until(lambda: fleet.report()["pending"] == 0, "all deadlines are over", timeout_s=5)
    assert fleet.injected("error") == 20


def _load(fleet: Fleet, verdict: Verdict, fault: str, *, most_each: float) -> None:
    """The vendor saw at most so many failing requests for each notification."""
    requests = fleet.injected(fault)
    fleet.note(f"{requests} requests failed by {fault}, for {verdict.accepted} notifications")
    assert requests <= most_each * verdict.accepted
