"""A group's customers on their way through the ledger: stored once, decided once, submitted once, or missed."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select

from clearance.decisions.decision import Customer, Decision
from clearance.ledger import chunks, decisions_in_bulk, submissions, why
from clearance.ledger.chunk_bodies import dump_customers, load_answers, load_customers
from clearance.ledger.decisions import Answer, stand_many
from clearance.ledger.earlier_answers import submitted_answers
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import EndedAs
from clearance.ledger.tables import approvals, decision_inputs, decisions
from tests.contract.scheduled import (
    DEADLINE,
    LATER,
    MARGIN,
    SECOND,
    G,
    call,
    chunk,
    chunk_rows,
    claim_chunk,
    claimed_of,
    decision,
    end,
    fetched,
    finish_review,
    group_row,
    heads_up,
    hear,
    miss_what_is_left,
    next_numbers,
    review,
    revision_rows,
    store,
    submitted,
    write,
)
from tests.fakes.clock import START
from tests.fakes.owed import row as obligation_row


def decided(ledger: Ledger) -> dict[str, tuple[bool, tuple[str, ...], int | None]]:
    """What stands about each customer, and in which chunk he came."""
    with ledger.read() as connection:
        rows = connection.execute(select(decisions)).all()
    return {row.customer_id: (row.approved, row.reasons, row.chunk) for row in rows}


@pytest.fixture
def told(ledger: Ledger) -> Ledger:
    """A ledger that knows of the group."""
    hear(ledger, heads_up())
    return ledger


def test_a_chunk_is_stored_with_the_review_that_it_is_owed(told: Ledger) -> None:
    added, other = store(told, chunk(1, "a", "b"), chunk(2, "c"))

    assert added.is_wanted
    assert added.is_new
    assert added.review is not None
    assert added.review.obligation_id == f"groups.review:{G}:1:1"
    assert obligation_row(told, added.review.obligation_id).deadline_at == DEADLINE - SECOND
    assert other.is_new
    assert (group_row(told).fetched, group_row(told).chunk_count) == (3, 2)
    held = claim_chunk(told, 1)
    assert held is not None
    assert held.customers() == list(chunk(1, "a", "b").customers)
    assert held.campaign == heads_up().heads_up.campaign


def test_a_chunk_stored_again_changes_nothing(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"))

    (again,) = store(told, chunk(1, "x", "y", "z"))

    assert (again.is_wanted, again.is_new, again.review) == (True, False, None)
    assert group_row(told).fetched == 2
    held = claim_chunk(told, 1)
    assert held is not None
    assert [each.customer_id for each in held.customers()] == ["a", "b"]


def test_a_repeated_fetch_knows_whom_it_has_stored_whatever_became_of_them(told: Ledger) -> None:
    store(told, *(chunk(number, f"c{number}", f"d{number}") for number in range(1, 46)))
    review(told, 7)

    with told.read() as connection:
        stored = chunks.stored(connection, G, 1)

    names = {f"{letter}{number}" for letter in "cd" for number in range(1, 46)}
    assert stored.seen == {chunks.seen_key(name) for name in names}
    assert (stored.last_number, stored.customers) == (45, 90)


@pytest.mark.parametrize("generation", [2, 0])
def test_a_chunk_of_another_generation_is_not_wanted(told: Ledger, generation: int) -> None:
    assert not store(told, chunk(1, "a", generation=generation))[0].is_wanted
    assert chunk_rows(told) == []


def test_a_decided_chunk_has_its_answers_and_no_body(told: Ledger) -> None:
    store(told, chunk(1, "a", "b", "c"))

    review(told, 1, refused=["b", "c"])

    (row,) = chunk_rows(told)
    assert (row.state, row.body, row.approved) == ("decided", None, 1)
    assert load_answers(row.answers) == [("a", True), ("b", False), ("c", False)]
    assert row.reasons == '{"TOO_YOUNG":2,"WRONG_COUNTRY":2}'
    assert decided(told) == {
        "a": (True, "[]", 1),
        "b": (False, '["TOO_YOUNG", "WRONG_COUNTRY"]', 1),
        "c": (False, '["TOO_YOUNG", "WRONG_COUNTRY"]', 1),
    }


def test_reasons_are_counted_for_those_who_are_not_approved(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"))
    held = claim_chunk(told, 1)
    assert held is not None
    approved = decision("a", 1)
    noted = replace(approved, decision=replace(approved.decision, reasons=("NO_POLICY",)))

    finish_review(told, held, [noted, decision("b", 1, approved=False)])

    assert chunk_rows(told)[0].reasons == '{"TOO_YOUNG":1,"WRONG_COUNTRY":1}'


def test_a_chunk_decided_twice_keeps_what_was_decided_first(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"))
    slow = claim_chunk(told, 1)
    assert slow is not None
    late = START + timedelta(minutes=1)
    review(told, 1, now=late)
    before = chunk_rows(told)

    assert not finish_review(told, slow, [decision("a", 1, approved=False), decision("b", 1)])

    assert chunk_rows(told) == before
    assert decided(told)["a"][0] is True
    assert claim_chunk(told, 1, now=late) is None


def test_a_decision_that_stood_already_is_what_the_chunk_answers(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"))
    write(told, stand_many, [decision("b", 1, approved=False)])

    review(told, 1)

    (row,) = chunk_rows(told)
    assert load_answers(row.answers) == [("a", True), ("b", False)]
    assert row.approved == 1


def test_decisions_written_in_bulk_read_like_those_written_one_by_one(told: Ledger) -> None:
    inputs = b"{}"
    one = decision("'q\"\\\n\t\u00e9\U0001f600", 4, approved=False)
    given_inputs = [
        decisions_in_bulk.NewDecision(
            subject=f"s{number}",
            customer_id=one.customer_id,
            decision=one.decision,
            inputs_digest="d",
            decided_at=START,
            inputs=inputs,
            chunk=4,
        )
        for number in (1, 2)
    ]

    write(told, stand_many, given_inputs[:1])
    assert write(told, decisions_in_bulk.stand_in_bulk, given_inputs[1:]) == [one.decision]

    with told.read() as connection:
        first, second = connection.execute(select(decisions).order_by(decisions.c.subject)).all()
        assert tuple(first)[1:] == tuple(second)[1:]
        assert len(connection.execute(select(decision_inputs)).all()) == 2


def test_two_who_decide_the_same_chunk_at_once_agree_on_what_stands(told: Ledger) -> None:
    names = [f"c{number:03}" for number in range(300)]
    store(told, chunk(1, *names))
    first = claim_chunk(told, 1)
    second = claim_chunk(told, 1, now=START + timedelta(minutes=1))
    assert first is not None
    assert second is not None
    together, ours = threading.Barrier(2), []

    def decide(held: chunks.ClaimedChunk, *, approved: bool) -> None:
        together.wait()
        ours.append(finish_review(told, held, [decision(name, 1, approved=approved) for name in names]))

    threads = [
        threading.Thread(target=decide, args=(first,), kwargs={"approved": True}),
        threading.Thread(target=decide, args=(second,), kwargs={"approved": False}),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ours) == [False, True], "only the one who holds it now has finished it"
    (row,) = chunk_rows(told)
    assert len({approved for approved, _, _ in decided(told).values()}) == 1
    assert load_answers(row.answers) == [(name, decided(told)[name][0]) for name in names]


def test_a_call_carries_whole_chunks_up_to_its_limit(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"), chunk(2, "c", "d"), chunk(3, "e"), chunk(4, "f"))
    for number in (4, 2, 1):
        review(told, number)

    assert next_numbers(told, limit=3) == (1,)
    assert next_numbers(told, limit=4) == (1, 2)
    assert next_numbers(told, limit=100) == (1, 2, 4)
    assert next_numbers(told, limit=1) == (1,), "at least one chunk, or nothing would ever be sent"
    with told.read() as connection:
        found = submissions.next_decided(connection, G, 1, 100, after=1)
    assert found is not None
    assert found.answers == [("c", True), ("d", True), ("f", True)]


def test_a_call_that_was_taken_submits_its_chunks_once(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"), chunk(2, "c"))
    review(told, 1)
    review(told, 2)
    at = DEADLINE - MARGIN

    assert submitted(told, call(1, at=at)) == 2
    assert submitted(told, call(1, at=at)) == 0, "the commit was lost, and is repeated"

    assert next_numbers(told) == (2,)
    (revision,) = revision_rows(told)
    assert (revision.submitted, revision.margin_ms) == (2, 60_000)
    assert (revision.first_call_at, revision.last_call_at) == (at - SECOND, at)
    first = chunk_rows(told)[0]
    assert (first.state, first.submitted_at, first.submitted_revision) == ("submitted", at, 1)
    with told.read() as connection:
        assert [(each.id, each.revision) for each in connection.execute(select(approvals))] == [("call-1", 1)]


@pytest.mark.parametrize("answer", [Answer.REFUSED, Answer.UNKNOWN])
def test_a_call_that_was_not_taken_is_noted_and_its_chunks_are_sent_again(
    told: Ledger, answer: Answer
) -> None:
    store(told, chunk(1, "a"))
    review(told, 1)

    assert submitted(told, call(1, at=DEADLINE - MARGIN, answer=answer)) == 0

    assert next_numbers(told) == (1,)
    (revision,) = revision_rows(told)
    assert revision.first_call_at is not None
    assert (revision.last_call_at, revision.margin_ms) == (None, None), "of calls that were taken"


def test_the_margin_is_that_of_the_last_call_in_whatever_order_calls_are_noted(told: Ledger) -> None:
    store(told, chunk(1, "a"), chunk(2, "b"))
    review(told, 1)
    review(told, 2)

    submitted(told, call(2, at=DEADLINE - 10 * SECOND, name="later"))
    submitted(told, call(1, at=DEADLINE - 20 * SECOND, name="earlier"))

    (revision,) = revision_rows(told)
    assert (revision.submitted, revision.margin_ms) == (2, 10_000)


def test_a_revision_ends_submitted_when_all_are_fetched_and_submitted_and_not_before(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"), chunk(2, "c"))
    at = DEADLINE - MARGIN
    review(told, 1)
    submitted(told, call(1, at=at))
    assert end(told, 1, at, is_over=False).chunks_left == 1
    review(told, 2)
    submitted(told, call(2, at=at, name="call-2"))
    assert end(told, 1, at, is_over=False).ended is None, "there may be more customers"
    fetched(told)

    ended = end(told, 1, at, is_over=False).ended

    assert ended is not None
    assert (ended.ended_as, ended.submitted, ended.missed, ended.margin_s) == (EndedAs.SUBMITTED, 3, 0, 60.0)
    assert (group_row(told).state, group_row(told).finished_at) == ("submitted", at)
    assert end(told, 1, DEADLINE, is_over=True).ended is None, "it ends once"
    assert {each.answers for each in chunk_rows(told)} == {None}
    assert next_numbers(told) is None


def test_who_is_not_answered_by_the_deadline_is_missed_with_the_reason(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"), chunk(2, "c"), chunk(3, "d", "e", "f"))
    review(told, 1)
    review(told, 2)
    submitted(told, call(1, at=DEADLINE - SECOND))

    assert end(told, 1, DEADLINE, is_over=True).chunks_left == 2
    assert miss_what_is_left(told, 1, DEADLINE) == [1, 3]
    assert miss_what_is_left(told, 1, DEADLINE) == []
    ended = end(told, 1, DEADLINE, is_over=True).ended

    assert ended is not None
    assert (ended.ended_as, ended.submitted, ended.not_sent, ended.not_decided) == (EndedAs.MISSED, 2, 1, 3)
    assert group_row(told).state == "missed"
    assert decided(told)["c"] == (True, "[]", 2)
    assert decided(told)["e"] == (False, '["NOT_DECIDED_IN_TIME"]', 3)
    with told.read() as connection:
        (story,) = why.stories(connection, "d", last=5)
    assert story.decided is not None
    assert story.decided.decision == Decision(
        approved=False, reasons=("NOT_DECIDED_IN_TIME",), rules_version=""
    )
    assert [each.state for each in chunk_rows(told)] == ["submitted", "missed", "missed"]
    assert all(each.body is None for each in chunk_rows(told))


def test_customers_who_never_came_are_counted_as_far_as_they_were_told_of(ledger: Ledger) -> None:
    hear(ledger, heads_up(expected=10))
    store(ledger, chunk(1, "a"))
    review(ledger, 1)
    submitted(ledger, call(1, at=DEADLINE - SECOND))

    ended = end(ledger, 1, DEADLINE, is_over=True).ended

    assert ended is not None
    assert (ended.ended_as, ended.not_fetched, ended.missed) == (EndedAs.MISSED, 9, 9)


def test_a_review_that_comes_after_its_chunk_was_given_up_changes_nothing(told: Ledger) -> None:
    store(told, chunk(1, "a"))
    held = claim_chunk(told, 1)
    assert held is not None
    miss_what_is_left(told, 1, DEADLINE)

    finish_review(told, held, [decision("a", 1)])

    assert decided(told)["a"][:2] == (False, '["NOT_DECIDED_IN_TIME"]')
    assert chunk_rows(told)[0].state == "missed"


def test_an_answer_that_came_after_the_books_were_closed_still_counts(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"))
    review(told, 1)
    fetched(told)
    miss_what_is_left(told, 1, DEADLINE)
    ended = end(told, 1, DEADLINE, is_over=True).ended
    assert ended is not None
    assert ended.ended_as is EndedAs.MISSED

    assert submitted(told, call(1, at=DEADLINE + SECOND)) == 2

    (revision,) = revision_rows(told)
    assert (revision.ended_as, revision.submitted, revision.not_sent) == ("submitted", 2, 0)
    assert group_row(told).state == "submitted"


def test_what_was_last_submitted_about_a_customer_is_known_in_a_later_generation(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"), chunk(2, "c"))
    review(told, 1, refused=["b"])
    review(told, 2)
    submitted(told, call(1, at=START))
    miss_what_is_left(told, 1, DEADLINE)
    end(told, 1, DEADLINE, is_over=True)
    hear(told, heads_up(LATER, told_at=DEADLINE + SECOND))

    with told.read() as connection:
        found = submitted_answers(connection, G, 2, ["a", "b", "c", "x"])
        assert submitted_answers(connection, G, 1, ["a"]) == {}

    assert found == {"a": True, "b": False}, "what was decided but not sent was not told"


def test_the_newest_of_several_submitted_answers_counts(told: Ledger) -> None:
    for generation, refused in ((1, ["a"]), (2, [])):
        at = DEADLINE + generation * MARGIN
        store(told, chunk(1, "a", "b", generation=generation, now=at))
        review(told, 1, generation=generation, refused=refused, now=at)
        submitted(told, call(1, at=at, generation=generation, revision=generation, name=f"call-{generation}"))
        fetched(told, generation=generation, now=at)
        assert end(told, generation, at, is_over=False).ended
        hear(told, heads_up(LATER + generation * MARGIN, told_at=at))

    with told.read() as connection:
        assert submitted_answers(connection, G, 3, ["a", "b"]) == {"a": True, "b": True}


def test_progress_counts_customers_by_what_became_of_them(told: Ledger) -> None:
    store(told, chunk(1, "a", "b"), chunk(2, "c"), chunk(3, "d", "e", "f"))
    review(told, 1, refused=["b"])
    review(told, 2)
    submitted(told, call(1, at=START))

    with told.read() as connection:
        progress = submissions.progress(connection, G)
        assert submissions.progress(connection, "nobody") is None

    assert progress is not None
    assert (progress.submitted, progress.decided, progress.undecided) == (2, 1, 3)
    assert (progress.approved, progress.chunks_left, progress.is_complete) == (2, 2, False)
    assert claimed_of(claim_chunk(told, 3)).subject == f"{G}:1:3"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
_TEXTS = st.text(st.characters(exclude_categories=[]))


_INFINITE = Customer(customer_id="a", attributes={"nested": [{"value": float("inf")}]})


@example([_INFINITE])
@given(
    st.lists(
        st.builds(
            Customer,
            customer_id=_TEXTS,
            attributes=st.dictionaries(_TEXTS, _VALUES | _TEXTS, max_size=3),
            promo_codes=st.lists(_TEXTS, max_size=2).map(tuple),
            is_hashed=st.booleans(),
            is_visitor=st.booleans(),
        ),
        max_size=4,
    )
)
def test_customers_come_back_from_a_body_as_they_were_sent(sent: list[Customer]) -> None:
    assert load_customers(dump_customers(sent)) == sent
