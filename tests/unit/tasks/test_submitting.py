"""Submitting a group: from the ETA until the hard stop, each answer once a revision, and never a moment later."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from clearance.decisions.decision import Decision
from clearance.errors import VendorCredentialsRefused, VendorRefused, VendorThrottled, VendorUnavailable
from clearance.ledger import calls_begun
from clearance.ledger.calls_begun import WORKER_GONE
from clearance.ledger.engine import Ledger
from clearance.ledger.tables import approvals, obligations
from clearance.limits.rate import Urgency
from clearance.obligations import MissedReason
from clearance.optimove.http import VENDOR
from tasks.base import ObligationMissed, ObligationParked
from tests.fakes.clock import ManualClock
from tests.fakes.told_groups import APPROVED, DEADLINE, MINUTE, REFUSED, SECOND, Work, cancel, hear
from tests.unit.tasks.scheduled import CALL_TIMEOUT_S, HARD_STOP, SUBMIT_AT, ScheduledWorker

_SILENCE = VendorUnavailable(VENDOR, "no answer in time")
_DOWN = VendorUnavailable(VENDOR, "503 from the vendor", status=503)
_AGAIN_DEADLINE = DEADLINE + 20 * MINUTE


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock) -> ScheduledWorker:
    made = ScheduledWorker(ledger, clock)
    made.leases.lease = 10 * SECOND
    clock.now = SUBMIT_AT
    return made


@pytest.fixture
def work(ledger: Ledger) -> Work:
    return Work(ledger=ledger)


def _decided(worker: ScheduledWorker, work: Work, **told: Any) -> None:
    """Four customers in two chunks, decided: all approved but C2."""
    hear(worker.ledger, **told)
    work.fetch(["C1", "C2"], ["C3", "C4"])
    work.decide(1, ("C1", APPROVED), ("C2", REFUSED))
    work.decide(2, ("C3", APPROVED), ("C4", APPROVED))


def _came_again(worker: ScheduledWorker, *decisions: tuple[str, Decision], api: Any = "v2") -> None:
    """The group has ended, and is told of again: a second generation with one chunk."""
    hear(worker.ledger, api=api, deadline_at=_AGAIN_DEADLINE, at=DEADLINE + MINUTE)
    again = Work(ledger=worker.ledger, generation=2)
    again.fetch([customer_id for customer_id, _ in decisions], at=DEADLINE + MINUTE)
    again.decide(1, *decisions, at=DEADLINE + 2 * MINUTE)
    worker.clock.now = _AGAIN_DEADLINE - MINUTE


def _told(worker: ScheduledWorker) -> list[dict[str, bool]]:
    return [each.answers for each in worker.vendor.told]


def test_nothing_is_sent_before_its_time(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.clock.now = SUBMIT_AT - SECOND

    assert worker.submit().startswith("nothing to do")

    assert worker.vendor.told == []


def test_what_is_decided_goes_at_once_and_ends_the_group(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.vendor.takes_s = 0.5

    assert worker.submit() == "done"

    (call,) = worker.vendor.told
    assert call.answers == {"C1": True, "C2": False, "C3": True, "C4": True}
    assert (call.api, call.vendor_id, call.at, call.timeout_s) == ("v2", "7", SUBMIT_AT, CALL_TIMEOUT_S)
    assert worker.calls() == [("taken", 200, 4)]
    assert worker.states() == ["submitted", "submitted"]
    assert worker.group().state == "submitted"


def test_a_call_is_recorded_and_measured(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.vendor.takes_s = 0.5

    worker.submit()

    (row,) = worker.rows(approvals)
    assert (row.subject, row.revision, row.attempt) == ("g1", 1, 1)
    assert (row.sent_at, row.answered_at) == (SUBMIT_AT, SUBMIT_AT + SECOND / 2)
    metrics = worker.metrics
    assert metrics.observed("submission_margin_seconds", lane="submit") == [60.0]
    labels = {"vendor": VENDOR, "call": "group_approvals", "outcome": "taken", "status": 200}
    assert metrics.observed("vendor_call_seconds", **labels) == [0.5]


def test_chunks_go_in_calls_of_at_most_so_many_customers(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)
    work.fetch(["C1", "C2"], ["C3", "C4"], ["C5"])
    for number, names in enumerate([("C1", "C2"), ("C3", "C4"), ("C5",)], 1):
        work.decide(number, *((name, APPROVED) for name in names))

    worker.submit()

    assert [list(each) for each in _told(worker)] == [["C1", "C2", "C3", "C4"], ["C5"]]


def test_chunks_that_are_decided_later_follow(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)
    work.fetch(["C1"], ["C2"])
    work.decide(2, ("C2", APPROVED))
    decided_at = SUBMIT_AT + 20 * SECOND
    worker.later.append((decided_at, lambda: work.decide(1, ("C1", REFUSED), at=decided_at)))

    assert worker.submit() == "done"

    assert _told(worker) == [{"C2": True}, {"C1": False}]
    assert decided_at <= worker.vendor.told[1].at <= decided_at + SECOND / 4
    assert worker.group().state == "submitted"


def test_what_is_decided_within_a_second_goes_in_one_call(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)
    work.fetch(["C1"], ["C2"])
    work.decide(2, ("C2", APPROVED))
    decided_at = SUBMIT_AT + SECOND / 2
    worker.later.append((decided_at, lambda: work.decide(1, ("C1", REFUSED), at=decided_at)))

    assert worker.submit() == "done"

    assert _told(worker) == [{"C1": False, "C2": True}]


def test_near_the_hard_stop_nothing_waits_for_company(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)
    work.fetch(["C1"], ["C2"])
    work.decide(2, ("C2", APPROVED))
    worker.clock.now = HARD_STOP - 5 * SECOND

    with pytest.raises(ObligationMissed):
        worker.submit()

    assert worker.vendor.told[0].at == HARD_STOP - 5 * SECOND


def test_a_group_is_not_ended_before_its_customers_are_all_fetched(
    worker: ScheduledWorker, work: Work
) -> None:
    hear(worker.ledger)
    work.fetch(["C1"], is_all=False)
    work.decide(1, ("C1", APPROVED))
    came_at = SUBMIT_AT + 10 * SECOND

    def come() -> None:
        assert worker.group().state == "open"
        work.fetch(["C2"], first=2, at=came_at)
        work.decide(2, ("C2", APPROVED), at=came_at)

    worker.later.append((came_at, come))

    worker.submit()

    assert _told(worker) == [{"C1": True}, {"C2": True}]


def test_waiting_for_decisions_writes_nothing(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)
    work.fetch(["C1"])

    with pytest.raises(ObligationMissed):
        worker.submit()

    assert [name for name, _ in worker.commits.submitted] == ["claim_many", "finish_many"]


@pytest.mark.parametrize("decided_before_s", [0.0, 0.2, 5.0])
def test_nothing_is_sent_at_the_hard_stop_or_after_it(
    worker: ScheduledWorker, work: Work, decided_before_s: float
) -> None:
    hear(worker.ledger)
    work.fetch(["C1"])
    decided_at = HARD_STOP - timedelta(seconds=decided_before_s)
    worker.later.append((decided_at, lambda: work.decide(1, ("C1", APPROVED), at=decided_at)))

    if decided_before_s:
        worker.submit()
    else:
        with pytest.raises(ObligationMissed):
            worker.submit()

    assert len(worker.vendor.told) == (1 if decided_before_s else 0)
    assert all(each.at < HARD_STOP for each in worker.vendor.told)


def test_a_message_that_comes_at_the_hard_stop_sends_nothing(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.clock.now = HARD_STOP

    assert worker.submit().startswith("too late")

    assert worker.vendor.told == []


def test_a_call_ends_by_the_deadline(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.clock.now = HARD_STOP - 2 * SECOND

    worker.submit()

    assert [each.timeout_s for each in worker.vendor.told] == [3.0]


@pytest.mark.parametrize("is_moved", [True, False])
def test_a_revision_that_does_not_hold_any_more_sends_nothing(
    worker: ScheduledWorker, work: Work, is_moved: bool
) -> None:
    _decided(worker, work)

    def change() -> None:
        if is_moved:
            hear(worker.ledger, deadline_at=_AGAIN_DEADLINE, at=worker.clock())
        else:
            cancel(worker.ledger, at=worker.clock())

    # In the middle of waiting for a turn: after the chunks were read, before they are sent.
    worker.cooldown.start(10)
    worker.later.append((SUBMIT_AT + 5 * SECOND, change))

    worker.submit()

    assert worker.vendor.told == []
    assert worker.calls() == []


def test_a_revision_that_is_moved_between_two_calls_sends_the_rest_under_the_next_one(
    worker: ScheduledWorker, work: Work
) -> None:
    _decided(worker, work)
    worker.customers_per_call = 2

    def move() -> None:
        if worker.group().revision == 1:
            hear(worker.ledger, deadline_at=_AGAIN_DEADLINE, at=worker.clock())

    worker.vendor.on_call = move
    worker.submit()
    assert _told(worker) == [{"C1": True, "C2": False}]
    worker.clock.now = _AGAIN_DEADLINE - MINUTE

    worker.submit(revision=2)

    assert _told(worker)[1:] == [{"C3": True, "C4": True}], "who was submitted is not sent again"


def test_an_unknown_outcome_is_repeated_and_noted(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.vendor.answers.append(_SILENCE)

    assert worker.submit() == "done"

    assert worker.calls() == [("unknown", None, 4), ("taken", 200, 4)]
    assert _told(worker)[0] == _told(worker)[1]
    assert worker.group().state == "submitted"


def test_calls_that_fail_are_repeated_with_growing_pauses(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.vendor.answers.extend([_DOWN] * 4)

    worker.submit()

    assert worker.pauses == pytest.approx([0.2, 0.4, 0.8, 1.6])


def test_a_vendor_that_is_back_just_in_time_is_still_told(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.clock.now = HARD_STOP - timedelta(seconds=7)
    worker.vendor.answers.extend([_DOWN] * 6)

    assert worker.submit() == "done"

    assert worker.calls()[-1] == ("taken", 200, 4)


def test_what_fails_until_the_hard_stop_is_missed_with_the_last_error(
    worker: ScheduledWorker, work: Work
) -> None:
    _decided(worker, work)
    worker.vendor.answers.extend([_DOWN] * 500)

    with pytest.raises(ObligationMissed):
        worker.submit()

    owed = worker.obligation("groups.submit:g1:1")
    assert owed.reason == MissedReason.RETRIES_RAN_OUT
    assert "503" in owed.last_error
    assert all(each.at < HARD_STOP for each in worker.vendor.told)


def test_undecided_customers_are_not_a_failure_of_calls(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)
    work.fetch(["C1"], ["C2"])
    work.decide(1, ("C1", APPROVED))
    worker.vendor.answers.extend([_SILENCE])

    with pytest.raises(ObligationMissed):
        worker.submit()

    assert worker.obligation("groups.submit:g1:1").reason == MissedReason.NO_TIME_LEFT


def test_what_was_sent_and_never_confirmed_is_not_called_unsent(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.vendor.answers.extend([_SILENCE] * 500)
    with pytest.raises(ObligationMissed):
        worker.submit()
    worker.clock.now = DEADLINE

    worker.close()

    assert worker.obligation("groups.submit:g1:1").reason == MissedReason.SENT_UNCONFIRMED
    missed = {
        reason: worker.metrics.counted("group_customers_missed_total", api="v2", reason=reason)
        for reason in ("SENT_UNCONFIRMED", "NOT_SENT_IN_TIME")
    }
    assert missed == {"SENT_UNCONFIRMED": 4, "NOT_SENT_IN_TIME": 0}


def test_another_worker_knows_of_the_calls_that_were_never_confirmed(
    worker: ScheduledWorker, work: Work
) -> None:
    _decided(worker, work)
    calls = 0

    def die_at_the_second() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise SystemExit

    worker.vendor.on_call = die_at_the_second
    worker.vendor.answers.append(_SILENCE)
    with pytest.raises(SystemExit):
        worker.submit()
    worker.start_anew()
    worker.vendor.on_call = lambda: None
    worker.vendor.answers.clear()
    worker.vendor.answers.extend([_DOWN] * 500)
    worker.clock.now = HARD_STOP - SECOND  # the lease has run out

    with pytest.raises(ObligationMissed):
        worker.submit()

    assert worker.obligation("groups.submit:g1:1").reason == MissedReason.SENT_UNCONFIRMED


def _kill(worker: ScheduledWorker) -> None:
    """As `kill -9` in the middle of a call: nothing is written any more."""

    def gone(operation: Any, item: Any) -> Any:
        raise SystemExit(operation, item)

    worker.commits.submit = gone  # type: ignore[method-assign]  # the process is gone
    raise SystemExit


def test_a_call_is_in_the_ledger_before_the_vendor_hears_of_it(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    seen: list[Any] = []
    worker.vendor.on_call = lambda: seen.extend(worker.calls())

    worker.submit()

    assert seen == [("unknown", None, 4)]
    assert worker.calls() == [("taken", 200, 4)]


def test_a_call_whose_worker_was_killed_is_on_record_and_its_repeat_is_noted(
    worker: ScheduledWorker, work: Work, log_events: list[Any]
) -> None:
    _decided(worker, work)
    alive = worker.commits.submit
    worker.vendor.on_call = lambda: _kill(worker)
    with pytest.raises(SystemExit):
        worker.submit()
    worker.start_anew()
    worker.commits.submit = alive  # type: ignore[method-assign]  # another process
    worker.vendor.on_call = lambda: None
    worker.clock.now = SUBMIT_AT + 11 * SECOND  # the lease has run out

    assert worker.submit() == "done"

    first, second = worker.rows(approvals)
    assert (first.outcome, first.attempt, first.error) == ("unknown", 1, WORKER_GONE)
    assert (second.outcome, second.attempt) == ("taken", 2)
    (event,) = [each for each in log_events if each["event"] == "group.sent_again"]
    assert (event["chunks"], event["log_level"]) == (2, "warning")


def test_a_call_that_nobody_took_over_is_called_unconfirmed_when_the_books_are_closed(
    worker: ScheduledWorker, work: Work
) -> None:
    _decided(worker, work)
    alive = worker.commits.submit
    worker.vendor.on_call = lambda: _kill(worker)
    with pytest.raises(SystemExit):
        worker.submit()
    worker.start_anew()
    worker.commits.submit = alive  # type: ignore[method-assign]  # another process
    worker.clock.now = DEADLINE

    worker.close()

    counted = worker.metrics.counted("group_customers_missed_total", api="v2", reason="SENT_UNCONFIRMED")
    assert counted == 4


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_a_call_that_took_too_long_to_be_written_down_is_not_made(
    worker: ScheduledWorker, work: Work, is_confirmed: bool
) -> None:
    _decided(worker, work)
    submit = worker.commits.submit

    def slowly(operation: Any, item: Any) -> Any:
        if operation is calls_begun.begin_many:
            worker.clock.now = HARD_STOP
            worker.commits.unconfirmed = int(not is_confirmed)
        return submit(operation, item)

    worker.commits.submit = slowly  # type: ignore[method-assign]  # the ledger is slow
    with pytest.raises(ObligationMissed):
        worker.submit()

    assert (worker.vendor.told, worker.calls()) == ([], [])
    assert worker.obligation("groups.submit:g1:1").reason != MissedReason.SENT_UNCONFIRMED


def test_a_worker_whose_lease_was_lost_while_it_waited_for_a_turn_sends_nothing(
    worker: ScheduledWorker, work: Work
) -> None:
    _decided(worker, work)

    def take_over() -> None:
        with worker.ledger.write() as connection:
            connection.execute(update(obligations).values(attempts=2))

    worker.cooldown.start(10)
    worker.later.append((SUBMIT_AT + 5 * SECOND, take_over))

    assert worker.submit().startswith("taken over")

    assert (worker.vendor.told, worker.calls()) == ([], [])


def test_a_ledger_that_is_away_does_not_hide_that_something_was_sent(
    worker: ScheduledWorker, work: Work
) -> None:
    _decided(worker, work)
    worker.vendor.answers.append(_SILENCE)
    worker.vendor.on_call = lambda: setattr(worker.reads, "away", 10_000)

    with pytest.raises(ObligationMissed):
        worker.submit()

    assert worker.obligation("groups.submit:g1:1").reason == MissedReason.SENT_UNCONFIRMED


def test_429_starts_the_cool_down_of_the_fleet_and_is_waited_for(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.vendor.answers.append(VendorThrottled(VENDOR, retry_after_s=7))

    assert worker.submit() == "done"

    assert worker.cooldown.started == [7]
    assert worker.calls() == [("refused", 429, 4), ("taken", 200, 4)]
    assert worker.vendor.told[1].at >= SUBMIT_AT + 7 * SECOND


def test_the_rate_limit_is_waited_for_without_being_an_attempt(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    for _ in range(50):
        worker.limit.take(Urgency.ORDINARY)

    assert worker.submit() == "done"

    (call,) = worker.vendor.told
    assert call.at >= SUBMIT_AT + 10 * SECOND
    assert worker.calls() == [("taken", 200, 4)]
    assert worker.cooldown.started == []


def test_no_turn_before_the_hard_stop_is_neither_an_attempt_nor_a_429(
    worker: ScheduledWorker, work: Work
) -> None:
    _decided(worker, work)
    worker.clock.now = HARD_STOP - 5 * SECOND
    for _ in range(50):
        worker.limit.take(Urgency.ORDINARY)

    with pytest.raises(ObligationMissed):
        worker.submit()

    assert worker.obligation("groups.submit:g1:1").reason == MissedReason.NO_TIME_LEFT
    assert worker.cooldown.started == []
    assert worker.calls() == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (VendorCredentialsRefused(VENDOR, 401), "VendorCredentialsRefused"),
        (VendorRefused(VENDOR, 400), "VendorRefused"),
    ],
)
def test_what_a_person_must_mend_parks_the_submission(
    worker: ScheduledWorker, work: Work, error: Exception, reason: str
) -> None:
    _decided(worker, work)
    worker.vendor.answers.append(error)

    with pytest.raises(ObligationParked):
        worker.submit()

    owed = worker.obligation("groups.submit:g1:1")
    assert (owed.state, owed.reason) == ("parked", reason)
    assert len(worker.vendor.told) == 1


def test_v1_hears_of_the_approved_only(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work, api="v1")

    worker.submit()

    (call,) = worker.vendor.told
    assert (call.api, call.answers) == ("v1", {"C1": True, "C3": True, "C4": True})
    assert worker.calls() == [("taken", 200, 3)]
    assert worker.states() == ["submitted"] * 2


def test_v1_hears_nothing_when_nobody_is_approved(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger, api="v1")
    work.fetch(["C1", "C2"])
    work.decide(1, ("C1", REFUSED), ("C2", REFUSED))

    assert worker.submit() == "done"

    assert (worker.vendor.told, worker.calls()) == ([], [])
    assert worker.group().state == "submitted"
    assert worker.limit.taken == [], "no turn is taken for a call that is not made"


def test_a_group_that_came_again_is_told_what_has_changed(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.submit()
    _came_again(worker, ("C1", APPROVED), ("C2", APPROVED), ("C3", REFUSED), ("C9", REFUSED))

    worker.submit(revision=2)

    assert _told(worker)[1:] == [{"C2": True, "C3": False, "C9": False}]
    assert worker.group().state == "submitted"


def test_a_campaign_that_came_again_takes_back_what_it_approved(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work, api="v1")
    worker.submit()
    _came_again(
        worker,
        ("C1", APPROVED),
        ("C2", REFUSED),
        ("C3", REFUSED),
        ("C8", APPROVED),
        ("C9", REFUSED),
        api="v1",
    )

    worker.submit(revision=2)

    assert _told(worker)[1:] == [{"C8": True, "C3": False}]


@pytest.mark.parametrize(
    ("api", "told"), [("v2", {"C1": True, "C2": False}), ("v1", {"C1": True, "C2": False})]
)
def test_a_group_that_came_again_is_told_what_it_may_not_have_heard(
    worker: ScheduledWorker, work: Work, api: Any, told: dict[str, bool]
) -> None:
    """A call without an answer: of V1 a refusal as well, since the approval may have been taken."""
    hear(worker.ledger, api=api)
    work.fetch(["C1", "C2"])
    work.decide(1, ("C1", APPROVED), ("C2", APPROVED))
    worker.vendor.answers.extend([_SILENCE] * 500)
    with pytest.raises(ObligationMissed):
        worker.submit()
    worker.vendor.answers.clear()
    worker.vendor.told.clear()
    _came_again(worker, ("C1", APPROVED), ("C2", REFUSED), api=api)

    worker.submit(revision=2)

    assert _told(worker) == [told]


def test_the_end_of_a_group_is_told_once_with_its_margin(
    worker: ScheduledWorker, work: Work, log_events: list[Any]
) -> None:
    _decided(worker, work)
    worker.vendor.takes_s = 0.5
    worker.submit()
    worker.clock.now = DEADLINE

    worker.close()

    assert worker.metrics.observed("group_margin_seconds", api="v2") == [59.5]
    assert worker.metrics.counted("groups_ended_total", api="v2", outcome="submitted") == 1
    (event,) = [each for each in log_events if each["event"] == "group.ended"]
    assert (event["submitted"], event["margin_s"], event["log_level"]) == (4, 59.5, "info")


def test_a_ledger_that_is_away_is_waited_for_and_the_obligation_held(
    worker: ScheduledWorker, work: Work
) -> None:
    _decided(worker, work)
    worker.reads.away = 7

    assert worker.submit() == "done"

    assert len(worker.vendor.told) == 1
    assert worker.obligation("groups.submit:g1:1").attempts == 1


def test_what_was_sent_is_recorded_when_the_ledger_is_back(worker: ScheduledWorker, work: Work) -> None:
    _decided(worker, work)
    worker.vendor.on_call = lambda: setattr(worker.commits, "away", 600)

    worker.submit()

    assert worker.clock() > DEADLINE
    assert worker.calls() == [("taken", 200, 4)]
    assert worker.states() == ["submitted"] * 2


@pytest.mark.parametrize("unconfirmed", [False, True])
@pytest.mark.parametrize("commit", range(7))
def test_a_ledger_that_fails_at_any_commit_sends_nobody_twice_and_tells_the_end_once(
    worker: ScheduledWorker, work: Work, commit: int, unconfirmed: bool
) -> None:
    _decided(worker, work)
    worker.customers_per_call = 2
    worker.fail_commit(commit, unconfirmed=unconfirmed)

    for _ in range(2):
        worker.submit()
        if worker.obligation("groups.submit:g1:1").state == "done":
            break
        worker.clock.now = HARD_STOP - SECOND  # the lease that nobody knows of has run out

    names = [name for told in _told(worker) for name in told]
    assert sorted(names) == ["C1", "C2", "C3", "C4"]
    assert worker.obligation("groups.submit:g1:1").state == "done"
    assert worker.metrics.counted("groups_ended_total", api="v2", outcome="submitted") == 1
    assert worker.calls() == [("taken", 200, 2)] * 2, "a call that was not made is not on record"
