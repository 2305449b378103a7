"""How an obligation is held: by one worker at a time, until its lease ends, and with a fence against stale ones."""

from datetime import timedelta

import pytest

from clearance.ledger import due, lane_pauses
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.obligations import Finish
from clearance.obligations import Done, Lane, Missed, MissedReason, Outcome, Parked, Retry, State
from tests.fakes.clock import START
from tests.fakes.owed import LEASE, claim, claimed, finish, finish_all, obligation, owe, renew, row

_SECOND = timedelta(seconds=1)
_MS = timedelta(milliseconds=1)


def test_a_claim_makes_it_running_under_a_lease(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))

    held = claimed(ledger, "a")

    assert (held.attempt, held.lease_until) == (1, START + LEASE)
    assert (held.subject, held.trace_id, held.created_at) == ("n-a", "t-a", START)
    kept = row(ledger, "a")
    assert (kept.state, kept.attempts, kept.lease_until) == (State.RUNNING, 1, START + LEASE)
    assert kept.publish_at == kept.lease_until


def test_of_two_claims_one_wins(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))

    assert claim(ledger, "a") != [None]
    assert claim(ledger, "a") == [None]


def test_of_two_claims_in_one_group_one_wins(ledger: Ledger) -> None:
    owe(ledger, obligation("a"), obligation("b"))

    first, other, again = claim(ledger, "a", "b", "a")

    assert (first and first.obligation_id, other and other.obligation_id) == ("a", "b")
    assert again is None
    assert row(ledger, "a").attempts == 1


def test_what_does_not_exist_is_nobodys(ledger: Ledger) -> None:
    assert claim(ledger, "no-such-obligation", "") == [None, None]


