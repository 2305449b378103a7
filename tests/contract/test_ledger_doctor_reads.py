"""What a doctor reads of the ledger: what is overdue and was missed lately, and what other clocks say."""

from dataclasses import replace
from datetime import timedelta

from clearance.clock import utc_now
from clearance.ledger import clock_reads, deadline_reads, heartbeats, notifications
from clearance.ledger.deadline_reads import Late
from clearance.ledger.engine import Ledger
from clearance.obligations import Lane, Missed, MissedReason, Parked
from tests.contract.test_ledger_plans import (
    Statements,
    watched,  # noqa: F401  # a fixture
    whole_tables_read,
)
from tests.fakes.clock import START
from tests.fakes.owed import BUDGET, accept, claimed, finish, notification, obligation, owe

_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


def _late(ledger: Ledger, after: timedelta) -> dict[Lane, Late]:
    now = START + after
    with ledger.read() as connection:
        return {each.lane: each for each in deadline_reads.late(connection, now, now - _HOUR)}


def test_overdue_is_what_is_unfinished_and_missed_what_ended_so_lately(ledger: Ledger) -> None:
    owe(ledger, *(obligation(name) for name in ("open", "held", "missed", "parked")))
    claimed(ledger, "held")
    gone = Missed(reason=MissedReason.RETRIES_RAN_OUT, margin_s=-1.0, error="no")
    assert finish(ledger, claimed(ledger, "missed"), gone)
    assert finish(ledger, claimed(ledger, "parked"), Parked(reason="BUG", error="ValueError"))

    in_time, after, long_after = (
        _late(ledger, each) for each in (_SECOND, BUDGET + _SECOND, BUDGET + 2 * _HOUR)
    )

    triggered = Late(lane=Lane.TRIGGERED, overdue=2, oldest_deadline_at=START + BUDGET, missed=1)
    assert list(in_time) == list(Lane)
    assert in_time[Lane.TRIGGERED] == Late(lane=Lane.TRIGGERED, missed=1)
    assert after[Lane.TRIGGERED] == triggered
    assert after[Lane.MAIL] == Late(lane=Lane.MAIL)
    assert long_after[Lane.TRIGGERED] == replace(triggered, missed=0)


def test_the_least_difference_of_what_was_signed_lately_is_optimoves_offset(ledger: Ledger) -> None:
    def offset(since: timedelta) -> timedelta | None:
        with ledger.read() as connection:
            return clock_reads.signed_offset(connection, START + since)

    assert offset(-_HOUR) is None
    for number, travel_ms in enumerate((300, 20, 700)):
        signed_at = START - timedelta(milliseconds=travel_ms)
        accept(ledger, replace(notification(f"n{number}"), signed_at=signed_at))

    assert offset(-_HOUR) == timedelta(milliseconds=20)
    assert offset(_SECOND) is None


def test_postgresql_says_its_own_time_and_an_embedded_ledger_has_none(ledger: Ledger) -> None:
    before = utc_now()
    with ledger.read() as connection:
        told = clock_reads.server_time(connection)

    if ledger.dialect == "sqlite":
        assert told is None
        return
    assert told is not None
    assert abs(told - before) < timedelta(seconds=10)


def test_none_of_it_reads_a_whole_table(
    watched: tuple[Ledger, Statements],  # noqa: F811  # the fixture
) -> None:
    ledger, statements = watched
    with ledger.write() as connection:
        notifications.accept_many(connection, [notification("a")])
        statements.clear()
        deadline_reads.late(connection, START + _HOUR, START)
        clock_reads.signed_offset(connection, START - _HOUR)

    assert whole_tables_read(ledger, statements) == {}


def test_of_heartbeats_there_is_a_row_a_lane_however_long_a_fleet_runs(ledger: Ledger) -> None:
    for second in range(20):
        now = START + second * _SECOND
        with ledger.write() as connection:
            heartbeats.asked(connection, [lane.value for lane in Lane], now)

    with ledger.read() as connection:
        assert set(heartbeats.known(connection)) == {lane.value for lane in Lane}
