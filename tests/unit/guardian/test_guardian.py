"""One look of the guardian: what it publishes, misses, puts back and counts."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.typing import EventDict

from clearance.errors import LedgerUnavailable
from clearance.guardian import Guardian, Look
from clearance.ledger.engine import Ledger, open_ledger
from clearance.obligations import State, Why
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.owed import HEDGE_AFTER, LEASE, claimed, obligation, owe, row
from tests.fakes.publisher import FakePublish

_NOTHING = Look(published=0, missed=0)


class _Watch:
    """A guardian and what is around it."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger, self.clock = ledger, clock
        self.publish, self.metrics = FakePublish(), RecordingMetrics()
        self.guardian = Guardian(
            ledger=ledger,
            publish=self.publish,
            metrics=self.metrics,
            clock=clock,
            hedge_after=HEDGE_AFTER,
        )


@pytest.fixture
def watch(tmp_path: Path, clock: ManualClock) -> Iterator[_Watch]:
    ledger = new_ledger(tmp_path)
    yield _Watch(ledger, clock)
    ledger.close()


def test_a_look_at_nothing_does_nothing(watch: _Watch, log_events: list[EventDict]) -> None:
    assert watch.guardian.look() == _NOTHING
    assert watch.publish.batches == []
    assert log_events == []


def test_what_nobody_began_is_published_after_a_second_and_not_before(watch: _Watch) -> None:
    owe(watch.ledger, obligation("a"), obligation("b"))

    watch.clock.advance(0.999)
    assert watch.guardian.look() == _NOTHING
    watch.clock.advance(0.001)
    assert watch.guardian.look() == Look(published=2, missed=0)

    assert watch.publish.ids == [["a", "b"]]
    assert watch.metrics.counted("guardian_published_total", lane="triggered", why=Why.HEDGE) == 2


def test_what_a_dead_worker_held_is_published_when_its_lease_has_ended(watch: _Watch) -> None:
    owe(watch.ledger, obligation("a"))
    claimed(watch.ledger, "a")

    watch.clock.advance(LEASE.total_seconds() - 0.001)
    assert watch.guardian.look() == _NOTHING
    watch.clock.advance(0.001)
    watch.guardian.look()

    assert watch.publish.ids == [["a"]]
    assert watch.metrics.counted("guardian_published_total", lane="triggered", why=Why.ABANDONED) == 1


def test_a_slow_vendor_does_not_multiply_the_load(watch: _Watch) -> None:
    """Nobody gets to it for a minute: eight publications, not three hundred."""
    owe(watch.ledger, obligation("a", deadline_at=watch.clock() + timedelta(minutes=5)))

    for _ in range(300):
        watch.clock.advance(0.2)
        watch.guardian.look()

    assert len(watch.publish.batches) == 6


def test_one_look_publishes_no_more_than_it_should(watch: _Watch) -> None:
    owe(watch.ledger, *(obligation(f"o{number:03}") for number in range(450)))
    watch.clock.advance(1)

    looks = [watch.guardian.look().published for _ in range(4)]

    assert looks == [200, 200, 50, 0]


def test_a_broker_that_is_away_is_tried_again_half_a_second_later(
    watch: _Watch, log_events: list[EventDict]
) -> None:
    owe(watch.ledger, obligation("a"))
    watch.clock.advance(1)
    watch.publish.is_away = True

    for _ in range(10):
        assert watch.guardian.look() == _NOTHING
        watch.clock.advance(0.25)
    watch.publish.is_away = False
    watch.clock.advance(0.5)

    assert watch.guardian.look() == Look(published=1, missed=0)
    assert len(watch.publish.batches) == 6
    assert watch.metrics.counted("guardian_published_total", lane="triggered", why=Why.HEDGE) == 1
    failed = [event for event in log_events if event["event"] == "guardian.publish_failed"]
    assert len(failed) == 5
    assert failed[0]["error"] == "broker: ConnectionError"


def test_what_is_past_its_deadline_is_missed_and_told(watch: _Watch, log_events: list[EventDict]) -> None:
    owe(watch.ledger, obligation("a"))
    watch.clock.advance(5.25)

    assert watch.guardian.look() == Look(published=0, missed=1)

    assert row(watch.ledger, "a").state == State.MISSED
    metrics = watch.metrics
    assert metrics.counted("obligations_missed_total", lane="triggered", reason="NOT_STARTED_IN_TIME") == 1
    assert metrics.counted("guardian_missed_total", lane="triggered") == 1
    assert log_events == [
        {
            "event": "obligation.missed",
            "log_level": "error",
            "obligation": "a",
            "reason": "NOT_STARTED_IN_TIME",
            "late_s": 0.25,
            "trace_id": "t-a",
        }
    ]
    assert watch.guardian.look() == _NOTHING


def test_a_broker_that_is_away_keeps_nothing_from_being_missed(watch: _Watch) -> None:
    owe(watch.ledger, obligation("late"), obligation("due", now=watch.clock() + timedelta(seconds=4)))
    watch.publish.is_away = True
    watch.clock.advance(5)

    assert watch.guardian.look() == Look(published=0, missed=1)


def test_a_ledger_that_is_away_is_the_processs_to_wait_for(tmp_path: Path, clock: ManualClock) -> None:
    never_migrated = open_ledger(f"sqlite:///{tmp_path / 'empty.db'}", timeout_s=1)

    with pytest.raises(LedgerUnavailable):
        _Watch(never_migrated, clock).guardian.look()

    never_migrated.close()


def test_after_the_ledger_was_away_who_holds_an_obligation_tells_first_what_became_of_it(
    watch: _Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    owe(watch.ledger, obligation("a"))
    claimed(watch.ledger, "a")
    watch.clock.advance(6)

    def away() -> None:
        raise LedgerUnavailable("ledger: OperationalError")

    with monkeypatch.context() as outage:
        outage.setattr(watch.ledger, "read", away)
        with pytest.raises(LedgerUnavailable):
            watch.guardian.look()

    assert watch.guardian.look().missed == 0
    watch.clock.advance(2.9)
    assert watch.guardian.look().missed == 0
    watch.clock.advance(0.1)
    assert watch.guardian.look().missed == 1
    assert row(watch.ledger, "a").state == State.MISSED
