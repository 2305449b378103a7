"""What becomes of an attempt: the table of tasks/base.py, row by row, in the ledger, in the counts and for Celery."""

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Retry as CeleryRetry
from sqlalchemy import select, update
from structlog.typing import EventDict

from clearance.errors import (
    BrokerUnavailable,
    DeadlinePassed,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.ledger.decisions import NewDecision
from clearance.ledger.tables import approvals, decisions, notifications, obligations
from clearance.obligations import MissedReason, State
from clearance.optimove.http import VENDOR
from tasks.base import MESSAGE_VERSION, ObligationMissed, ObligationParked
from tests.fakes.clock import START
from tests.fakes.owed import LEASE, claim, claimed, row
from tests.fakes.vendor import Taken
from tests.unit.tasks.conftest import ETA_WINDOW, Worker

_DOWN = VendorUnavailable(VENDOR, "503 from the vendor", status=503)
_REFUSED_CONNECTION = VendorUnavailable(VENDOR, "no connection", may_have_arrived=False)
_SILENCE = VendorUnavailable(VENDOR, "no answer in time")


def _outcome(worker: Worker, name: str) -> float:
    return worker.metrics.counted("obligation_outcomes_total", lane="triggered", outcome=name)


def test_an_attempt_that_returns_is_done(worker: Worker) -> None:
    worker.accept("a")

    assert worker.run("a") == "done"

    kept = row(worker.ledger, "a")
    assert (kept.state, kept.attempts, kept.lease_until) == (State.DONE, 1, None)
    with worker.ledger.read() as connection:
        assert connection.execute(select(notifications.c.body)).scalar_one() is None
    assert _outcome(worker, "done") == 1
    assert worker.leases.held == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (_DOWN, "VendorUnavailable"),
        (_REFUSED_CONNECTION, "VendorUnavailable"),
        (_SILENCE, "VendorUnavailable"),
        (VendorThrottled(VENDOR, retry_after_s=2), "VendorThrottled"),
        (BrokerUnavailable("broker: away"), "BrokerUnavailable"),
    ],
)
def test_what_may_pass_is_tried_again_later_and_shown_as_retry(
    worker: Worker, error: Exception, reason: str
) -> None:
    worker.accept("a")
    worker.vendor.answers.extend([error] * 3)

    with pytest.raises(CeleryRetry) as caught:
        worker.run("a")

    kept = row(worker.ledger, "a")
    assert (kept.state, kept.attempts, kept.last_error) == (State.OPEN, 1, str(error))
    assert kept.run_at > worker.clock()
    assert kept.publish_at == kept.run_at - ETA_WINDOW
    assert caught.value.when == kept.run_at
    assert str(caught.value) == f"attempt 1 failed, next at {kept.run_at:%H:%M:%S.%f}Z: {error}"
    assert worker.metrics.counted("obligation_retries_total", lane="triggered", reason=reason) == 1
    assert _outcome(worker, "retry") == 1


def test_the_next_attempt_waits_longer_each_time_with_jitter(worker: Worker) -> None:
    """A quarter of a second, doubled with every attempt, half to one and a half times."""
    worker.accept("a")
    waits = []
    for jitter in (0.5, 0.0, 1.0):
        worker.jitter = jitter
        worker.vendor.answers.extend([_REFUSED_CONNECTION] * 3)
        with pytest.raises(CeleryRetry):
            worker.run("a")
        run_at = row(worker.ledger, "a").run_at
        waits.append((run_at - worker.clock()).total_seconds())
        worker.clock.now = run_at

    assert waits == pytest.approx([0.25, 0.25, 1.5])


def test_the_wait_is_no_shorter_than_the_vendor_asks(worker: Worker) -> None:
    worker.accept("a")
    asked = VendorUnavailable(VENDOR, "503 from the vendor", status=503)
    asked.retry_after_s = 3.0
    worker.vendor.answers.extend([asked] * 3)

    with pytest.raises(CeleryRetry):
        worker.run("a")

    assert row(worker.ledger, "a").run_at == worker.clock() + timedelta(seconds=3)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (_DOWN, MissedReason.RETRIES_RAN_OUT),
        (_REFUSED_CONNECTION, MissedReason.RETRIES_RAN_OUT),
        (VendorThrottled(VENDOR, retry_after_s=9), MissedReason.RETRIES_RAN_OUT),
        (_SILENCE, MissedReason.SENT_UNCONFIRMED),
    ],
)
def test_a_retry_that_would_come_too_late_is_missed_with_the_true_reason(
    worker: Worker, error: Exception, reason: MissedReason
) -> None:
    worker.accept("a")
    worker.clock.advance(4.7)
    worker.vendor.answers.extend([error] * 3)

    with pytest.raises(ObligationMissed, match=f"{reason}, "):
        worker.run("a", deadline_in_s=0.3)

    kept = row(worker.ledger, "a")
    assert (kept.state, kept.reason, kept.last_error) == (State.MISSED, reason, str(error))
    assert kept.finished_at == worker.clock()
    assert worker.metrics.counted("obligations_missed_total", lane="triggered", reason=reason) == 1
    assert _outcome(worker, "missed") == 1


