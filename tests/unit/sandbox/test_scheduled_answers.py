"""One byte a customer: what counts, and what else happened."""

import random

import pytest

from clearance.sandbox.scheduled_answers import Answer, Answers, Counts

NOTHING = {"twice": False, "reversed": False, "again": False, "changed": False, "late": False}


def _counts(**differences: int) -> Counts:
    zero = dict.fromkeys(
        ("approved", "rejected", "unanswered", "late", "twice", "reversed", "again", "changed"), 0
    )
    return Counts(**(zero | differences))


def test_the_last_answer_in_time_counts_and_a_repeat_is_told_from_a_reversal() -> None:
    answers = Answers(4)
    answers.take([(0, True), (1, False), (2, True)], is_late=False)
    answers.take([(1, False), (2, False)], is_late=False)
    assert [answers.answer(index) for index in range(4)] == [
        Answer.APPROVED,
        Answer.REJECTED,
        Answer.REJECTED,
        Answer.UNANSWERED,
    ]
    assert answers.marks(1) == NOTHING | {"twice": True}
    assert answers.marks(2) == NOTHING | {"reversed": True}
    assert answers.counts() == _counts(approved=1, rejected=2, unanswered=1, twice=1, reversed=1)


def test_what_comes_late_changes_no_answer_but_is_remembered() -> None:
    answers = Answers(3)
    answers.take([(0, False)], is_late=False)
    answers.take([(0, True), (1, True)], is_late=True)
    assert [answers.answer(index) for index in range(3)] == [
        Answer.REJECTED,
        Answer.LATE,
        Answer.UNANSWERED,
    ]
    assert answers.marks(0) == NOTHING | {"late": True}
    assert answers.counts() == _counts(rejected=1, late=1, unanswered=1)


def test_who_was_late_and_is_answered_after_the_deadline_moved_is_answered() -> None:
    answers = Answers(1)
    answers.take([(0, True)], is_late=True)
    answers.revise()
    answers.take([(0, True)], is_late=False)
    assert answers.counts() == _counts(approved=1)
    assert answers.marks(0) == NOTHING | {"late": True}


def test_an_answer_of_a_later_revision_is_again_or_changed_and_not_twice() -> None:
    answers = Answers(3)
    answers.take([(0, True), (1, True), (2, True)], is_late=False)
    answers.revise()
    answers.take([(0, True), (1, False)], is_late=False)
    assert answers.counts() == _counts(approved=2, rejected=1, again=1, changed=1)
    answers.take([(0, True)], is_late=False)
    assert answers.counts().twice == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_are_those_of_the_customers_one_by_one(seed: int) -> None:
    rng, answers = random.Random(seed), Answers(50)
    for _ in range(40):
        given = [(rng.randrange(50), rng.random() < 0.5) for _ in range(rng.randrange(8))]
        answers.take(given, is_late=rng.random() < 0.3)
        if rng.random() < 0.1:
            answers.revise()
    counts, each = answers.counts(), [answers.answer(index) for index in range(50)]
    assert counts.approved + counts.rejected + counts.unanswered + counts.late == 50
    for answer in Answer:
        assert getattr(counts, answer) == each.count(answer), f"seed {seed}"
    for mark in ("twice", "reversed", "again", "changed"):
        assert getattr(counts, mark) == sum(answers.marks(index)[mark] for index in range(50))
