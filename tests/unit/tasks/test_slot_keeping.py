"""A slot is renewed while its request runs, and not after; a lane's pause is read once a second."""

from collections.abc import Iterator

import pytest
from structlog.typing import EventDict

from clearance.ledger import lane_pauses
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.limits.slots import Slot
from clearance.obligations import Lane
from tasks.pauses import PauseWatch
from tasks.slot_keeping import SlotKeeper
from tests.fakes.clock import START, ManualClock
from tests.fakes.slots import FakeSlots


@pytest.fixture
def slots(clock: ManualClock) -> FakeSlots:
    return FakeSlots(clock, lease_s=25)


@pytest.fixture
def keeper(slots: FakeSlots) -> Iterator[SlotKeeper]:
    made = SlotKeeper(slots, lease_s=3600)  # its thread sleeps: the test renews
    yield made
    made.close()


def _taken(slots: FakeSlots) -> Slot:
    found = slots.acquire()
    assert isinstance(found, Slot)
    return found


def test_a_slot_outlives_its_lease_while_it_is_kept_and_not_after(
    slots: FakeSlots, keeper: SlotKeeper, clock: ManualClock
) -> None:
    slot = _taken(slots)
    with keeper.keeping(slot):
        for _ in range(5):
            clock.advance(20)
            keeper.renew()
        assert slots.left_s(slot) == 25
    keeper.renew()
    clock.advance(25)
    keeper.renew()

    assert slots.held == 0


def test_a_slot_that_is_lost_is_told_once_and_a_server_that_is_away_is_no_loss(
    slots: FakeSlots, keeper: SlotKeeper, log_events: list[EventDict]
) -> None:
    with keeper.keeping(_taken(slots)):
        slots.is_away = True
        keeper.renew()
        slots.is_away = False
        slots.wipe()
        keeper.renew()
        keeper.renew()

    assert [each["event"] for each in log_events] == ["slot.not_renewed", "slot.lost"]


def test_a_pause_is_heard_of_within_a_second_and_at_once_where_it_was_made(ledger: Ledger) -> None:
    seconds = [100.0]
    watch = PauseWatch(ledger, Lane.MAIL, time=lambda: seconds[0])
    assert not watch.is_paused()
    for lane in (Lane.TRACK, Lane.MAIL):
        with ledger.write() as connection:
            pause = LanePause(lane=lane, paused_at=START, paused_by="anna", reason="a check")
            lane_pauses.pause(connection, pause)
        seconds[0] += 1 if lane is Lane.TRACK else 0
        assert not watch.is_paused()

    seconds[0] += 1
    assert watch.is_paused()
    with ledger.write() as connection:
        lane_pauses.resume(connection, Lane.MAIL)
    watch.forget()
    assert not watch.is_paused()