def test_one_call_that_may_have_arrived_makes_the_whole_miss_unconfirmed(worker: Worker) -> None:
    worker.accept("a")
    worker.clock.advance(4.56)
    worker.vendor.answers.extend([_SILENCE, _DOWN, _DOWN])

    with pytest.raises(ObligationMissed, match="SENT_UNCONFIRMED, "):
        worker.run("a")


def test_a_call_of_an_earlier_attempt_that_may_have_arrived_is_remembered(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.extend([_SILENCE, _DOWN, _DOWN])
    with pytest.raises(CeleryRetry):
        worker.run("a")
    worker.clock.now = START + timedelta(seconds=4.75)
    worker.vendor.answers.extend([_REFUSED_CONNECTION] * 3)

    with pytest.raises(ObligationMissed, match="SENT_UNCONFIRMED, "):
        worker.run("a")


def test_a_last_retry_uses_what_is_left_of_the_budget(worker: Worker) -> None:
    """A vendor that comes back shortly before the deadline is still answered: the pause shrinks to fit."""
    worker.accept("a")
    back_at = START + timedelta(seconds=4.0)
    runs = 0
    while row(worker.ledger, "a").state == State.OPEN:
        runs += 1
        if worker.clock() < back_at:
            worker.vendor.answers.extend([_REFUSED_CONNECTION] * 3)
        else:
            worker.vendor.answers.clear()
        try:
            worker.run("a")
        except CeleryRetry as retry:
            worker.clock.now = retry.when

    assert row(worker.ledger, "a").state == State.DONE
    assert runs < 10


def test_the_wait_stays_bounded_however_often_it_was_tried(worker: Worker) -> None:
    name = worker.accept("a", deadline_in_s=10**6)
    with worker.ledger.write() as connection:
        connection.execute(update(obligations).values(attempts=5_000))
    worker.vendor.answers.extend([_DOWN] * 3)

    with pytest.raises(CeleryRetry):
        worker.run(name)

    assert row(worker.ledger, "a").run_at == worker.clock() + timedelta(seconds=60)


def test_what_comes_too_late_to_begin_is_left_to_the_guardian_without_a_look_at_the_ledger(
    worker: Worker,
) -> None:
    worker.accept("a")
    worker.clock.advance(4.9)

    told = worker.run("a", deadline_in_s=0.1)

    assert told == "too late to begin: the guardian records it as missed"
    assert row(worker.ledger, "a").state == State.OPEN
    assert worker.vendor.calls == []


def test_a_passed_deadline_is_missed_with_its_margin(worker: Worker, log_events: list[EventDict]) -> None:
    worker.accept("a")
    worker.clock.advance(4.9)

    with pytest.raises(ObligationMissed) as caught:
        worker.run("a", deadline_in_s=0.3)  # there was time when it began, and none once it was claimed

    assert str(caught.value) == "NO_TIME_LEFT, +0.100 s: "
    assert row(worker.ledger, "a").reason == MissedReason.NO_TIME_LEFT
    (told,) = [event for event in log_events if event["event"] == "obligation.missed"]
    assert (told["reason"], told["margin_s"], told["log_level"]) == ("NO_TIME_LEFT", 0.1, "error")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (VendorCredentialsRefused(VENDOR, 401), "VendorCredentialsRefused"),
        (VendorCredentialsRefused(VENDOR, 403), "VendorCredentialsRefused"),
        (VendorRefused(VENDOR, 400), "VendorRefused"),
    ],
)
def test_what_needs_a_person_is_parked_at_once(
    worker: Worker, error: Exception, reason: str, log_events: list[EventDict]
) -> None:
    worker.accept("a")
    worker.vendor.answers.append(error)

    with pytest.raises(ObligationParked, match=f"{reason}: {error}"):
        worker.run("a")

    kept = row(worker.ledger, "a")
    assert (kept.state, kept.reason, kept.last_error) == (State.PARKED, reason, str(error))
    assert len(worker.vendor.calls) == 1
    assert _outcome(worker, "parked") == 1
    assert worker.metrics.counted("obligations_parked_total", lane="triggered", reason=reason) == 1
    assert "obligation.parked" in {event["event"] for event in log_events}


