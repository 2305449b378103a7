"""What guardians tell of mail: levels of what is unfinished, and no number when nobody knows one."""

from collections.abc import Iterator
from math import isnan
from pathlib import Path

import pytest

from clearance.ledger.engine import Ledger, open_ledger
from clearance.mail_watch import MailWatch
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.mail_owed import take_letters
from tests.fakes.metrics import RecordingMetrics

GAUGES = (
    "mail_waiting_letters",
    "mail_oldest_waiting_seconds",
    "mail_held_letters",
    "mail_held_batches",
    "track_open_commands",
    "track_parked_commands",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    yield made
    made.close()


def look(ledger: Ledger, clock: ManualClock, slots: int | None = 1) -> RecordingMetrics:
    metrics = RecordingMetrics()
    MailWatch(ledger=ledger, metrics=metrics, clock=clock, slots_held=lambda: slots).look()
    return metrics


def test_what_waits_and_for_how_long_shows(ledger: Ledger, clock: ManualClock) -> None:
    take_letters(ledger, "a", "b")
    clock.advance(12)

    metrics = look(ledger, clock)

    assert metrics.level("mail_waiting_letters") == 2
    assert metrics.level("mail_oldest_waiting_seconds") == 12.0
    assert metrics.level("mail_busy_slots") == 1


def test_nothing_to_do_is_zero(ledger: Ledger, clock: ManualClock) -> None:
    metrics = look(ledger, clock, slots=0)

    assert {metrics.level(name) for name in (*GAUGES, "mail_busy_slots")} == {0}


def test_what_cannot_be_seen_is_not_the_level_of_before(tmp_path: Path, clock: ManualClock) -> None:
    not_migrated = open_ledger(f"sqlite:///{tmp_path / 'other.db'}", timeout_s=1)

    metrics = look(not_migrated, clock, slots=None)

    assert all(isnan(metrics.level(name)) for name in (*GAUGES, "mail_busy_slots"))
    not_migrated.close()
