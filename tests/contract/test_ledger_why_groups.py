"""What happened to one customer in groups: which group and chunk, which calls carried him, and how it ended."""

from dataclasses import replace

from clearance.ledger import why
from clearance.ledger.decisions import Answer
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import Cause, ChunkState, EndedAs
from clearance.ledger.why_facts import Story
from clearance.obligations import State
from tests.fakes.clock import START
from tests.fakes.owed import accept, notification
from tests.fakes.told_groups import (
    APPROVED,
    CAMPAIGN,
    DEADLINE,
    MINUTE,
    REFUSED,
    SECOND,
    Work,
    hear,
    submitted_group,
)


def _stories(
    ledger: Ledger, customer_id: str = "C1", *, campaign_id: str | None = None, last: int = 20
) -> list[Story]:
    with ledger.read() as connection:
        return why.stories(connection, customer_id, campaign_id=campaign_id, last=last)


def test_a_customer_of_a_group_is_told_of_with_his_chunk_the_call_and_what_was_owed(ledger: Ledger) -> None:
    submitted_group(ledger)

    (story,) = _stories(ledger, "C2")

    assert (story.subject, story.asked) == ("g1:1", None)
    assert story.question is not None
    assert (story.question.kind, story.question.vendor_id) == ("send_group", "7")
    assert (story.question.series_id, story.question.occurrence_id) == ("111", "222")
    assert (story.question.received_at, story.question.deadline_at) == (START, DEADLINE)
    assert story.decided is not None
    assert story.decided.decision == REFUSED
    assert story.group is not None
    assert (story.group.chunk, story.group.chunk_state) == (1, ChunkState.SUBMITTED)
    assert (story.group.submitted_at, story.group.ended_as) == (DEADLINE - 29.5 * SECOND, EndedAs.SUBMITTED)
    (call,) = story.sent
    assert (call.sent_at, call.status, call.is_certain) == (DEADLINE - 30 * SECOND, 200, True)
    # Nobody took the obligation to submit in this test; that of another number of the group is none of his.
    assert [(owed.obligation_id, owed.state) for owed in story.owed] == [
        ("groups.review:g1:1:1", State.DONE),
        ("groups.submit:g1:1", State.OPEN),
    ]