@pytest.mark.parametrize("body", [b"not json", b"[]"])
def test_a_stored_body_that_is_no_notification_is_parked(worker: Worker, body: bytes) -> None:
    worker.accept("a", body=body)

    with pytest.raises(ObligationParked, match="STORED_INPUT_REFUSED: "):
        worker.run("a")

    assert row(worker.ledger, "a").state == State.PARKED
    assert worker.vendor.calls == []


def test_a_bug_is_parked_without_its_text(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, log_events: list[EventDict]
) -> None:
    worker.accept("a")

    def decide(*_: object, **__: object) -> NewDecision:
        raise ValueError("the customer jane@example.com")

    monkeypatch.setattr(worker.task.services.decider, "decide", decide)

    with pytest.raises(ObligationParked, match="BUG: ValueError"):
        worker.run("a")

    kept = row(worker.ledger, "a")
    assert (kept.state, kept.reason, kept.last_error) == (State.PARKED, "BUG", "ValueError")
    assert "obligation.failed_on_a_bug" in {event["event"] for event in log_events}


def test_a_bug_in_a_call_is_not_recorded_as_taken(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.append(RuntimeError("unexpected"))

    with pytest.raises(ObligationParked, match="BUG: RuntimeError"):
        worker.run("a")

    with worker.ledger.read() as connection:
        assert connection.execute(select(approvals.c.outcome)).scalars().all() == ["unknown"]


def test_what_another_holds_is_left_alone(worker: Worker) -> None:
    worker.accept("a")
    claimed(worker.ledger, "a", now=worker.clock())

    assert worker.run("a").startswith("nothing to do")

    assert worker.vendor.calls == []
    assert row(worker.ledger, "a").attempts == 1


def test_a_message_that_comes_twice_is_worked_once(worker: Worker) -> None:
    worker.accept("a")

    assert worker.run("a") == "done"
    assert worker.run("a").startswith("nothing to do")

    assert len(worker.vendor.calls) == 1


def test_a_message_of_a_newer_version_is_left_to_a_newer_worker(
    worker: Worker, log_events: list[EventDict]
) -> None:
    worker.accept("a")

    assert worker.run("a", version=MESSAGE_VERSION + 1) == "left to a newer worker"

    assert row(worker.ledger, "a").state == State.OPEN
    assert worker.vendor.calls == []
    assert [event["event"] for event in log_events] == ["message.too_new"]


def test_a_message_may_say_more_than_this_release_knows(worker: Worker) -> None:
    worker.accept("a")

    assert worker.task.run("a", version=1, deadline_ms=2**42, something_newer=1) == "done"


def test_a_ledger_that_is_away_before_the_claim_is_waited_for(worker: Worker) -> None:
    worker.accept("a")
    worker.commits.away = 5

    assert worker.run("a") == "done"

    assert worker.pauses == [0.2] * 5


def test_a_ledger_that_stays_away_is_waited_for_until_the_deadline(worker: Worker) -> None:
    worker.accept("a")
    worker.commits.away = 1_000

    with pytest.raises(CeleryRetry, match="not claimed: ledger: away; the guardian decides"):
        worker.run("a", deadline_in_s=5)

    assert (worker.clock() - START).total_seconds() == pytest.approx(5, abs=0.2)
    assert worker.vendor.calls == []
    worker.commits.away = 0
    assert row(worker.ledger, "a").state == State.OPEN


def test_what_was_sent_is_recorded_however_long_the_ledger_is_away(
    worker: Worker, log_events: list[EventDict]
) -> None:
    worker.accept("a")
    submit = worker.commits.submit

    def away_after_the_claim(operation: Any, item: Any) -> Any:
        if operation.__name__ == "finish_many" and len(worker.commits.submitted) == 1:
            worker.commits.away = 100
        return submit(operation, item)

    worker.commits.submit = away_after_the_claim  # type: ignore[method-assign]

    assert worker.run("a") == "done"

    assert len(worker.vendor.calls) == 1
    assert len(worker.pauses) == 100
    assert row(worker.ledger, "a").state == State.DONE
    assert [event["event"] for event in log_events].count("outcome.not_recorded_yet") == 100


def test_an_end_whose_commit_was_not_confirmed_is_written_again_without_harm(worker: Worker) -> None:
    worker.accept("a")
    submit = worker.commits.submit

    def unconfirmed_end(operation: Any, item: Any) -> Any:
        if operation.__name__ == "finish_many" and len(worker.commits.submitted) == 1:
            worker.commits.unconfirmed = 1
        return submit(operation, item)

    worker.commits.submit = unconfirmed_end  # type: ignore[method-assign]

    worker.run("a")

    assert row(worker.ledger, "a").state == State.DONE
    with worker.ledger.read() as connection:
        assert len(connection.execute(select(approvals)).all()) == 1


def test_a_lost_lease_is_counted_and_changes_nothing(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.takes_s = LEASE.total_seconds()
    taken_over = []
    call = worker.vendor.submit_triggered_approval

    def slow(**given: Any) -> Any:
        reply = call(**given)
        taken_over.extend(claim(worker.ledger, "a", now=worker.clock()))
        return reply

    worker.vendor.submit_triggered_approval = slow  # type: ignore[method-assign]

    assert worker.run("a") == "taken over by another worker"

    kept = row(worker.ledger, "a")
    assert (kept.state, kept.attempts) == (State.RUNNING, 2)
    assert worker.metrics.counted("leases_lost_total", lane="triggered") == 1
    assert _outcome(worker, "done") == 0
    with worker.ledger.read() as connection:
        # What was decided and sent is on record all the same.
        assert len(connection.execute(select(approvals)).all()) == 1
        assert len(connection.execute(select(decisions)).all()) == 1


def test_it_is_held_while_it_is_worked_on_and_recorded(worker: Worker) -> None:
    worker.accept("a")
    held_during = []
    submit = worker.commits.submit

    def watching(operation: Any, item: Any) -> Any:
        held_during.append((operation.__name__, [held.obligation_id for held in worker.leases.held]))
        return submit(operation, item)

    worker.commits.submit = watching  # type: ignore[method-assign]

    worker.run("a")

    assert held_during == [("claim_many", []), ("finish_many", ["a"])]


def test_warming_up_claims_nothing_and_bears_an_absent_ledger(worker: Worker) -> None:
    worker.accept("a")

    worker.task.warm_up()
    worker.commits.away = 1
    worker.task.warm_up()

    assert row(worker.ledger, "a").state == State.OPEN


def test_services_are_made_once_and_not_before_they_are_needed(worker: Worker) -> None:
    made = []
    task = type(worker.task)(lambda: made.append(1) or worker.task.services)  # type: ignore[func-returns-value]
    assert made == []

    assert task.services is task.services
    assert made == [1]


# As Celery sees it


@pytest.fixture
def celery_task(worker: Worker) -> Any:
    app = Celery("test", set_as_current=False)
    app.conf.update(task_ignore_result=True, result_backend=None)
    return app.register_task(worker.task)


def _apply(task: Any, name: str) -> Any:
    return task.apply(args=(name,), kwargs={"version": 1, "deadline_ms": 2**42}, task_id=name)


def test_celery_shows_what_is_done_as_success(worker: Worker, celery_task: Any) -> None:
    worker.accept("a")

    result = _apply(celery_task, "a")

    assert (result.state, result.result, result.id) == ("SUCCESS", "done", "a")


def test_celery_shows_a_retry_with_its_exception_attempt_and_time(worker: Worker, celery_task: Any) -> None:
    worker.accept("a")
    worker.vendor.answers.extend([_DOWN] * 3)

    result = _apply(celery_task, "a")

    assert result.state == "RETRY"
    run_at = row(worker.ledger, "a").run_at
    assert (
        str(result.result)
        == f"attempt 1 failed, next at {run_at:%H:%M:%S.%f}Z: optimove: 503 from the vendor"
    )
    assert row(worker.ledger, "a").attempts == 1  # raised, not sent: Celery does not run it again by itself


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DeadlinePassed("NO_TIME_LEFT", margin_s=-0.25), "ObligationMissed('NO_TIME_LEFT, -0.250 s: ')"),
        (VendorRefused(VENDOR, 422), "ObligationParked('VendorRefused: optimove: 422 request refused')"),
    ],
)
def test_celery_shows_missed_and_parked_as_failures_with_their_reason(
    worker: Worker, celery_task: Any, error: Exception, told: str
) -> None:
    worker.accept("a")
    worker.vendor.answers.append(error)

    result = _apply(celery_task, "a")

    assert (result.state, repr(result.result)) == ("FAILURE", told)


def test_of_several_in_one_message_each_ends_as_it_would_have_alone(worker: Worker) -> None:
    for name in ("a", "b", "c"):
        worker.accept(name)
    worker.vendor.answers.extend([Taken(), VendorCredentialsRefused(VENDOR, 401)])

    told = worker.run("a", "b", "c")

    assert told == "2 of 3 done"
    assert [row(worker.ledger, name).state for name in ("a", "b", "c")] == [
        State.DONE,
        State.PARKED,
        State.DONE,
    ]
    assert len(worker.vendor.calls) == 3


def test_of_several_in_one_message_those_that_are_held_elsewhere_are_left_alone(worker: Worker) -> None:
    for name in ("a", "b"):
        worker.accept(name)
    worker.run("a")

    assert worker.run("a", "b") == "done"
    assert len(worker.vendor.calls) == 2
