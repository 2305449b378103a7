"""What operators read of groups and occurrences: how each stands, from the rows that the workers' operations make."""

from dataclasses import replace
from datetime import timedelta

import pytest

from clearance.ledger import group_reads, occurrence_reads
from clearance.ledger.decisions import Answer
from clearance.ledger.engine import Ledger
from clearance.ledger.group_details import Details, details
from clearance.ledger.group_facts import Cause, ChunkState, EndedAs, GroupState
from clearance.ledger.group_reads import Chunks, Standing
from clearance.ledger.occurrence_reads import Occurrence
from clearance.obligations import State
from tests.fakes.clock import START
from tests.fakes.told_groups import (
    APPROVED,
    CAMPAIGN,
    DEADLINE,
    MINUTE,
    REFUSED,
    SECOND,
    Work,
    cancel,
    hear,
    submitted_group,
)


def _listed(ledger: Ledger, **asked: object) -> list[str]:
    with ledger.read() as connection:
        found = group_reads.listed(connection, **({"last": 10} | asked))  # type: ignore[arg-type]  # names of its own arguments
    return [each.group.group_id for each in found]


def _details(ledger: Ledger, name: str = "g1") -> Details:
    with ledger.read() as connection:
        (group,) = group_reads.named(connection, name)
        return details(connection, group)


def _standing(ledger: Ledger, name: str = "g1") -> Standing:
    return _details(ledger, name).standing


def _occurrences(ledger: Ledger, last: int = 10) -> list[Occurrence]:
    with ledger.read() as connection:
        return occurrence_reads.newest(connection, last)


def test_a_group_that_was_only_told_of_has_nothing_yet_and_owes_everything(ledger: Ledger) -> None:
    hear(ledger)

    told = _details(ledger)

    assert told.standing.chunks_by_state == {}
    assert (told.standing.decided, told.standing.approved, told.standing.submitted) == (0, 0, 0)
    assert not told.standing.is_reviewed
    assert [(each.step, each.state) for each in told.owed] == [
        ("fetch", State.OPEN),
        ("submit", State.OPEN),
        ("close", State.OPEN),
    ]
    (revision,) = told.revisions
    assert (revision.cause, revision.ended_as, revision.margin_ms) == (Cause.FIRST, None, None)
    assert (told.calls, told.reasons) == ((), {})


