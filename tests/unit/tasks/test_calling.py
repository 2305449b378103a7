"""May the vendor be called: a turn is waited for as long as there is time, and a 429 holds everybody back."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from clearance.errors import VendorThrottled
from clearance.limits.rate import Urgency
from clearance.optimove.http import VENDOR
from tasks.calling import Calling, NoTurn
from tests.fakes.clock import START, ManualClock
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.rate import FakeRateLimit


class Caller:
    """One caller with a limit of two calls in ten seconds. `on_pause` happens at the start of every pause."""

    def __init__(self, clock: ManualClock, *, jitter: float = 0.0) -> None:
        self.clock = clock
        self.limit = FakeRateLimit(clock, calls=2)
        self.cooldown = FakeCoolDown(clock)
        self.metrics = RecordingMetrics()
        self.on_pause: Callable[[], object] = lambda: None
        self.calling = Calling(
            limit=self.limit,
            cooldown=self.cooldown,
            clock=clock,
            pause=self._pause,
            jitter=lambda: jitter,
            metrics=self.metrics,
        )

    def wait(self, until_s: float) -> float:
        """Wait for a turn before then; how many seconds that took."""
        asked_at = self.clock()
        self.calling.wait_for_turn(START + timedelta(seconds=until_s))
        return (self.clock() - asked_at).total_seconds()

    def use_up(self) -> None:
        """The limit's turns are taken by somebody else."""
        while self.limit.take(Urgency.ORDINARY) == 0:
            pass

    def _pause(self, seconds: float) -> None:
        assert seconds > 0
        self.on_pause()
        self.clock.advance(seconds)


@pytest.fixture
def caller(clock: ManualClock) -> Caller:
    return Caller(clock)


def test_without_a_reason_to_wait_a_turn_is_given_at_once_and_counted(caller: Caller) -> None:
    assert caller.wait(60) == 0

    assert caller.limit.taken == [(Urgency.ORDINARY, START)]


def test_a_cool_down_is_waited_for(caller: Caller) -> None:
    caller.cooldown.start(5)

    assert caller.wait(60) == pytest.approx(5)
    assert caller.metrics.observed("turn_wait_seconds", limit="optimove_scheduled") == [pytest.approx(5)]

    assert [at for _, at in caller.limit.taken] == [START + timedelta(seconds=5)]


def test_a_full_window_is_waited_for(caller: Caller) -> None:
    caller.use_up()

    assert caller.wait(60) == pytest.approx(10)


@pytest.mark.parametrize("jitter", [0.0, 1.0])
@pytest.mark.parametrize("left_s", [5.01, 5.1, 7.0])
def test_chance_does_not_make_a_turn_too_late(clock: ManualClock, jitter: float, left_s: float) -> None:
    caller = Caller(clock, jitter=jitter)
    caller.cooldown.start(5)

    with_jitter_s = caller.wait(left_s)

    assert 5 <= with_jitter_s < left_s


def test_a_cool_down_that_lasts_too_long_is_said_at_once(caller: Caller) -> None:
    caller.cooldown.start(5)

    with pytest.raises(NoTurn) as raised:
        caller.wait(5)

    assert raised.value.retry_after_s == 5
    assert (caller.clock(), caller.limit.taken) == (START, [])


def test_a_window_that_stays_full_too_long_is_said_at_once(caller: Caller) -> None:
    caller.use_up()

    with pytest.raises(NoTurn):
        caller.wait(10)

    assert caller.clock() == START


def test_a_429_that_somebody_hears_while_we_wait_holds_us_back_too(caller: Caller) -> None:
    caller.use_up()

    def hear() -> None:
        caller.on_pause = lambda: None
        caller.cooldown.start(30)

    caller.on_pause = hear

    assert caller.wait(60) == pytest.approx(30)


@pytest.mark.parametrize(("asked_s", "held_s"), [(7.0, 7.0), (None, 1.0)])
def test_a_429_holds_the_fleet_back_for_as_long_as_was_asked(
    caller: Caller, asked_s: float | None, held_s: float
) -> None:
    caller.calling.throttled(VendorThrottled(VENDOR, retry_after_s=asked_s))

    assert caller.cooldown.started == [held_s]
    assert caller.metrics.counted("vendor_cooldowns_total", vendor=VENDOR) == 1


def test_no_turn_is_not_taken_for_a_429() -> None:
    assert not issubclass(NoTurn, VendorThrottled)
