"""Calls for a group are in the ledger before they are made, so that whoever dies in one leaves it behind."""

import threading
from datetime import datetime

import pytest
from sqlalchemy import select

from clearance.ledger import calls_begun, submissions, unconfirmed
from clearance.ledger.call_speed import seconds_per_call
from clearance.ledger.decisions import Answer
from clearance.ledger.due import take_overdue
from clearance.ledger.engine import Ledger
from clearance.ledger.groups import hear_many
from clearance.ledger.tables import approvals, groups, obligations
from clearance.obligations import MissedReason
from tests.contract.scheduled import (
    DEADLINE,
    LATER,
    MARGIN,
    SECOND,
    G,
    begun,
    call,
    cancel,
    chunk,
    chunk_rows,
    claim_group,
    fetched,
    heads_up,
    hear,
    miss_what_is_left,
    new_call,
    review,
    revision_rows,
    store,
    submitted,
    withdrawn,
)

_AT = DEADLINE - MARGIN
_LEASE = 30 * SECOND


@pytest.fixture
def told(ledger: Ledger) -> Ledger:
    """Three customers in two chunks, decided."""
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a", "b"), chunk(2, "c"))
    fetched(ledger)
    review(ledger, 1)
    review(ledger, 2)
    return ledger


def _outcomes(ledger: Ledger) -> list[tuple[str, str | None]]:
    with ledger.read() as connection:
        rows = connection.execute(select(approvals).order_by(approvals.c.id))
        return [(row.outcome, row.error) for row in rows]


def _sent_under(ledger: Ledger) -> list[int | None]:
    return [row.submitted_revision for row in chunk_rows(ledger)]


def _unsent(ledger: Ledger) -> tuple[int, ...]:
    with ledger.read() as connection:
        found = submissions.next_decided(connection, G, 1, 100)
    assert found is not None
    return found.unsent


def test_a_call_that_is_begun_is_one_that_may_have_arrived(told: Ledger) -> None:
    assert begun(told, new_call(told, 1, at=_AT))

    assert _outcomes(told) == [("unknown", None)]
    assert _sent_under(told) == [1, None]
    assert _unsent(told) == (2,)
    (revision,) = revision_rows(told)
    assert (revision.first_call_at, revision.last_call_at) == (_AT, None)


def test_beginning_a_call_again_changes_nothing(told: Ledger) -> None:
    new = new_call(told, 1, at=_AT)
    begun(told, new)

    assert begun(told, new)

    assert _outcomes(told) == [("unknown", None)]


@pytest.mark.parametrize(
    ("answer", "outcome", "sent_under"),
    [(Answer.TAKEN, "taken", 1), (Answer.REFUSED, "refused", None), (Answer.UNKNOWN, "unknown", 1)],
)
def test_a_call_gets_its_outcome_in_the_same_row(
    told: Ledger, answer: Answer, outcome: str, sent_under: int | None
) -> None:
    begun(told, new_call(told, 1, at=_AT))

    for _ in range(2):
        submitted(told, call(1, at=_AT, answer=answer, unsent=(1,)))

    assert [each for each, _ in _outcomes(told)] == [outcome]
    assert _sent_under(told) == [sent_under, None]


def test_an_outcome_does_not_change_any_more(told: Ledger) -> None:
    begun(told, new_call(told, 1, at=_AT))
    submitted(told, call(1, at=_AT))

    submitted(told, call(1, at=_AT, answer=Answer.REFUSED, unsent=(1,)))

    assert _outcomes(told) == [("taken", None)]
    assert _sent_under(told)[0] == 1


def test_a_refusal_does_not_undo_that_an_earlier_call_may_have_arrived(told: Ledger) -> None:
    submitted(told, call(1, at=_AT, answer=Answer.UNKNOWN))
    assert _unsent(told) == (2,)
    begun(told, new_call(told, 1, 2, at=_AT, name="call-2"))

    submitted(told, call(1, 2, at=_AT, answer=Answer.REFUSED, name="call-2", unsent=(2,)))

    assert _sent_under(told) == [1, None]


def test_a_call_that_was_not_made_leaves_no_trace(told: Ledger) -> None:
    before = chunk_rows(told)
    new = new_call(told, 1, at=_AT)
    begun(told, new)

    for _ in range(2):
        withdrawn(told, new)

    assert _outcomes(told) == []
    assert chunk_rows(told) == before


@pytest.mark.parametrize("is_moved", [True, False])
def test_a_call_of_a_revision_that_does_not_hold_is_not_begun(told: Ledger, is_moved: bool) -> None:
    new = new_call(told, 1, at=_AT)
    if is_moved:
        hear(told, heads_up(LATER, told_at=_AT))
    else:
        cancel(told, _AT)

    assert not begun(told, new)

    assert _outcomes(told) == []
    assert _sent_under(told) == [None, None]


