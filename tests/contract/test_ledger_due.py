"""What the guardian finds: what is due, by deadline, less and less often; and what is overdue, with the true reason."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from clearance.ledger import due as due_in_ledger
from clearance.ledger import lane_pauses
from clearance.ledger.due import Overdue
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.obligations import Done, Due, Lane, MissedReason, ObligationId, Retry, State, Why
from tests.fakes.clock import START
from tests.fakes.owed import BUDGET, HEDGE_AFTER, LEASE, claim, claimed, finish, obligation, owe, row

_SECOND = timedelta(seconds=1)
_MS = timedelta(milliseconds=1)


def _take(ledger: Ledger, now: datetime, *, limit: int = 100) -> list[Due]:
    with ledger.write() as connection:
        return due_in_ledger.take_due(connection, now, limit, HEDGE_AFTER)


def _overdue(ledger: Ledger, now: datetime, *, limit: int = 100) -> list[Overdue]:
    with ledger.write() as connection:
        return due_in_ledger.take_overdue(connection, now, limit)


def _put_back(ledger: Ledger, names: Sequence[str], publish_at: datetime) -> None:
    with ledger.write() as connection:
        due_in_ledger.put_back(connection, [ObligationId(name) for name in names], publish_at)


def _is_any_due(ledger: Ledger, now: datetime) -> bool:
    with ledger.read() as connection:
        return due_in_ledger.is_any_due(connection, now)


def _is_any_overdue(ledger: Ledger, now: datetime) -> bool:
    with ledger.read() as connection:
        return due_in_ledger.is_any_overdue(connection, now)


def test_nothing_is_due_in_an_empty_ledger(ledger: Ledger) -> None:
    assert not _is_any_due(ledger, START)
    assert not _is_any_overdue(ledger, START)
    assert _take(ledger, START) == []
    assert _overdue(ledger, START) == []


def test_what_nobody_claimed_is_due_when_its_time_to_publish_has_come(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    at = START + HEDGE_AFTER

    assert not _is_any_due(ledger, at - _MS)
    assert _take(ledger, at - _MS) == []
    assert _is_any_due(ledger, at)
    (due,) = _take(ledger, at)

    assert (due.obligation_id, due.lane, due.task) == ("a", "triggered", "clearance.triggered.approve")
    assert (due.eta, due.deadline_at, due.attempts) == (None, START + BUDGET, 0)
    assert (due.trace_id, due.why) == ("t-a", Why.HEDGE)


def test_the_second_guardian_finds_nothing_that_the_first_has_taken(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    at = START + HEDGE_AFTER
    _take(ledger, at)

    assert not _is_any_due(ledger, at)
    assert _take(ledger, at) == []


def test_the_nearest_deadline_comes_first_and_the_rest_in_the_next_look(ledger: Ledger) -> None:
    # Neither created nor to be published in the order of their deadlines.
    owe(
        ledger,
        obligation("later", deadline_at=START + 9 * _SECOND, publish_at=START),
        obligation("soon", deadline_at=START + 3 * _SECOND, publish_at=START + _MS),
        obligation("between", deadline_at=START + 6 * _SECOND, publish_at=START + 2 * _MS),
    )
    at = START + HEDGE_AFTER

    assert [due.obligation_id for due in _take(ledger, at, limit=2)] == ["soon", "between"]
    assert [due.obligation_id for due in _take(ledger, at, limit=2)] == ["later"]


def test_each_publication_doubles_the_wait_for_the_next(ledger: Ledger) -> None:
    owe(ledger, obligation("a", deadline_at=START + timedelta(hours=1)))
    at, waits = START + HEDGE_AFTER, []

    for _ in range(9):
        assert len(_take(ledger, at)) == 1
        following = row(ledger, "a").publish_at
        waits.append((following - at).total_seconds())
        at = following

    assert waits == [1, 2, 4, 8, 16, 32, 64, 64, 64]


def test_once_claimed_the_waits_begin_anew(ledger: Ledger) -> None:
    owe(ledger, obligation("a", deadline_at=START + timedelta(hours=1)))
    for seconds in (1, 2, 4, 8):
        assert len(_take(ledger, START + seconds * _SECOND)) == 1
    claimed(ledger, "a", now=START + 9 * _SECOND)
    ended = START + 9 * _SECOND + LEASE

    (due,) = _take(ledger, ended)

    assert due.why is Why.ABANDONED
    assert row(ledger, "a").publish_at == ended + HEDGE_AFTER


def test_what_was_put_back_comes_again_as_if_it_had_not_been_taken(ledger: Ledger) -> None:
    owe(ledger, obligation("a"), obligation("b"))
    at = START + HEDGE_AFTER
    _take(ledger, at)

    _put_back(ledger, ["a"], at + 500 * _MS)

    assert _take(ledger, at + 499 * _MS) == []
    assert [due.obligation_id for due in _take(ledger, at + 500 * _MS)] == ["a"]
    assert row(ledger, "a").publish_at == at + 500 * _MS + HEDGE_AFTER


def test_what_was_claimed_meanwhile_is_not_put_back(ledger: Ledger) -> None:
    """A publication that failed halfway: the part that arrived is at work under a live lease."""
    owe(ledger, obligation("a"))
    at = START + HEDGE_AFTER
    _take(ledger, at)
    held = claimed(ledger, "a", now=at)

    _put_back(ledger, ["a"], at + 500 * _MS)

    assert row(ledger, "a").publish_at == held.lease_until
    assert _take(ledger, at + 500 * _MS) == []


def test_what_was_abandoned_is_put_back_too(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    claimed(ledger, "a")
    at = START + LEASE
    _take(ledger, at)

    _put_back(ledger, ["a"], at + 500 * _MS)

    assert [due.obligation_id for due in _take(ledger, at + 500 * _MS)] == ["a"]


def test_what_was_finished_meanwhile_is_not_put_back(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    at = START + HEDGE_AFTER
    _take(ledger, at)
    finish(ledger, claimed(ledger, "a", now=at), Done(), now=at)
    before = row(ledger, "a")

    _put_back(ledger, ["a"], at + _SECOND)

    assert row(ledger, "a") == before


def test_what_is_held_under_a_live_lease_is_not_due(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    claimed(ledger, "a")

    assert _take(ledger, START + LEASE - _MS) == []


def test_what_a_worker_abandoned_is_due_when_its_lease_has_ended(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    claimed(ledger, "a")

    (due,) = _take(ledger, START + LEASE)

    assert (due.why, due.attempts) == (Why.ABANDONED, 1)
    assert row(ledger, "a").state == State.RUNNING
    assert claimed(ledger, "a", now=START + LEASE).attempt == 2


def test_a_retry_is_handed_over_shortly_before_its_time_with_an_eta(ledger: Ledger) -> None:
    owe(ledger, obligation("a", deadline_at=START + timedelta(minutes=1)))
    again_at = START + 20 * _SECOND
    outcome = Retry(run_at=again_at, reason="VendorUnavailable", error="")
    finish(ledger, claimed(ledger, "a"), outcome, publish_at=again_at - 5 * _SECOND)

    assert _take(ledger, again_at - 6 * _SECOND) == []
    (due,) = _take(ledger, again_at - 5 * _SECOND)

    assert (due.eta, due.why, due.attempts) == (again_at, Why.DUE, 1)
    # It is looked for again after its time, not while Celery holds it.
    assert row(ledger, "a").publish_at == again_at + HEDGE_AFTER / 2
    (again,) = _take(ledger, again_at + HEDGE_AFTER / 2)
    assert (again.eta, again.why) == (None, Why.HEDGE)


def test_what_is_past_its_deadline_is_not_published_but_missed(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    at = START + BUDGET

    assert not _is_any_due(ledger, at)
    assert _take(ledger, at) == []
    assert not _is_any_overdue(ledger, at - _MS)
    assert _is_any_overdue(ledger, at)
    (overdue,) = _overdue(ledger, at + 250 * _MS)

    assert (overdue.obligation_id, overdue.trace_id) == ("a", "t-a")
    assert overdue.late_s == pytest.approx(0.25)
    kept = row(ledger, "a")
    assert (kept.state, kept.finished_at) == (State.MISSED, at + 250 * _MS)


def test_a_missed_one_says_whether_anybody_had_begun(ledger: Ledger) -> None:
    owe(ledger, obligation("never"), obligation("failed"), obligation("abandoned"))
    outcome = Retry(run_at=START + 4 * _SECOND, reason="VendorUnavailable", error="optimove: 503")
    finish(ledger, claimed(ledger, "failed"), outcome)
    claimed(ledger, "abandoned")

    reason_by_id = {item.obligation_id: item.reason for item in _overdue(ledger, START + BUDGET)}

    assert reason_by_id == {
        "never": MissedReason.NOT_STARTED_IN_TIME,
        "failed": MissedReason.RETRIES_RAN_OUT,
        "abandoned": MissedReason.ABANDONED,
    }
    assert row(ledger, "failed").last_error == "optimove: 503"
    assert row(ledger, "abandoned").lease_until is None


def test_a_live_worker_finishes_its_own_overdue_obligation(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a", now=START + BUDGET - _SECOND)

    assert _overdue(ledger, START + BUDGET) == []
    assert finish(ledger, held, Done(), now=START + BUDGET) is True
    assert _overdue(ledger, START + timedelta(hours=1)) == []
    assert row(ledger, "a").state == State.DONE


def test_overdue_ones_are_taken_in_portions(ledger: Ledger) -> None:
    owe(ledger, *(obligation(f"o{number}") for number in range(5)))
    at = START + BUDGET

    portions = [len(_overdue(ledger, at, limit=2)) for _ in range(4)]

    assert portions == [2, 2, 1, 0]


def test_a_missed_one_cannot_be_claimed(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    _overdue(ledger, START + BUDGET)

    assert claim(ledger, "a", now=START + BUDGET) == [None]


def test_what_a_paused_lane_owes_waits_and_is_due_at_once_when_the_lane_is_resumed(ledger: Ledger) -> None:
    mine, other = obligation("mine"), replace(obligation("other"), lane=Lane.MAIL)
    owe(ledger, mine, other)
    at = START + HEDGE_AFTER
    with ledger.write() as connection:
        lane_pauses.pause(
            connection, LanePause(lane=Lane.MAIL, paused_at=START, paused_by="ada", reason="wrong print")
        )

    assert [each.obligation_id for each in _take(ledger, at)] == ["mine"]
    assert not _is_any_due(ledger, at)

    with ledger.write() as connection:
        lane_pauses.resume(connection, Lane.MAIL)
    assert _is_any_due(ledger, at)
    assert [each.obligation_id for each in _take(ledger, at)] == ["other"]


def test_what_passes_its_deadline_in_a_paused_lane_is_missed_as_not_started(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    pause = LanePause(lane=Lane.TRIGGERED, paused_at=START, paused_by="ada", reason="wrong rules")
    with ledger.write() as connection:
        lane_pauses.pause(connection, pause)
    assert claim(ledger, "a") == [None]

    (missed,) = _overdue(ledger, START + BUDGET)

    assert (missed.obligation_id, missed.reason) == ("a", MissedReason.NOT_STARTED_IN_TIME)
