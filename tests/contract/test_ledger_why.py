"""What happened to one customer: every question about him, with what was decided, sent and owed, the newest first."""

from dataclasses import replace
from datetime import datetime, timedelta

from clearance.decisions.decision import Decision
from clearance.ledger import triggered, why
from clearance.ledger.decisions import Answer, NewApproval, NewDecision, stand_many
from clearance.ledger.due import take_overdue
from clearance.ledger.engine import Ledger
from clearance.ledger.notifications import NewNotification
from clearance.ledger.obligations import Finish
from clearance.ledger.why_facts import Story
from clearance.obligations import Done, MissedReason, Outcome, Parked, Retry, State
from tests.fakes.clock import START
from tests.fakes.owed import BUDGET, accept, claimed, notification

_SECOND = timedelta(seconds=1)
_REFUSED = Decision(
    approved=False, reasons=("UNDER_AGE", "MISSING:country"), rules_version="v2", policy="bonus-campaigns"
)


def _asked(
    name: str,
    *,
    at: datetime = START,
    customer_id: str = "C1",
    series: str | None = "111",
    occurrence: str = "222",
) -> NewNotification:
    return replace(
        notification(name, now=at), customer_id=customer_id, series_id=series, occurrence_id=occurrence
    )


def _decision(subject: str, *, customer_id: str = "C1", at: datetime = START) -> NewDecision:
    return NewDecision(
        subject=subject, customer_id=customer_id, decision=_REFUSED, inputs_digest="d" * 64, decided_at=at
    )


def _call(name: str, *, answer: Answer, at: datetime = START, attempt: int = 1) -> NewApproval:
    taken = answer is not Answer.UNKNOWN
    return NewApproval(
        approval_id=name,
        subject="n-a",
        attempt=attempt,
        customers=1,
        sent_at=at,
        answered_at=at + _SECOND if taken else None,
        status=202 if taken else None,
        answer=answer,
        error=None if taken else "optimove: no answer",
    )


def _end(ledger: Ledger, outcome: Outcome, *approvals: NewApproval, decided: bool = True) -> None:
    held = claimed(ledger, "a")
    with ledger.write() as connection:
        triggered.finish_many(
            connection,
            [
                triggered.Answered(
                    finish=Finish(claimed=held, outcome=outcome, now=START + 2 * _SECOND),
                    decision=_decision("n-a", at=START + _SECOND) if decided else None,
                    approvals=approvals,
                )
            ],
        )


def _stories(
    ledger: Ledger, customer_id: str = "C1", *, campaign_id: str | None = None, last: int = 20
) -> list[Story]:
    with ledger.read() as connection:
        return why.stories(connection, customer_id, campaign_id=campaign_id, last=last)


def _subjects(stories: list[Story]) -> list[str]:
    return [story.subject for story in stories]


def test_a_story_holds_the_question_the_decision_the_calls_and_how_it_ended(ledger: Ledger) -> None:
    accept(ledger, _asked("a"))
    lost = _call("p1", answer=Answer.UNKNOWN)
    taken = _call("p2", answer=Answer.TAKEN, at=START + _SECOND)
    _end(ledger, Done(), taken, lost)

    (story,) = _stories(ledger)

    assert story.asked is not None
    assert (story.subject, story.asked.kind, story.asked.vendor_id) == ("n-a", "triggered", "v-a")
    assert (story.asked.series_id, story.asked.occurrence_id) == ("111", "222")
    assert (story.asked.received_at, story.asked.deadline_at) == (START, START + BUDGET)
    assert story.decided is not None
    assert (story.decided.decision, story.decided.decided_at) == (_REFUSED, START + _SECOND)
    assert story.decided.inputs_digest == "d" * 64
    assert [(call.answer, call.status, call.error) for call in story.sent] == [
        (Answer.UNKNOWN, None, "optimove: no answer"),
        (Answer.TAKEN, 202, None),
    ]
    assert [(call.sent_at, call.answered_at) for call in story.sent] == [
        (START, None),
        (START + _SECOND, START + 2 * _SECOND),
    ]
    (owed,) = story.owed
    assert (owed.state, owed.reason, owed.attempts) == (State.DONE, None, 1)
    assert owed.margin_s(START + timedelta(days=1)) == 3.0


