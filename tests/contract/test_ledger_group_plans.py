"""What operators ask about groups and occurrences must not read a whole table, nor sort one."""

from datetime import timedelta

import pytest

from clearance.ledger import due, endings, group_reads, occurrence_reads, unconfirmed, why
from clearance.ledger.call_speed import seconds_per_call
from clearance.ledger.decisions import Answer
from clearance.ledger.engine import Ledger
from clearance.ledger.group_details import details
from clearance.ledger.group_facts import GroupState
from tests.contract import scheduled
from tests.contract.test_ledger_plans import (
    Statements,
    plan_of,
    watched,  # noqa: F401 - a fixture
    whole_tables_read,
)
from tests.fakes.clock import START
from tests.fakes.told_groups import submitted_group


def test_no_question_about_groups_reads_a_whole_table(
    watched: tuple[Ledger, Statements],  # noqa: F811 - the fixture
) -> None:
    ledger, statements = watched
    submitted_group(ledger)
    statements.clear()
    day = timedelta(days=1)
    with ledger.read() as connection:
        assert group_reads.listed(connection, last=10)
        assert group_reads.listed(connection, last=10, deadline_after=START, deadline_before=START + day)
        assert group_reads.listed(connection, last=10, occurrence_id="222", state=GroupState.SUBMITTED)
        (group,) = group_reads.named(connection, "7")
        assert details(connection, group).calls
        assert occurrence_reads.newest(connection, 10)
        assert occurrence_reads.one(connection, "222")
        assert why.stories(connection, "C1", campaign_id="222", last=10)[0].sent
    assert len(statements) > 20

    assert whole_tables_read(ledger, statements) == {}


@pytest.mark.parametrize("asked", [{}, {"state": GroupState.SUBMITTED}, {"deadline_before": START}])
def test_the_latest_groups_and_occurrences_are_found_in_the_order_of_an_index(
    watched: tuple[Ledger, Statements],  # noqa: F811 - the fixture
    asked: dict[str, object],
) -> None:
    ledger, statements = watched
    submitted_group(ledger)
    statements.clear()
    with ledger.read() as connection:
        group_reads.listed(connection, last=10, **asked)  # type: ignore[arg-type]  # names of its own arguments
        occurrence_reads.newest(connection, 10)

    steps = plan_of(ledger, statements, "ORDER BY groups.deadline_at")

    assert len(steps) == 2
    assert all("USING" in step and "ix_groups_deadline_at" in step for step in steps)


def test_no_statement_in_the_life_of_a_group_reads_a_whole_table(
    watched: tuple[Ledger, Statements],  # noqa: F811 - the fixture
) -> None:
    ledger, statements = watched
    scheduled.hear(ledger, scheduled.heads_up())
    scheduled.store(ledger, scheduled.chunk(1, "a"), scheduled.chunk(2, "b"), scheduled.chunk(3, "c"))
    scheduled.fetched(ledger, margin=10 * scheduled.MARGIN)
    for number in (1, 2):
        scheduled.review(ledger, number)
    at = scheduled.DEADLINE - scheduled.MARGIN
    for name, answer in (("1", Answer.UNKNOWN), ("2", Answer.REFUSED), ("3", Answer.TAKEN)):
        begun_at = at + int(name) * scheduled.MARGIN
        assert scheduled.begun(ledger, scheduled.new_call(ledger, 1, at=begun_at, name=name))
        scheduled.submitted(ledger, scheduled.call(1, at=begun_at, answer=answer, name=name, unsent=(1,)))
    new = scheduled.new_call(ledger, 2, at=at + 9 * scheduled.MARGIN, name="9")
    scheduled.begun(ledger, new)
    scheduled.withdrawn(ledger, new)
    with ledger.write() as connection:
        assert due.take_overdue(connection, scheduled.LATER, 10)
        assert seconds_per_call(connection)
        assert unconfirmed.unconfirmed_before(connection, scheduled.G, 2, ["a"]) == set()
    scheduled.miss_what_is_left(ledger, 1, scheduled.LATER)
    scheduled.end(ledger, 1, scheduled.LATER, is_over=True)
    with ledger.read() as connection:
        endings.ended_by_word(connection, scheduled.G, 1)
    scheduled.hear(ledger, scheduled.heads_up(scheduled.LATER + scheduled.HOUR, told_at=scheduled.LATER))
    assert len(statements) > 60

    assert whole_tables_read(ledger, statements) == {}
