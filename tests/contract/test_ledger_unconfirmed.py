"""What the vendor may have without our knowing, and whether it was us who ended a revision."""

from datetime import datetime, timedelta

import pytest

from clearance.ledger import closing, endings, group_calls, unconfirmed
from clearance.ledger.decisions import Answer
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import EndedAs
from tests.contract.scheduled import (
    DEADLINE,
    HOUR,
    LATER,
    SECOND,
    G,
    call,
    chunk,
    chunk_rows,
    claim_group,
    end,
    fetched,
    heads_up,
    hear,
    miss_what_is_left,
    next_numbers,
    review,
    store,
    write,
)
from tests.fakes.clock import START

_CALLED_AT = DEADLINE - 10 * SECOND


@pytest.fixture
def told(ledger: Ledger) -> Ledger:
    """Three customers in two chunks, decided."""
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a", "b"), chunk(2, "c"))
    fetched(ledger)
    review(ledger, 1)
    review(ledger, 2)
    return ledger


def _call(ledger: Ledger, *numbers: int, answer: Answer, name: str = "call-1") -> int:
    (customers,) = write(
        ledger, group_calls.called_many, [call(*numbers, at=_CALLED_AT, answer=answer, name=name)]
    )
    return customers


def _unconfirmed(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return unconfirmed.unconfirmed(connection, G, 1)


def _before(ledger: Ledger, *names: str, generation: int = 2) -> set[str]:
    with ledger.read() as connection:
        return unconfirmed.unconfirmed_before(connection, G, generation, names)


@pytest.mark.parametrize(
    ("answer", "customers", "sent"), [(Answer.TAKEN, 2, 0), (Answer.REFUSED, 0, 0), (Answer.UNKNOWN, 0, 2)]
)
def test_only_what_has_no_answer_is_unconfirmed(
    told: Ledger, answer: Answer, customers: int, sent: int
) -> None:
    assert _call(told, 1, answer=answer) == customers

    assert _unconfirmed(told) == sent


def test_what_is_unconfirmed_may_be_sent_again_and_is_confirmed_by_that(told: Ledger) -> None:
    _call(told, 1, answer=Answer.UNKNOWN)
    assert next_numbers(told) == (1, 2)

    assert _call(told, 1, answer=Answer.TAKEN, name="call-2") == 2

    assert (_unconfirmed(told), next_numbers(told)) == (0, (2,))


def test_a_repeat_of_a_record_changes_nothing(told: Ledger) -> None:
    _call(told, 1, answer=Answer.UNKNOWN)
    before = chunk_rows(told)

    _call(told, 1, answer=Answer.UNKNOWN)

    assert chunk_rows(told) == before


def test_what_is_given_up_stays_unconfirmed(told: Ledger) -> None:
    _call(told, 1, answer=Answer.UNKNOWN)

    miss_what_is_left(told, 1, DEADLINE)

    assert _unconfirmed(told) == 2


def test_of_customers_who_come_again_those_who_were_sent_in_vain_are_known(told: Ledger) -> None:
    _call(told, 1, answer=Answer.UNKNOWN)
    _call(told, 2, answer=Answer.TAKEN, name="call-2")

    assert _before(told, "a", "b", "c", "d") == {"a", "b"}
    assert _before(told, "b", "c") == {"b"}
    assert _before(told, "a", generation=1) == set()


def test_an_attempt_that_ended_a_revision_is_told_so_afterwards(told: Ledger) -> None:
    _call(told, 1, answer=Answer.TAKEN)
    miss_what_is_left(told, 1, DEADLINE)
    ended = end(told, 1, DEADLINE, is_over=True).ended

    with told.read() as connection:
        found = endings.ended_by(connection, _end(DEADLINE))

    assert ended is not None
    assert found is not None
    assert (found.ended_as, found.submitted, found.not_sent) == (EndedAs.MISSED, 2, 1)
    assert found.margin_s == ended.margin_s == 10.0
    assert (found.not_decided, found.not_fetched, found.missed) == (0, 0, 1)


@pytest.mark.parametrize("at", [DEADLINE - SECOND, DEADLINE + timedelta(milliseconds=1), DEADLINE + HOUR])
def test_an_end_that_another_made_is_not_ours(told: Ledger, at: datetime) -> None:
    miss_what_is_left(told, 1, DEADLINE)
    end(told, 1, DEADLINE, is_over=True)

    with told.read() as connection:
        assert endings.ended_by(connection, _end(at)) is None


def test_a_revision_that_was_superseded_was_ended_by_no_attempt(told: Ledger) -> None:
    hear(told, heads_up(LATER, told_at=START + SECOND))

    with told.read() as connection:
        assert endings.ended_by(connection, _end(START + SECOND)) is None


def test_a_revision_that_a_deadline_in_the_past_has_ended_is_told_of_by_who_closes_it(told: Ledger) -> None:
    _call(told, 1, answer=Answer.TAKEN)
    hear(told, heads_up(START - HOUR, told_at=START + SECOND))
    miss_what_is_left(told, 2, START + SECOND)

    found = _by_word(told, 2)

    assert found is not None
    assert (found.ended_as, found.not_sent, found.margin_s) == (EndedAs.MISSED, 1, None)
    assert _by_word(told, 1) is None, "superseded"


def test_a_revision_that_a_word_after_its_deadline_has_ended_is_told_of_by_who_closes_it(
    told: Ledger,
) -> None:
    _call(told, 1, answer=Answer.TAKEN)
    hear(told, heads_up(LATER, told_at=DEADLINE + SECOND))
    assert claim_group(told, "close", 1, now=DEADLINE + SECOND) is not None, "it is still owed"

    found = _by_word(told, 1)

    assert found is not None
    assert (found.not_sent, found.not_fetched, found.margin_s) == (1, 0, 10.0)


def test_a_revision_that_was_closed_in_time_is_ended_by_no_word(told: Ledger) -> None:
    miss_what_is_left(told, 1, DEADLINE)
    end(told, 1, DEADLINE, is_over=True)
    hear(told, heads_up(LATER, told_at=DEADLINE + SECOND))

    assert _by_word(told, 1) is None


def _by_word(ledger: Ledger, revision: int) -> closing.Ended | None:
    with ledger.read() as connection:
        return endings.ended_by_word(connection, G, revision)


def _end(at: datetime) -> closing.End:
    return closing.End(group_id=G, revision=1, now=at, is_over=True)
