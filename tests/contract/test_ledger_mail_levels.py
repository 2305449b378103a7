"""How much of mail is unfinished, how much each lane has to do, and what of the outbox is forgotten."""

from datetime import timedelta

from sqlalchemy import update

from clearance.bloomreach.commands import CommandState
from clearance.bloomreach.feedback import Feedback
from clearance.ledger import lane_reads, mail_levels, track_retention
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_reads import LaneLoad
from clearance.ledger.mail_ends import Answered, Failed, Held, Posted
from clearance.ledger.mail_levels import HeldLevel
from clearance.ledger.mail_tables import track_commands
from clearance.mail_states import HeldReason
from clearance.obligations import Lane
from tests.contract.test_ledger_plans import (
    Statements,
    watched,  # noqa: F401  # a fixture
    whole_tables_read,
)
from tests.fakes.clock import START
from tests.fakes.mail_owed import begun, settle, take_letters
from tests.fakes.owed import BUDGET, claimed, obligation, owe

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_FEEDBACK = Feedback(address_property="is_valid")


def _levels(ledger: Ledger) -> mail_levels.MailLevels:
    with ledger.read() as connection:
        return mail_levels.levels(connection)


def _loads(ledger: Ledger, after: timedelta = timedelta(0)) -> dict[Lane, LaneLoad]:
    with ledger.read() as connection:
        return {each.lane: each for each in lane_reads.loads(connection, START + after)}


def test_nothing_is_unfinished_in_an_empty_ledger(ledger: Ledger) -> None:
    assert _levels(ledger) == mail_levels.MailLevels(
        waiting=0,
        oldest_waiting_at=None,
        held=HeldLevel(batches=0, letters=0, oldest_at=None),
        open_commands=0,
        parked_commands=0,
    )


def test_what_waits_what_is_held_and_what_is_to_be_told_are_counted_apart(ledger: Ledger) -> None:
    take_letters(ledger, "a", "b", "c")
    held = begun(ledger)
    reason = HeldReason.MAY_HAVE_ARRIVED
    assert settle(ledger, held, Held(reason=reason, error="timed out"), now=START + 20 * _SECOND)
    take_letters(ledger, "d", "e", "f")
    results = (Posted(vendor_id="v1"), Posted(vendor_id="v2"), Failed(message="no"))
    assert settle(ledger, begun(ledger), Answered(results=results, status=200), feedback=_FEEDBACK)
    take_letters(ledger, "g", "h", now=START + 30 * _SECOND)
    take_letters(ledger, "i", is_dry_run=True)

    found = _levels(ledger)

    assert (found.waiting, found.oldest_waiting_at) == (2, START + 30 * _SECOND)
    assert found.held == HeldLevel(batches=1, letters=3, oldest_at=START + 20 * _SECOND)
    assert (found.open_commands, found.parked_commands) == (4, 0)


def test_a_lane_has_work_that_is_due_later_under_way_and_overdue(ledger: Ledger) -> None:
    take_letters(ledger, "a")
    owe(ledger, obligation("a"), obligation("b"), obligation("c", run_at=START + 3 * _SECOND))
    claimed(ledger, "a")

    early, late = _loads(ledger, _SECOND), _loads(ledger, BUDGET)

    assert early[Lane.TRIGGERED] == LaneLoad(
        lane=Lane.TRIGGERED, due=1, later=1, running=1, oldest_due_at=START, next_deadline_at=START + BUDGET
    )
    assert (early[Lane.MAIL].due, early[Lane.MAIL].later) == (0, 1)
    assert early[Lane.REVIEW] == LaneLoad(lane=Lane.REVIEW)
    assert (late[Lane.TRIGGERED].due, late[Lane.TRIGGERED].overdue) == (2, 3)
    assert late[Lane.TRIGGERED].next_deadline_at is None


def test_what_bloomreach_took_or_refused_is_forgotten_in_time_and_what_it_is_to_be_told_never(
    ledger: Ledger,
) -> None:
    take_letters(ledger, "a", "b", "c")
    results = (Posted(vendor_id="v1"), Posted(vendor_id="v2"), Posted(vendor_id="v3"))
    assert settle(ledger, begun(ledger), Answered(results=results, status=200), feedback=_FEEDBACK)
    for state, about in ((CommandState.SENT, "a"), (CommandState.PARKED, "b")):
        with ledger.write() as connection:
            connection.execute(
                update(track_commands)
                .where(track_commands.c.about == about)
                .values(state=state.value, finished_at=START)
            )

    with ledger.write() as connection:
        assert track_retention.count_older(connection, START) == 0
        assert track_retention.purge(connection, START) == 0
        assert track_retention.count_older(connection, START + _DAY) == 2
        assert track_retention.purge(connection, START + _DAY, portion=1) == 1
        assert track_retention.purge(connection, START + _DAY) == 1
    assert _levels(ledger).open_commands == 1


def test_a_look_every_few_seconds_reads_no_whole_table(
    watched: tuple[Ledger, Statements],  # noqa: F811  # the fixture
) -> None:
    ledger, statements = watched
    statements.clear()
    _levels(ledger)
    _loads(ledger)

    assert len(statements) >= 6
    assert whole_tables_read(ledger, statements) == {}