def test_only_the_call_that_took_his_chunk_is_his_for_certain(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"], ["C2"])
    work.call(answer=Answer.UNKNOWN, at=START + 30 * SECOND)  # before he was decided
    work.decide(1, ("C1", APPROVED))
    work.decide(2, ("C2", APPROVED))
    work.call(answer=Answer.UNKNOWN, at=DEADLINE - 50 * SECOND)
    work.call(2, at=DEADLINE - 40 * SECOND)
    work.call(1, at=DEADLINE - 30 * SECOND)
    work.call(answer=Answer.UNKNOWN, at=DEADLINE - 20 * SECOND)  # after his was taken

    (story,) = _stories(ledger, "C1")

    assert [(call.sent_at, call.answer, call.is_certain) for call in story.sent] == [
        (DEADLINE - 50 * SECOND, Answer.UNKNOWN, False),
        (DEADLINE - 30 * SECOND, Answer.TAKEN, True),
    ]


def test_who_was_given_up_is_told_that_nothing_was_decided_in_time(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"], ["C2"])
    work.decide(2, ("C2", APPROVED))
    work.call(2)
    work.miss(1)

    (story,) = _stories(ledger, "C1")

    assert story.decided is not None
    assert story.decided.decision.reasons == ("NOT_DECIDED_IN_TIME",)
    assert story.group is not None
    assert (story.group.chunk_state, story.group.submitted_at) == (ChunkState.MISSED, None)
    assert story.sent == ()


def test_who_was_decided_but_not_sent_may_have_been_in_a_call_that_failed(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"], ["C2"])
    work.decide(1, ("C1", APPROVED))
    work.decide(2, ("C2", APPROVED))
    work.call(answer=Answer.REFUSED, at=DEADLINE - 50 * SECOND)
    work.call(2, at=DEADLINE - 40 * SECOND)
    work.miss(1)

    (story,) = _stories(ledger, "C1")

    assert [(call.answer, call.is_certain) for call in story.sent] == [(Answer.REFUSED, False)]


def test_no_more_than_the_newest_few_calls_are_told(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"])
    work.decide(1, ("C1", APPROVED))
    for number in range(15):
        work.call(answer=Answer.UNKNOWN, at=DEADLINE - (20 - number) * SECOND)

    (story,) = _stories(ledger, "C1")

    assert [call.sent_at for call in story.sent] == [DEADLINE - (15 - n) * SECOND for n in range(10)]


def test_a_deadline_that_moved_is_told_as_it_was_when_he_was_submitted(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"])
    work.decide(1, ("C1", APPROVED))
    later = DEADLINE + 10 * MINUTE
    hear(ledger, deadline_at=later, at=START + 2 * MINUTE)
    replace(work, revision=2).call(1)

    (story,) = _stories(ledger)

    assert story.group is not None
    assert (story.group.revision, story.group.cause, story.group.deadline_at) == (2, Cause.MOVED, later)
    assert story.group.received_at == START
    assert [owed.obligation_id for owed in story.owed] == ["groups.review:g1:1:1", "groups.submit:g1:2"]


def test_a_group_that_came_again_is_a_story_for_each_time_he_was_decided(ledger: Ledger) -> None:
    submitted_group(ledger)
    again = DEADLINE + MINUTE
    hear(ledger, deadline_at=DEADLINE + 60 * MINUTE, at=again)
    work = Work(ledger=ledger, generation=2, revision=2)
    work.fetch(["C1"], at=again)
    work.decide(1, ("C1", REFUSED), at=again + SECOND)

    second, first = _stories(ledger)

    assert (second.subject, first.subject) == ("g1:2", "g1:1")
    assert second.group is not None
    assert first.group is not None
    assert (second.group.revision, second.group.chunk_state) == (2, ChunkState.DECIDED)
    assert (first.group.revision, first.group.chunk_state) == (1, ChunkState.SUBMITTED)
    assert (len(second.sent), len(first.sent)) == (0, 1)


def test_what_was_not_submitted_is_told_with_the_deadline_that_it_missed(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"])
    work.miss(1)
    work.end(at=DEADLINE + SECOND, is_over=True)
    hear(ledger, deadline_at=DEADLINE + 60 * MINUTE, at=DEADLINE + MINUTE)

    (story,) = _stories(ledger)

    assert story.group is not None
    assert (story.group.deadline_at, story.group.ended_as) == (DEADLINE, EndedAs.MISSED)
    assert [owed.obligation_id for owed in story.owed] == ["groups.review:g1:1:1", "groups.submit:g1:1"]


def test_groups_and_questions_about_him_alone_are_told_together_newest_first(ledger: Ledger) -> None:
    accept(ledger, notification("a", now=START + 2 * MINUTE), notification("b", now=START))
    submitted_group(ledger)  # decided a minute after the start

    assert [story.subject for story in _stories(ledger)] == ["n-a", "g1:1", "n-b"]
    assert [story.subject for story in _stories(ledger, last=2)] == ["n-a", "g1:1"]


def test_a_campaign_is_named_by_its_series_its_occurrence_or_the_vendors_group(ledger: Ledger) -> None:
    submitted_group(ledger, "g1", vendor_id="7")
    submitted_group(ledger, "g2", vendor_id="8", campaign=replace(CAMPAIGN, occurrence_id="333"))
    submitted_group(ledger, "g3", vendor_id="9", campaign=replace(CAMPAIGN, series_id="444"))

    def named(campaign_id: str, last: int = 20) -> set[str]:
        return {story.subject for story in _stories(ledger, campaign_id=campaign_id, last=last)}

    assert named("111") == {"g1:1", "g2:1"}
    assert named("333") == {"g2:1"}
    assert named("9") == {"g3:1"}
    assert named("22") == set()
    assert len(named("111", last=1)) == 1