def test_a_question_that_was_missed_before_anything_was_decided_has_a_story(ledger: Ledger) -> None:
    accept(ledger, _asked("a"))
    with ledger.write() as connection:
        take_overdue(connection, START + BUDGET + _SECOND, 10)

    (story,) = _stories(ledger)

    (owed,) = story.owed
    assert (story.decided, story.sent) == (None, ())
    assert (owed.state, owed.reason) == (State.MISSED, MissedReason.NOT_STARTED_IN_TIME)
    assert owed.margin_s(START + timedelta(days=1)) == -1.0


def test_what_is_parked_says_why(ledger: Ledger) -> None:
    accept(ledger, _asked("a"))
    _end(ledger, Parked(reason="VendorCredentialsRefused", error="optimove: 401 credentials refused"))

    (story,) = _stories(ledger)

    (owed,) = story.owed
    assert (owed.state, owed.reason) == (State.PARKED, "VendorCredentialsRefused")
    assert owed.last_error == "optimove: 401 credentials refused"


def test_what_is_still_open_says_how_much_time_is_left_and_what_failed_last(ledger: Ledger) -> None:
    accept(ledger, _asked("a"))
    _end(ledger, Retry(run_at=START + 3 * _SECOND, reason="VendorUnavailable", error="optimove: 503"))

    (story,) = _stories(ledger)

    (owed,) = story.owed
    assert (owed.state, owed.finished_at, owed.last_error) == (State.OPEN, None, "optimove: 503")
    assert owed.margin_s(START + 4 * _SECOND) == 1.0


def test_stories_are_the_customers_own_newest_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    names = [f"{number}" for number in range(5)]
    accept(ledger, *(_asked(name, at=START + int(name) * _SECOND) for name in names))
    accept(ledger, _asked("other", customer_id="C2", at=START + 9 * _SECOND))

    assert _subjects(_stories(ledger)) == ["n-4", "n-3", "n-2", "n-1", "n-0"]
    assert _subjects(_stories(ledger, last=2)) == ["n-4", "n-3"]
    assert _stories(ledger, "c1") == []


def test_a_campaign_is_named_by_its_series_or_its_occurrence(ledger: Ledger) -> None:
    accept(
        ledger,
        _asked("a", series="111", occurrence="1"),
        _asked("b", series="111", occurrence="2"),
        _asked("c", series="222", occurrence="111"),
        _asked("d", series=None, occurrence="4"),
    )

    assert set(_subjects(_stories(ledger, campaign_id="111"))) == {"n-a", "n-b", "n-c"}
    assert _subjects(_stories(ledger, campaign_id="2")) == ["n-b"]
    assert _stories(ledger, campaign_id="11") == []
    assert len(_stories(ledger, campaign_id="111", last=2)) == 2


def test_a_decision_that_no_notification_about_him_led_to_has_a_story_too(ledger: Ledger) -> None:
    accept(ledger, _asked("a", at=START + _SECOND))
    with ledger.write() as connection:
        group = [_decision("group-7", at=START + 2 * _SECOND), _decision("group-7", customer_id="C2")]
        stand_many(connection, [*group, _decision("n-a"), _decision("group-1")])

    stories = _stories(ledger)

    assert _subjects(stories) == ["group-7", "n-a", "group-1"]
    assert stories[0].asked is None
    assert stories[0].decided is not None
    assert stories[0].decided.decision == _REFUSED
    assert _subjects(_stories(ledger, last=1)) == ["group-7"]
    assert _subjects(_stories(ledger, "C2")) == ["group-7"]
    assert _stories(ledger, campaign_id="222") == stories[1:2]