def test_who_has_lost_the_lease_begins_no_call(told: Ledger) -> None:
    old = new_call(told, 1, at=_AT)
    new = new_call(told, 1, at=_AT + _LEASE, name="call-2")

    assert not begun(told, old)
    assert begun(told, new)


def test_a_refusal_that_comes_late_does_not_hide_what_the_next_worker_has_sent(told: Ledger) -> None:
    begun(told, new_call(told, 1, at=_AT))
    begun(told, new_call(told, 1, at=_AT + _LEASE, name="call-2"))

    submitted(told, call(1, at=_AT, answer=Answer.REFUSED, unsent=(1,)))

    assert _sent_under(told)[0] == 1


def test_of_a_call_whose_worker_is_gone_the_next_one_says_so(told: Ledger) -> None:
    begun(told, new_call(told, 1, at=_AT))

    begun(told, new_call(told, 1, at=_AT + _LEASE, name="call-2"))

    assert _outcomes(told) == [("unknown", calls_begun.WORKER_GONE), ("unknown", None)]


def test_a_worker_that_was_not_gone_after_all_says_what_came_of_its_call(told: Ledger) -> None:
    begun(told, new_call(told, 1, at=_AT))
    begun(told, new_call(told, 1, at=_AT + _LEASE, name="call-2"))

    submitted(told, call(1, at=_AT))

    assert _outcomes(told)[0] == ("taken", None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, MissedReason.SENT_UNCONFIRMED),
        (Answer.UNKNOWN, MissedReason.SENT_UNCONFIRMED),
        (Answer.REFUSED, MissedReason.ABANDONED),
        (Answer.TAKEN, MissedReason.ABANDONED),
    ],
)
def test_a_submission_that_the_guardian_misses_says_whether_a_call_may_have_arrived(
    told: Ledger, answer: Answer | None, reason: MissedReason
) -> None:
    begun(told, new_call(told, 1, at=_AT))
    if answer is not None:
        submitted(told, call(1, at=_AT, answer=answer, unsent=(1,)))

    with told.write() as connection:
        overdue = take_overdue(connection, DEADLINE, 10)

    assert [(each.obligation_id, each.reason) for each in overdue] == [(f"groups.submit:{G}:1", reason)]
    assert _reason(told) == reason


def test_what_an_earlier_revision_has_sent_is_known_to_the_guardian(told: Ledger) -> None:
    submitted(told, call(1, at=_AT, answer=Answer.UNKNOWN))
    hear(told, heads_up(LATER, told_at=_AT))
    claim_group(told, "submit", 2, now=LATER - MARGIN)

    with told.write() as connection:
        (overdue,) = take_overdue(connection, LATER, 10)

    assert overdue.reason is MissedReason.SENT_UNCONFIRMED


def test_calls_under_way_take_no_place_among_those_that_say_how_quick_the_vendor_is(told: Ledger) -> None:
    submitted(told, call(1, at=_AT, name="call-0"))
    _begin_many(told, 60, _AT)

    with told.read() as connection:
        assert seconds_per_call(connection) == 1.0
        assert unconfirmed.unconfirmed(connection, G, 1) == 1


def test_a_margin_is_left_by_calls_that_were_taken_only(told: Ledger) -> None:
    submitted(told, call(1, at=_AT))
    submitted(told, call(2, at=_AT + 10 * SECOND, answer=Answer.REFUSED, name="call-2"))

    (revision,) = revision_rows(told)
    assert (revision.last_call_at, revision.margin_ms) == (_AT, 60_000)
    assert revision.first_call_at == _AT - SECOND


def test_a_late_answer_and_a_word_of_the_vendor_do_not_wait_for_each_other_in_a_ring(told: Ledger) -> None:
    begun(told, new_call(told, 1, at=_AT))
    miss_what_is_left(told, 1, DEADLINE)
    counts: list[int] = []
    late = threading.Thread(target=lambda: counts.append(submitted(told, call(1, at=DEADLINE))))

    with told.write() as connection:
        connection.execute(select(groups).where(groups.c.id == G).with_for_update())
        late.start()
        late.join(0.3)
        assert late.is_alive(), "it waits for the group before it touches anything of it"
        hear_many(connection, [heads_up(LATER, told_at=DEADLINE + SECOND)])
    late.join()

    assert counts == [2]


def _begin_many(ledger: Ledger, count: int, at: datetime) -> None:
    first = new_call(ledger, 2, at=at)
    for number in range(count):
        again = new_call(ledger, 2, at=at, name=f"call-{number:03}", claimed=first.claimed)
        assert begun(ledger, again)


def _reason(ledger: Ledger) -> str:
    with ledger.read() as connection:
        asked = select(obligations.c.reason).where(obligations.c.id == f"groups.submit:{G}:1")
        return str(connection.execute(asked).scalar_one())