def test_a_group_on_its_way_tells_its_chunks_by_state_and_its_answers(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1", "C2"], ["C3"], ["C4"], is_all=False)
    work.decide(1, ("C1", APPROVED), ("C2", REFUSED))
    work.decide(2, ("C3", REFUSED))
    work.call(1)

    told = _details(ledger)

    assert told.standing.chunks_by_state == {
        ChunkState.SUBMITTED: Chunks(count=1, customers=2),
        ChunkState.DECIDED: Chunks(count=1, customers=1),
        ChunkState.FETCHED: Chunks(count=1, customers=1),
    }
    assert (told.standing.decided, told.standing.approved, told.standing.submitted) == (3, 1, 2)
    assert told.reasons == {"NO_CONSENT": 2, "UNDER_AGE": 2}


def test_a_group_is_reviewed_when_all_came_and_all_are_decided(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"], is_all=False)
    work.decide(1, ("C1", APPROVED))
    assert not _standing(ledger).is_reviewed

    work.fetch(["C2"], first=2)
    assert not _standing(ledger).is_reviewed

    work.decide(2, ("C2", APPROVED))
    assert _standing(ledger).is_reviewed


def test_calls_are_told_newest_first_with_what_became_of_each(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1", "C2"])
    work.decide(1, ("C1", APPROVED), ("C2", APPROVED))
    work.call(answer=Answer.UNKNOWN, at=DEADLINE - 40 * SECOND, error="optimove: no answer")
    work.call(1, at=DEADLINE - 30 * SECOND)

    told = _details(ledger)

    assert [(call.answer, call.status, call.error) for call in told.calls] == [
        (Answer.TAKEN, 200, None),
        (Answer.UNKNOWN, None, "optimove: no answer"),
    ]
    assert told.calls[0].answered_at == DEADLINE - 29.5 * SECOND
    assert told.revisions[0].margin_ms == 29_500


def test_who_was_not_decided_in_time_is_counted_with_that_reason(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1", "C2"], ["C3"])
    work.decide(2, ("C3", REFUSED))
    work.miss(1, 2)
    work.end(at=DEADLINE + 2 * SECOND, is_over=True)

    told = _details(ledger)

    assert told.standing.group.state is GroupState.MISSED
    assert (told.standing.not_decided, told.standing.decided, told.standing.submitted) == (2, 1, 0)
    assert told.reasons == {"NOT_DECIDED_IN_TIME": 2, "NO_CONSENT": 1, "UNDER_AGE": 1}
    (revision,) = told.revisions
    assert (revision.ended_as, revision.not_decided, revision.not_sent) == (EndedAs.MISSED, 2, 1)


def test_a_group_that_comes_again_stands_as_its_newest_generation_does(ledger: Ledger) -> None:
    submitted_group(ledger)
    hear(ledger, deadline_at=DEADLINE + 60 * MINUTE, at=DEADLINE)
    Work(ledger=ledger, generation=2, revision=2).fetch(["C1"], at=DEADLINE)

    told = _details(ledger)

    assert told.standing.chunks_by_state == {ChunkState.FETCHED: Chunks(count=1, customers=1)}
    assert (told.standing.decided, told.standing.submitted) == (0, 0)
    assert [(each.revision, each.cause, each.submitted) for each in told.revisions] == [
        (2, Cause.AGAIN, 0),
        (1, Cause.FIRST, 4),
    ]
    assert [call.revision for call in told.calls] == [1]
    assert [(each.step, each.state) for each in told.owed] == [
        ("fetch", State.DONE),
        ("submit", State.OPEN),
        ("close", State.OPEN),
    ]


def test_groups_are_listed_by_deadline_and_only_those_that_are_asked_for(ledger: Ledger) -> None:
    other = replace(CAMPAIGN, occurrence_id="333")
    for hours in range(1, 4):
        late = START + timedelta(hours=hours)
        hear(
            ledger,
            f"g{hours}",
            vendor_id=f"{hours}",
            deadline_at=late,
            campaign=other if hours == 2 else CAMPAIGN,
        )
    cancel(ledger, vendor_id="3")

    assert _listed(ledger) == ["g3", "g2", "g1"]
    assert _listed(ledger, last=2) == ["g3", "g2"]
    assert _listed(ledger, state=GroupState.OPEN) == ["g2", "g1"]
    assert _listed(ledger, occurrence_id="333") == ["g2"]
    two = START + timedelta(hours=2)
    assert _listed(ledger, deadline_before=two) == ["g1"]
    assert _listed(ledger, deadline_after=two) == ["g3"]
    assert _listed(ledger, deadline_after=START, deadline_before=two, state=GroupState.MISSED) == []


def test_a_group_is_found_by_our_id_and_by_the_vendors(ledger: Ledger) -> None:
    hear(ledger, "g1", vendor_id="7")
    hear(ledger, "g2", vendor_id="7", api="v1")
    hear(ledger, "g3", vendor_id="g1")

    def named(name: str) -> list[str]:
        with ledger.read() as connection:
            return [group.group_id for group in group_reads.named(connection, name)]

    assert named("g1") == ["g1"]
    assert named("7") == ["g2", "g1"]
    assert named("8") == []


def test_an_occurrence_is_all_its_groups_in_their_order(ledger: Ledger) -> None:
    hear(ledger, "late", vendor_id="1", order=3)
    submitted_group(ledger, "first", vendor_id="2", order=1, deadline_at=DEADLINE)
    hear(ledger, "none", vendor_id="3", order=None)
    hear(ledger, "other", vendor_id="4", campaign=replace(CAMPAIGN, occurrence_id=""))

    (occurrence,) = _occurrences(ledger)

    assert (occurrence.occurrence_id, occurrence.series_id) == ("222", "111")
    assert [each.group.group_id for each in occurrence.groups] == ["first", "late", "none"]
    assert (occurrence.expected, occurrence.unique_customers) == (3, 9)
    assert (occurrence.reviewed, occurrence.count(GroupState.SUBMITTED)) == (1, 1)
    with ledger.read() as connection:
        assert occurrence_reads.one(connection, "222") == occurrence
        assert occurrence_reads.one(connection, "") is None


def test_an_occurrence_is_what_was_said_of_it_last(ledger: Ledger) -> None:
    hear(ledger, "g1", vendor_id="1", total_groups=4, at=START + SECOND)
    hear(ledger, "g2", vendor_id="2", total_groups=3, at=START, deadline_at=DEADLINE + MINUTE)

    (occurrence,) = _occurrences(ledger)

    assert occurrence.expected == 4


@pytest.mark.parametrize("last", [1, 2, 5])
def test_the_occurrences_with_the_latest_deadlines_are_told_first(ledger: Ledger, last: int) -> None:
    for number, hours in enumerate((2, 1, 3, 5)):
        occurrence = replace(CAMPAIGN, occurrence_id=f"o{number % 3}")
        late = START + timedelta(hours=hours)
        hear(ledger, f"g{number}", vendor_id=f"{number}", campaign=occurrence, deadline_at=late)

    found = _occurrences(ledger, last)

    assert [each.occurrence_id for each in found] == ["o0", "o2", "o1"][:last]
    assert len(found[0].groups) == 2
