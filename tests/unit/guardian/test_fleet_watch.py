"""What guardians tell of lanes, groups, rules and the broker; and no number when nobody knows one."""

from collections.abc import Iterator, Mapping
from math import isnan
from pathlib import Path

import pytest

from clearance.errors import BrokerUnavailable
from clearance.fleet_watch import FleetWatch, QueueWatch
from clearance.ledger import lane_pauses
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.obligations import Lane
from tests.fakes.clock import START, ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.owed import claimed, obligation, owe
from tests.fakes.told_groups import DEADLINE, hear

STATES = ("due", "later", "running", "parked")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    yield made
    made.close()


def look(ledger: Ledger, clock: ManualClock, metrics: RecordingMetrics | None = None) -> RecordingMetrics:
    metrics = metrics or RecordingMetrics()
    FleetWatch(ledger=ledger, metrics=metrics, clock=clock).look()
    return metrics


def test_what_a_lane_owes_and_for_how_long_shows(ledger: Ledger, clock: ManualClock) -> None:
    owe(ledger, obligation("a"), obligation("b"), obligation("c"))
    claimed(ledger, "a")
    clock.advance(2.5)

    metrics = look(ledger, clock)

    by_state = [metrics.level("lane_obligations", lane="triggered", state=state) for state in STATES]
    assert by_state == [2, 0, 1, 0]
    assert metrics.level("obligations_oldest_due_seconds", lane="triggered") == 2.5
    assert metrics.level("overdue_obligations", lane="triggered") == 0
    assert metrics.level("obligations_oldest_due_seconds", lane="mail") == 0
    assert metrics.level("ledger_up") == 1


def test_a_paused_lane_shows_and_the_others_do_not(ledger: Ledger, clock: ManualClock) -> None:
    with ledger.write() as connection:
        lane_pauses.pause(
            connection, LanePause(lane=Lane.MAIL, paused_at=START, paused_by="ann", reason="down")
        )

    metrics = look(ledger, clock)

    assert {lane: metrics.level("lane_paused", lane=lane) for lane in Lane} == {
        lane: float(lane is Lane.MAIL) for lane in Lane
    }


def test_how_long_the_next_group_has_shows_and_becomes_unknown_without_one(
    ledger: Ledger, clock: ManualClock
) -> None:
    hear(ledger)

    metrics = look(ledger, clock)

    assert metrics.level("open_groups", api="v2") == 1
    assert metrics.level("group_next_deadline_seconds", api="v2") == (DEADLINE - START).total_seconds()
    assert metrics.level("group_next_submission_seconds", api="v2") == 540
    assert isnan(metrics.level("group_next_deadline_seconds", api="v1"))


def test_what_cannot_be_seen_is_not_the_level_of_before(
    ledger: Ledger, tmp_path: Path, clock: ManualClock
) -> None:
    hear(ledger)
    metrics = look(ledger, clock)
    not_migrated = open_ledger(f"sqlite:///{tmp_path / 'other.db'}", timeout_s=1)

    look(not_migrated, clock, metrics)

    assert metrics.level("ledger_up") == 0
    unknown = [metrics.level("lane_obligations", lane=lane, state=state) for lane in Lane for state in STATES]
    for name in (
        "overdue_obligations",
        "obligations_oldest_due_seconds",
        "lane_paused",
        "lane_heartbeat_seconds",
    ):
        unknown += [metrics.level(name, lane=lane) for lane in Lane]
    for name in ("open_groups", "late_groups", "group_next_deadline_seconds"):
        unknown += [metrics.level(name, api=api) for api in ("v1", "v2")]
    unknown += [metrics.level("rules_versions"), metrics.level("rules_refused_processes")]
    assert all(isnan(level) for level in unknown)
    not_migrated.close()


def test_queues_show_and_a_broker_that_is_away_has_no_depth() -> None:
    metrics = RecordingMetrics()
    QueueWatch(depths=lambda: dict.fromkeys(Lane, 7), metrics=metrics).look()
    assert (metrics.level("broker_up"), metrics.level("queue_messages", lane="mail")) == (1, 7)

    def away() -> Mapping[Lane, int]:
        raise BrokerUnavailable("broker: ConnectionError")

    QueueWatch(depths=away, metrics=metrics).look()

    assert metrics.level("broker_up") == 0
    assert all(isnan(metrics.level("queue_messages", lane=lane)) for lane in Lane)