def test_a_live_lease_keeps_others_off_to_its_last_millisecond(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    claimed(ledger, "a")

    assert claim(ledger, "a", now=START + LEASE - _MS) == [None]


def test_when_the_lease_has_ended_another_takes_over_with_a_new_fence(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    claimed(ledger, "a")

    second = claimed(ledger, "a", now=START + LEASE)

    assert (second.attempt, second.lease_until) == (2, START + LEASE + LEASE)


def test_what_is_not_due_yet_is_not_claimed_but_for_the_clocks_tolerance(ledger: Ledger) -> None:
    owe(ledger, obligation("a", run_at=START + _SECOND))

    assert claim(ledger, "a", now=START + _SECOND - 101 * _MS) == [None]
    assert claim(ledger, "a", now=START + _SECOND - 100 * _MS) != [None]


def test_of_a_paused_lane_nothing_is_claimed_and_what_a_message_named_comes_up_when_it_is_resumed(
    ledger: Ledger,
) -> None:
    """Whoever had it published far in the future, or held it and died: nobody waits for that after the pause."""
    owe(ledger, obligation("a", deadline_at=START + 90 * _SECOND, publish_at=START + 64 * _SECOND))
    owe(ledger, obligation("later", run_at=START + 9 * _SECOND))
    owe(ledger, obligation("abandoned", deadline_at=START + 90 * _SECOND))
    claimed(ledger, "abandoned")
    at = START + LEASE
    pause = LanePause(lane=Lane.TRIGGERED, paused_at=START, paused_by="ada", reason="wrong rules")
    with ledger.write() as connection:
        lane_pauses.pause(connection, pause)

    assert claim(ledger, "a", "later", "abandoned", now=at) == [None] * 3

    assert (row(ledger, "a").state, row(ledger, "a").attempts, row(ledger, "a").publish_at) == ("open", 0, at)
    assert row(ledger, "later").publish_at == START + 10 * _SECOND
    with ledger.write() as connection:
        assert due.take_due(connection, at, 9, _SECOND) == []
        lane_pauses.resume(connection, Lane.TRIGGERED)
        found = due.take_due(connection, at, 9, _SECOND)
    assert {each.obligation_id for each in found} == {"a", "abandoned"}
    assert None not in claim(ledger, "a", "abandoned", now=at)


def test_the_pause_of_another_lane_keeps_nobody_from_a_claim(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    with ledger.write() as connection:
        lane_pauses.pause(
            connection, LanePause(lane=Lane.MAIL, paused_at=START, paused_by="ada", reason="wrong print")
        )

    assert claimed(ledger, "a").attempt == 1


def test_renewing_holds_on_for_longer(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")

    assert renew(ledger, held, START + 3 * _SECOND) is True

    assert claim(ledger, "a", now=START + LEASE) == [None]
    kept = row(ledger, "a")
    assert kept.lease_until == kept.publish_at == START + 3 * _SECOND


def test_a_lease_that_ended_is_renewed_as_long_as_nobody_took_over(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")

    assert renew(ledger, held, START + 10 * _SECOND) is True


def test_a_stale_fence_renews_nothing(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    stale = claimed(ledger, "a")
    fresh = claimed(ledger, "a", now=START + LEASE)

    assert renew(ledger, stale, START + 60 * _SECOND) is False

    assert row(ledger, "a").lease_until == fresh.lease_until


@pytest.mark.parametrize(
    "outcome",
    [
        Done(),
        Retry(run_at=START + _SECOND, reason="VendorUnavailable", error="x"),
        Missed(reason=MissedReason.NO_TIME_LEFT, margin_s=0),
        Parked(reason="BUG", error="ValueError"),
    ],
)
def test_a_stale_fence_finishes_nothing(ledger: Ledger, outcome: Outcome) -> None:
    owe(ledger, obligation("a"))
    stale = claimed(ledger, "a")
    claimed(ledger, "a", now=START + LEASE)
    before = row(ledger, "a")

    assert finish(ledger, stale, outcome) is False

    assert row(ledger, "a") == before


def test_a_finish_counts_although_the_lease_ended_if_nobody_took_over(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")

    assert finish(ledger, held, Done(), now=START + 4 * _SECOND) is True

    assert row(ledger, "a").state == State.DONE


def test_what_is_done_stays_done(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")
    finish(ledger, held, Done(), now=START + _SECOND)
    before = row(ledger, "a")
    assert before.finished_at == START + _SECOND

    assert finish(ledger, held, Parked(reason="BUG", error=""), now=START + 2 * _SECOND) is False
    assert renew(ledger, held, START + 60 * _SECOND) is False
    assert claim(ledger, "a", now=START + 4 * _SECOND) == [None]

    assert row(ledger, "a") == before


def test_a_retry_opens_it_again_with_its_error_and_a_new_time(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")
    again_at = START + 2 * _SECOND

    assert finish(ledger, held, Retry(run_at=again_at, reason="VendorUnavailable", error="optimove: 503"))

    kept = row(ledger, "a")
    assert (kept.state, kept.attempts, kept.publications) == (State.OPEN, 1, 0)
    assert (kept.run_at, kept.publish_at, kept.lease_until) == (again_at, again_at, None)
    assert (kept.last_error, kept.finished_at) == ("optimove: 503", None)
    assert claim(ledger, "a", now=START + _SECOND) == [None]
    assert claimed(ledger, "a", now=again_at).attempt == 2


def test_a_retry_may_be_published_before_its_time(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")
    outcome = Retry(run_at=START + 2 * _SECOND, reason="VendorUnavailable", error="")

    finish(ledger, held, outcome, publish_at=START + _SECOND)

    assert row(ledger, "a").publish_at == START + _SECOND


def test_missed_and_parked_say_why(ledger: Ledger) -> None:
    owe(ledger, obligation("a"), obligation("b"))
    missed, parked = claimed(ledger, "a"), claimed(ledger, "b")

    results = finish_all(
        ledger,
        [
            Finish(
                claimed=missed,
                outcome=Missed(reason=MissedReason.SENT_UNCONFIRMED, margin_s=-0.5, error="no answer"),
                now=START,
            ),
            Finish(claimed=parked, outcome=Parked(reason="VendorRefused", error="400"), now=START),
        ],
    )

    assert results == [True, True]
    a, b = row(ledger, "a"), row(ledger, "b")
    assert (a.state, a.reason, a.last_error) == (State.MISSED, "SENT_UNCONFIRMED", "no answer")
    assert (b.state, b.reason, b.last_error) == (State.PARKED, "VendorRefused", "400")
    assert a.finished_at == b.finished_at == START
    assert a.lease_until is b.lease_until is None


def test_finishes_of_one_group_are_answered_in_order(ledger: Ledger) -> None:
    owe(ledger, *(obligation(name) for name in "abcd"))
    held = {name: claimed(ledger, name) for name in "abc"}
    stale_b, fresh_b = held["b"], claimed(ledger, "b", now=START + LEASE)
    finishes = [
        Finish(claimed=stale_b, outcome=Done(), now=START),
        Finish(claimed=held["a"], outcome=Done(), now=START),
        Finish(claimed=held["c"], outcome=Parked(reason="BUG", error=""), now=START),
        Finish(claimed=fresh_b, outcome=Done(), now=START),
    ]

    assert finish_all(ledger, finishes) == [False, True, True, True]


def test_an_error_text_is_cut_to_what_is_kept(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")

    finish(ledger, held, Parked(reason="BUG", error="x" * 10_000))

    assert row(ledger, "a").last_error == "x" * 500
