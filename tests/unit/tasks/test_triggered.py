"""The triggered lane: one decision, sent in time, again while the budget lasts, and recorded call by call."""

import json
from datetime import timedelta

import pytest
from celery.exceptions import Retry as CeleryRetry
from sqlalchemy import select

from clearance.decisions.inputs import digest_of, inputs_of
from clearance.errors import VendorThrottled, VendorUnavailable
from clearance.ledger.tables import approvals, decisions
from clearance.limits.rate import Urgency
from clearance.obligations import MissedReason
from clearance.optimove.http import VENDOR
from clearance.optimove.triggered import reload_triggered
from tasks.base import ObligationMissed
from tests.fakes.clock import START
from tests.fakes.owed import claimed, row
from tests.fakes.payloads import triggered_body
from tests.fakes.rate import FakeRateLimit
from tests.unit.tasks.conftest import ATTEMPT_TIMEOUT_S, Worker

_DOWN = VendorUnavailable(VENDOR, "503 from the vendor", status=503)
_REFUSED_CONNECTION = VendorUnavailable(VENDOR, "no connection", may_have_arrived=False)
_SILENCE = VendorUnavailable(VENDOR, "no answer in time")


def _calls(worker: Worker) -> list[tuple[str, int | None, int]]:
    with worker.ledger.read() as connection:
        rows = connection.execute(select(approvals).order_by(approvals.c.sent_at)).all()
    return [(call.outcome, call.status, call.attempt) for call in rows]


@pytest.mark.parametrize(("plan", "approved"), [("gold", True), ("free", False)])
def test_the_answer_is_the_policys(worker: Worker, plan: str, approved: bool) -> None:
    worker.accept("a", plan=plan)

    worker.run("a")

    (call,) = worker.vendor.calls
    assert (call.request_uid, call.approved, call.at) == ("r-a", approved, START)


def test_the_decision_is_recorded_with_its_reasons_version_and_input(worker: Worker) -> None:
    worker.accept("a", plan="free")

    worker.run("a")

    with worker.ledger.read() as connection:
        decision = connection.execute(select(decisions)).one()
    assert (decision.subject, decision.customer_id, decision.approved) == ("n-a", "C1", False)
    assert json.loads(decision.reasons) == ["NOT_GOLD"]
    assert (decision.rules_version, decision.policy) == (worker.rules.version, "all")
    sent = reload_triggered(triggered_body(START, request_uid="r-a", plan="free"))
    assert decision.inputs_digest == digest_of(inputs_of(sent.campaign, sent.customer, {}))
    assert decision.decided_at == START


