"""What a person says about a held batch; which lanes are paused; what operators did."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from clearance.bloomreach.feedback import Feedback
from clearance.ledger import lane_pauses, mail_held, operator_actions
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.mail_ends import Answered, Held, Posted
from clearance.ledger.mail_held import Resolved
from clearance.ledger.mail_intake import TakenAs
from clearance.ledger.mail_tables import track_commands
from clearance.ledger.operator_actions import OperatorAction
from clearance.mail_states import BatchState, HeldReason, Resolution
from clearance.obligations import Lane
from tests.fakes.clock import START
from tests.fakes.mail_owed import (
    batches,
    begun,
    letter,
    next_due,
    person,
    request,
    settle,
    states,
    take,
    take_letters,
)

HELD = Held(reason=HeldReason.AMBIGUOUS_REPLY, error="not JSON", status=200)
LATER = START + timedelta(hours=1)


def _held(ledger: Ledger) -> str:
    take_letters(ledger, *"abc")
    batch = begun(ledger)
    assert settle(ledger, batch, HELD)
    return batch.batch_id


def _resolve(ledger: Ledger, batch_id: str, how: Resolution, who: str = "ada") -> Resolved:
    with ledger.write() as connection:
        return mail_held.resolve(
            connection, batch_id, how=how, who=who, why="asked them", now=LATER, feedback=Feedback()
        )


def _told(ledger: Ledger) -> set[str]:
    with ledger.read() as connection:
        return set(connection.execute(select(track_commands.c.dedupe_key)).scalars())


def _actions(ledger: Ledger) -> list[OperatorAction]:
    with ledger.read() as connection:
        return operator_actions.listed(connection)


def test_letters_that_were_posted_are_told_to_bloomreach_as_enqueued(ledger: Ledger) -> None:
    batch_id = _held(ledger)

    resolved = _resolve(ledger, batch_id, Resolution.POSTED)

    assert (resolved.is_resolved, resolved.state, resolved.recipients) == (True, BatchState.POSTED, 3)
    assert [each.lane for each in resolved.due] == [Lane.TRACK]
    (row,) = batches(ledger)
    assert (row.state, row.posted, row.finished_at) == ("posted", 3, LATER)
    assert (row.resolved_as, row.resolved_by, row.resolved_at) == ("posted", "ada", LATER)
    assert (person(ledger, "a").state, person(ledger, "a").vendor_id) == ("posted", None)
    assert person(ledger, "a").finished_at == LATER
    assert _told(ledger) == {f"{name}:enqueued:campaign" for name in "abc"}
    (action,) = _actions(ledger)
    assert (action.who, action.action, action.subject) == ("ada", "mail.held_resolved_posted", batch_id)
    assert (action.count, action.why, action.at) == (3, "asked them", LATER)


def test_a_batch_that_is_posted_again_is_owed_anew_each_time(ledger: Ledger) -> None:
    batch_id = _held(ledger)

    for turn in (2, 3):
        resolved = _resolve(ledger, batch_id, Resolution.REPOST)
        assert [each.obligation_id for each in resolved.due] == [f"mail.post:{batch_id}:{turn}"]
        assert set(states(ledger).values()) == {"queued"}
        (row,) = batches(ledger)
        assert (row.state, row.resolved_as) == ("ready", "repost")
        batch = begun(ledger, now=LATER)
        assert (batch.batch_id, batch.was_abandoned, batch.posts) == (batch_id, False, turn)
        assert [each.recipient_id for each in batch.letters] == ["a", "b", "c"]
        assert settle(ledger, batch, HELD, now=LATER)
        assert batches(ledger)[0].resolved_as is None

    _resolve(ledger, batch_id, Resolution.REPOST)
    again = begun(ledger, now=LATER)
    assert settle(ledger, again, Answered(results=(Posted(vendor_id="v"),) * 3, status=200))
    assert set(states(ledger).values()) == {"posted"}


def test_letters_that_are_dropped_may_come_again(ledger: Ledger) -> None:
    batch_id = _held(ledger)

    resolved = _resolve(ledger, batch_id, Resolution.DROP)

    assert resolved.state is BatchState.DROPPED
    assert (person(ledger, "a").state, person(ledger, "a").reason) == ("dropped", "DROPPED")
    assert next_due(ledger, LATER) is None
    assert _told(ledger) == {f"{name}:refused:campaign" for name in "abc"}
    (taken,) = take(ledger, request(letter("a2", same_as="a")))
    assert taken.letters[0].taken_as is TakenAs.QUEUED


@pytest.mark.parametrize("how", [Resolution.POSTED, Resolution.REPOST])
def test_letters_that_are_not_dropped_are_still_duplicates(ledger: Ledger, how: Resolution) -> None:
    _resolve(ledger, _held(ledger), how)

    (taken,) = take(ledger, request(letter("a2", same_as="a")))

    assert taken.letters[0].taken_as is TakenAs.DUPLICATE


def test_only_what_is_held_can_be_resolved(ledger: Ledger) -> None:
    batch_id = _held(ledger)
    _resolve(ledger, batch_id, Resolution.DROP)
    before = (batches(ledger), states(ledger), _actions(ledger), _told(ledger))

    late = _resolve(ledger, batch_id, Resolution.POSTED, who="bob")

    assert late == Resolved(
        is_resolved=False, state=BatchState.DROPPED, resolved_as="drop", resolved_by="ada"
    )
    assert _resolve(ledger, "unknown", Resolution.POSTED) == Resolved(is_resolved=False, state=None)
    assert (batches(ledger), states(ledger), _actions(ledger), _told(ledger)) == before


def test_of_two_operators_at_once_one_resolves_and_the_other_hears_it(ledger: Ledger) -> None:
    batch_id = _held(ledger)
    together = threading.Barrier(4)
    heard: list[Resolved] = []

    def operator(who: str) -> None:
        together.wait()
        heard.append(_resolve(ledger, batch_id, Resolution.REPOST, who=who))

    threads = [threading.Thread(target=operator, args=(who,)) for who in ("ada", "bob", "cyd", "dan")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = [each for each in heard if each.is_resolved]
    assert {each.resolved_by for each in heard} == {winner.resolved_by}
    assert len(_actions(ledger)) == 1


def test_the_first_pause_of_a_lane_stands_until_it_is_resumed(ledger: Ledger) -> None:
    first = LanePause(lane=Lane.MAIL, paused_at=START, paused_by="worker", reason="credentials refused")
    second = LanePause(lane=Lane.MAIL, paused_at=LATER, paused_by="ada", reason="also")
    with ledger.write() as connection:
        assert lane_pauses.paused(connection) == {}
        assert lane_pauses.pause(connection, first)
        assert not lane_pauses.pause(connection, second)
        assert lane_pauses.paused(connection) == {Lane.MAIL: first}
        assert lane_pauses.resume(connection, Lane.TRACK) is None
        assert lane_pauses.resume(connection, Lane.MAIL) == first
        assert lane_pauses.resume(connection, Lane.MAIL) is None
        assert lane_pauses.paused(connection) == {}


def test_actions_are_listed_the_newest_first_page_by_page_and_by_subject(ledger: Ledger) -> None:
    actions = [
        OperatorAction(
            action_id=f"{number:032}",
            at=START,
            who="ada",
            action="lane.paused",
            subject="mail" if number % 2 else "track",
            count=number,
        )
        for number in range(5)
    ]
    with ledger.write() as connection:
        for action in actions:
            operator_actions.record(connection, action)
        operator_actions.record(connection, actions[0])
        newest = operator_actions.listed(connection, limit=2)
        rest = operator_actions.listed(connection, before_id=newest[-1].action_id)
        about_mail = operator_actions.listed(connection, subject="mail")

    assert newest + rest == actions[::-1]
    assert about_mail == [actions[3], actions[1]]
