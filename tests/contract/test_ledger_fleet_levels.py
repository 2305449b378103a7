"""What a dashboard shows of the ledger: what each lane owes, what stops it, its groups, its rules."""

from dataclasses import replace
from datetime import timedelta

from clearance.ledger import fleet_levels, lane_pauses, rule_sets
from clearance.ledger.engine import Ledger
from clearance.ledger.fleet_levels import FleetLevels, GroupLevels
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.mail_batches import POST
from clearance.ledger.oncall_tables import lane_heartbeats
from clearance.ledger.rule_sets import InForce
from clearance.obligations import Lane, Parked
from tests.contract.test_ledger_plans import (
    Statements,
    watched,  # noqa: F401  # a fixture
    whole_tables_read,
)
from tests.fakes.clock import START
from tests.fakes.owed import BUDGET, claimed, finish, obligation, owe
from tests.fakes.told_groups import APPROVED, DEADLINE, MINUTE, REFUSED, SECOND, Work, hear


def _levels(ledger: Ledger, after: timedelta = timedelta(0)) -> FleetLevels:
    with ledger.read() as connection:
        return fleet_levels.levels(connection, START + after)


def _of(ledger: Ledger, api: str, after: timedelta = timedelta(0)) -> GroupLevels:
    return {group.api: group for group in _levels(ledger, after).groups}[api]


def test_an_empty_ledger_has_nothing_to_show(ledger: Ledger) -> None:
    found = _levels(ledger)

    assert [load.lane for load in found.loads] == list(Lane)
    assert (found.parked, found.paused, found.answered_at) == ({}, set(), {})
    assert found.groups == [GroupLevels(api="v2"), GroupLevels(api="v1")]
    assert (found.rules_versions, found.rules_refused) == (0, 0)


def test_what_waits_for_a_person_is_counted_by_lane_and_what_is_due_apart(ledger: Ledger) -> None:
    owe(ledger, obligation("parked"), obligation("due"))
    assert finish(ledger, claimed(ledger, "parked"), Parked(reason="BUG", error="ValueError"))

    found = _levels(ledger, SECOND)

    assert found.parked == {Lane.TRIGGERED: 1}
    assert {load.lane: load.due for load in found.loads}[Lane.TRIGGERED] == 1


def test_letters_of_which_a_person_must_say_whether_they_were_posted_are_counted_as_a_batch_alone(
    ledger: Ledger,
) -> None:
    """Once that is said, nobody looks at the obligation any more: it would be counted for ever."""
    owe(ledger, replace(obligation("mail.post:b1"), lane=Lane.MAIL, task=POST, subject="b1"))
    assert finish(ledger, claimed(ledger, "mail.post:b1"), Parked(reason="BUG", error="ValueError"))

    assert _levels(ledger, SECOND).parked == {}


def test_a_paused_lane_and_the_last_heartbeat_of_another_show(ledger: Ledger) -> None:
    pause = LanePause(lane=Lane.MAIL, paused_at=START, paused_by="ann", reason="vendor is down")
    rows = [
        {"lane": "track", "asked_at": START, "received_at": START + SECOND},
        {"lane": "mail", "asked_at": START, "received_at": None},
        {"lane": "guardian", "asked_at": START, "received_at": START},
    ]
    with ledger.write() as connection:
        lane_pauses.pause(connection, pause)
        connection.execute(lane_heartbeats.insert(), rows)

    found = _levels(ledger)

    assert found.paused == {Lane.MAIL}
    assert found.answered_at == {Lane.TRACK: START + SECOND}


def test_a_group_is_late_when_its_approvals_should_leave_and_not_all_customers_are_decided(
    ledger: Ledger,
) -> None:
    hear(ledger, "g1", vendor_id="7")
    submit_in = DEADLINE - MINUTE - START

    early, at_submission = _of(ledger, "v2"), _of(ledger, "v2", submit_in)
    Work(ledger=ledger).fetch(("a", "b"))
    fetched = _of(ledger, "v2", submit_in)
    Work(ledger=ledger).decide(1, ("a", APPROVED), ("b", REFUSED))
    decided = _of(ledger, "v2", submit_in)

    assert (early.open, early.late, early.next_deadline_at) == (1, 0, DEADLINE)
    assert early.next_submit_at == DEADLINE - MINUTE
    assert [each.late for each in (at_submission, fetched, decided)] == [1, 1, 0]
    assert decided.open == 1
    assert _of(ledger, "v1").open == 0


def test_rules_are_those_of_processes_that_reported_lately(ledger: Ledger) -> None:
    def report(process: str, version: str, ago_s: float, problem: str | None = None) -> InForce:
        seen_at = START - timedelta(seconds=ago_s)
        return InForce(
            process=process,
            lane="triggered",
            version=version,
            loaded_at=seen_at,
            seen_at=seen_at,
            problem=problem,
        )

    with ledger.write() as connection:
        rule_sets.report_many(
            connection,
            [report("a", "v2", 1), report("b", "v1", 5, "line 3: unknown name"), report("dead", "v0", 60)],
        )

    found = _levels(ledger)

    assert (found.rules_versions, found.rules_refused) == (2, 1)


def test_no_level_reads_a_whole_table_that_grows(
    watched: tuple[Ledger, Statements],  # noqa: F811  # the fixture
) -> None:
    ledger, statements = watched
    hear(ledger, "g1")
    owe(ledger, obligation("a"))
    statements.clear()

    _levels(ledger, BUDGET)

    few = ("FROM lane_heartbeats", "FROM lane_pauses", "FROM rules_in_force")
    read = [
        statement
        for statement in whole_tables_read(ledger, statements)
        if not any(name in " ".join(statement.split()) for name in few)
    ]
    assert len(statements) >= 6
    assert read == []