def test_a_call_is_recorded_with_its_times_and_status(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.takes_s = 0.08

    worker.run("a")

    with worker.ledger.read() as connection:
        call = connection.execute(select(approvals)).one()
    assert (call.subject, call.attempt, call.customers) == ("n-a", 1, 1)
    assert (call.sent_at, call.answered_at) == (START, START + timedelta(seconds=0.08))
    assert (call.status, call.outcome, call.error) == (202, "taken", None)
    metrics = worker.metrics
    assert metrics.observed("submission_margin_seconds", lane="triggered") == [5.0]
    assert metrics.observed("notification_to_approval_seconds", lane="triggered") == pytest.approx([0.08])
    labels = {"vendor": VENDOR, "call": "triggered_approval", "outcome": "taken", "status": 202}
    assert metrics.observed("vendor_call_seconds", **labels) == pytest.approx([0.08])


def test_a_call_that_fails_is_repeated_at_once_with_growing_pauses(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.extend([_REFUSED_CONNECTION, _DOWN])

    assert worker.run("a") == "done"

    assert worker.pauses == pytest.approx([0.05, 0.1])
    assert _calls(worker) == [("refused", None, 1), ("refused", 503, 1), ("taken", 202, 1)]


@pytest.mark.parametrize(("jitter", "pause_s"), [(0.0, 0.025), (1.0, 0.075)])
def test_pauses_have_jitter(worker: Worker, jitter: float, pause_s: float) -> None:
    worker.accept("a")
    worker.jitter = jitter
    worker.vendor.answers.append(_DOWN)

    worker.run("a")

    assert worker.pauses == pytest.approx([pause_s])


def test_after_three_calls_the_thread_is_given_back(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.extend([_DOWN] * 9)

    with pytest.raises(CeleryRetry):
        worker.run("a")

    assert len(worker.vendor.calls) == 3
    assert _calls(worker) == [("refused", 503, 1)] * 3
    # Nothing is waited for after the last call: the ledger waits.
    assert len(worker.pauses) == 2


def test_a_later_run_calls_the_vendor_once(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.extend([_DOWN] * 9)
    with pytest.raises(CeleryRetry):
        worker.run("a")
    worker.clock.advance(0.5)

    with pytest.raises(CeleryRetry):
        worker.run("a")

    assert _calls(worker) == [("refused", 503, 1)] * 3 + [("refused", 503, 2)]


def test_no_answer_is_recorded_as_unknown(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.append(_SILENCE)

    worker.run("a")

    assert _calls(worker) == [("unknown", None, 1), ("taken", 202, 1)]


@pytest.mark.parametrize(
    ("late_s", "is_sent"),
    [(4.0, True), (4.799, True), (4.8, False), (4.9, False), (5.0, False), (9.0, False)],
)
def test_nothing_leaves_after_the_margin_for_the_network(
    worker: Worker, late_s: float, is_sent: bool
) -> None:
    worker.accept("a")
    worker.clock.advance(late_s)

    if is_sent:
        assert worker.run("a") == "done"
    else:
        with pytest.raises(ObligationMissed, match="NO_TIME_LEFT, "):
            worker.run("a")

    assert len(worker.vendor.calls) == is_sent


def test_what_a_worker_held_that_disappeared_is_not_called_a_failed_attempt(worker: Worker) -> None:
    """Nobody knows what the vendor got from it; no attempt has said that it failed."""
    worker.accept("a")
    claimed(worker.ledger, "a")
    worker.clock.advance(4.85)

    with pytest.raises(ObligationMissed, match="ABANDONED, "):
        worker.run("a")

    assert row(worker.ledger, "a").last_error is None
    assert worker.vendor.calls == []


def test_after_a_failed_attempt_no_time_left_means_that_retries_ran_out(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.extend([_DOWN] * 3)
    with pytest.raises(CeleryRetry):
        worker.run("a")
    worker.clock.now = START + timedelta(seconds=4.85)

    with pytest.raises(ObligationMissed, match="RETRIES_RAN_OUT, "):
        worker.run("a")

    assert row(worker.ledger, "a").last_error == str(_DOWN)


def test_no_pause_and_no_repetition_runs_over_the_margin(worker: Worker) -> None:
    worker.accept("a")
    worker.clock.advance(4.7)
    worker.vendor.answers.extend([_DOWN] * 3)
    worker.vendor.takes_s = 0.04

    with pytest.raises(ObligationMissed, match="RETRIES_RAN_OUT, "):
        worker.run("a")

    assert all(call.at < START + timedelta(seconds=4.8) for call in worker.vendor.calls)
    assert len(worker.vendor.calls) > 1
    kept = row(worker.ledger, "a")
    assert (kept.reason, kept.last_error) == (MissedReason.RETRIES_RAN_OUT, str(_DOWN))


def test_a_call_may_take_as_long_as_its_own_limit_or_what_is_left(worker: Worker) -> None:
    worker.accept("a")
    worker.run("a")
    worker.accept("b")
    worker.clock.advance(4.5)
    worker.run("b")

    first, second = worker.vendor.calls
    assert first.timeout_s == ATTEMPT_TIMEOUT_S
    assert second.timeout_s == pytest.approx(0.5)


def test_a_429_holds_the_whole_fleet_back_for_as_long_as_the_vendor_says(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.append(VendorThrottled(VENDOR, retry_after_s=0.75))

    assert worker.run("a") == "done"

    assert worker.cooldown.started == [0.75]
    assert worker.metrics.counted("vendor_cooldowns_total", vendor=VENDOR) == 1
    # Waited for with jitter: the whole fleet waits for the same moment.
    assert worker.pauses == pytest.approx([0.775])
    assert _calls(worker) == [("refused", 429, 1), ("taken", 202, 1)]


@pytest.mark.parametrize("retry_after_s", [None, 0.0])
def test_a_429_that_says_nothing_holds_back_for_half_a_second(
    worker: Worker, retry_after_s: float | None
) -> None:
    worker.accept("a")
    worker.vendor.answers.append(VendorThrottled(VENDOR, retry_after_s=retry_after_s))

    assert worker.run("a") == "done"

    assert worker.cooldown.started == [0.5]


def test_a_cool_down_of_another_worker_is_respected(worker: Worker) -> None:
    worker.accept("a")
    worker.cooldown.start(0.4)

    assert worker.run("a") == "done"

    (call,) = worker.vendor.calls
    assert call.at >= START + timedelta(seconds=0.4)


def test_a_long_cool_down_gives_the_thread_back(worker: Worker) -> None:
    worker.accept("a")
    worker.cooldown.start(2.0)

    with pytest.raises(CeleryRetry):
        worker.run("a")

    assert worker.vendor.calls == []
    assert worker.pauses == []
    assert row(worker.ledger, "a").run_at == START + timedelta(seconds=2.025)


def test_a_cool_down_beyond_the_deadline_is_missed_without_a_call(worker: Worker) -> None:
    worker.accept("a")
    worker.cooldown.start(30)

    with pytest.raises(ObligationMissed, match="RETRIES_RAN_OUT, "):
        worker.run("a")

    assert worker.vendor.calls == []


def test_a_vendor_that_asks_for_time_with_a_503_is_not_called_again_at_once(worker: Worker) -> None:
    worker.accept("a")
    asked = VendorUnavailable(VENDOR, "503 from the vendor", status=503)
    asked.retry_after_s = 2.0
    worker.vendor.answers.append(asked)

    with pytest.raises(CeleryRetry):
        worker.run("a")

    assert len(worker.vendor.calls) == 1
    assert row(worker.ledger, "a").run_at == START + timedelta(seconds=2)


def test_where_the_vendor_counts_all_lanes_together_an_approval_waits_for_its_turn(worker: Worker) -> None:
    worker.limit = FakeRateLimit(worker.clock, calls=2, window_s=0.5, reserved=1)
    worker.limit.take(Urgency.ORDINARY)
    for name in ("a", "b"):
        worker.accept(name)

    assert [worker.run("a"), worker.run("b")] == ["done", "done"]

    first, second = worker.vendor.calls
    assert (first.at - START).total_seconds() == 0
    assert (second.at - START).total_seconds() >= 0.5
    waits = worker.metrics.observed("turn_wait_seconds", limit="optimove_triggered")
    assert (waits[0], waits[1] >= 0.5) == (0, True)


def test_an_approval_that_would_wait_too_long_for_its_turn_gives_the_thread_back(worker: Worker) -> None:
    worker.limit = FakeRateLimit(worker.clock, calls=1, window_s=3.0)
    worker.limit.take(Urgency.URGENT)
    worker.accept("a")

    with pytest.raises(CeleryRetry):
        worker.run("a")

    assert worker.vendor.calls == []
