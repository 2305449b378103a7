"""Sending to Bloomreach: each command ends by its own answer, and what may have arrived is repeated seldom."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest
from celery.exceptions import Retry as CeleryRetry
from sqlalchemy import Row, select

from clearance.bloomreach.commands import Command, CommandName, CommandState
from clearance.bloomreach.replies import VENDOR, Result, UnreadableAnswer
from clearance.errors import (
    ClearanceError,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.ledger import lane_pauses, track_outbox
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.mail_tables import track_commands
from clearance.ledger.tables import obligations
from clearance.obligations import Lane
from tasks.leases import Leases
from tasks.sending import SendCommands, SendServices
from tests.fakes.bloomreach import TAKEN, FakeBloomreach
from tests.fakes.clock import START, ManualClock
from tests.fakes.commits import InlineCommits
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.leases import HeldLeases
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.payloads import epoch_ms
from tests.fakes.rate import FakeRateLimit

_REFUSED = Result(is_taken=False, error="unknown property")
_NO_ANSWER = VendorUnavailable(VENDOR, "no answer in time")
_NO_CONNECTION = VendorUnavailable(VENDOR, "no connection", may_have_arrived=False)
_DOWN = VendorUnavailable(VENDOR, "503 from the vendor", status=503)


class _Sender:
    """A track worker as far as a test needs one."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger, self.clock = ledger, clock
        self.commits = InlineCommits(ledger)
        self.vendor = FakeBloomreach(clock)
        self.limit = FakeRateLimit(clock, calls=200, window_s=60)
        self.cooldown = FakeCoolDown(clock)
        self.metrics = RecordingMetrics()
        self.pauses: list[float] = []
        self.commands_per_call = 50
        self.task = SendCommands(self._services)

    def _services(self) -> SendServices:
        return SendServices(
            commits=cast(GroupCommit, self.commits),
            leases=cast(Leases, HeldLeases(timedelta(seconds=15))),
            metrics=self.metrics,
            clock=self.clock,
            pause=self._pause,
            jitter=lambda: 0.5,
            eta_window=timedelta(seconds=5),
            vendor=self.vendor,
            limit=self.limit,
            cooldown=self.cooldown,
            commands_per_call=self.commands_per_call,
        )

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    def owe(self, *commands: Command) -> None:
        with self.ledger.write() as connection:
            track_outbox.add(connection, commands, now=self.clock(), trace_id="t1")

    def run(self) -> str:
        """One message about everything that is owed and whose time has come; what Flower would show of it."""
        ids = [row.id for row in self.owed() if row.state != "done"]
        deadline_ms = epoch_ms(self.clock() + timedelta(days=1))
        try:
            return self.task.run(*ids, version=1, deadline_ms=deadline_ms)
        except CeleryRetry as retry:
            return str(retry)

    def run_until_quiet(self, *, most: int = 40) -> None:
        """Let everything come when its time has come, until nothing is owed any more."""
        for _ in range(most):
            waiting = [max(row.run_at, row.publish_at) for row in self.owed() if row.state == "open"]
            if not waiting:
                return
            self.clock.now = max(self.clock.now, *waiting)
            self.run()
        raise AssertionError("it goes on for ever")

    def owed(self) -> Sequence[Row[Any]]:
        with self.ledger.read() as connection:
            return connection.execute(select(obligations).order_by(obligations.c.id)).all()

    def states(self) -> dict[str, tuple[str, str | None]]:
        with self.ledger.read() as connection:
            rows = connection.execute(select(track_commands).order_by(track_commands.c.about)).all()
        return {row.about: (row.state, row.reason) for row in rows}

    def error_of(self, about: str) -> str | None:
        with self.ledger.read() as connection:
            found = select(track_commands.c.error).where(track_commands.c.about == about)
            return cast(str | None, connection.execute(found).scalar_one())


@pytest.fixture
def sender(ledger: Ledger, clock: ManualClock) -> _Sender:
    return _Sender(ledger, clock)


def _command(number: int, **data: object) -> Command:
    event = {
        "customer_ids": {"registered": f"c{number}@example.com"},
        "event_type": "campaign",
        "properties": {},
        "timestamp": START.timestamp(),
    }
    about = f"r{number}"
    return Command(name=CommandName.EVENT, data=event | data, about=about, dedupe_key=about)


def _numbers(commands: Sequence[Command]) -> list[str]:
    return [command.about for command in commands]


def _whole(state: str, reason: str | None = None, *, count: int) -> dict[str, tuple[str, str | None]]:
    return {f"r{number}": (state, reason) for number in range(count)}


def test_a_batch_is_one_call_in_order(sender: _Sender) -> None:
    sender.owe(*(_command(number) for number in range(8)))

    assert sender.run() == "done"

    assert sender.vendor.calls == [[_command(number) for number in range(8)]]
    assert sender.states() == _whole("sent", count=8)
    assert sender.metrics.counted("track_commands_total", outcome="sent") == 8
    labels = {"vendor": VENDOR, "call": "batch", "outcome": "answered", "status": 200}
    assert len(sender.metrics.observed("vendor_call_seconds", **labels)) == 1


def test_a_call_holds_no_more_than_is_set_and_each_call_takes_a_turn(sender: _Sender) -> None:
    sender.commands_per_call = 3
    sender.owe(*(_command(number) for number in range(8)))

    sender.run()

    assert [len(call) for call in sender.vendor.calls] == [3, 3, 2]
    assert len(sender.limit.taken) == 3


def test_what_is_refused_by_its_position_is_parked_with_what_bloomreach_says(
    sender: _Sender, log_events: list[Any]
) -> None:
    sender.owe(*(_command(number) for number in range(3)))
    sender.vendor.answers.append([TAKEN, _REFUSED, TAKEN])

    assert sender.run() == "done"

    assert sender.states() == {
        "r0": ("sent", None),
        "r1": ("parked", "REFUSED"),
        "r2": ("sent", None),
    }
    assert sender.error_of("r1") == "unknown property"
    assert sender.metrics.counted("track_commands_total", outcome="parked") == 1
    (event,) = [each for each in log_events if each["event"] == "track.command_parked"]
    assert (event["log_level"], event["reason"]) == ("error", "REFUSED")
    assert "unknown property" not in str(log_events)


@pytest.mark.parametrize(
    "malformed",
    [
        {"customer_ids": {"registered": ""}},
        {"event_type": "consent", "properties": {"action": "reject"}},
    ],
)
def test_what_is_malformed_is_never_sent(sender: _Sender, malformed: dict[str, Any]) -> None:
    sender.owe(_command(0), _command(1, **malformed))

    sender.run()

    assert _numbers(sender.vendor.taken) == ["r0"]
    assert sender.states()["r1"] == ("parked", "MALFORMED")


def test_nothing_is_called_for_a_batch_that_is_all_malformed(sender: _Sender) -> None:
    sender.owe(_command(0, customer_ids={}))

    assert sender.run() == "done"

    assert sender.vendor.calls == []


@pytest.mark.parametrize("error", [_DOWN, _NO_CONNECTION, VendorThrottled(VENDOR)])
def test_what_certainly_was_not_taken_is_sent_again_until_it_is(
    sender: _Sender, error: ClearanceError
) -> None:
    sender.owe(_command(0), _command(1))
    sender.vendor.answers.extend([error] * 12)

    sender.run_until_quiet()

    assert len(sender.vendor.calls) == 13
    assert _numbers(sender.vendor.taken) == ["r0", "r1"]
    assert sender.states() == _whole("sent", count=2)


def test_a_429_cools_the_fleet_down_and_nothing_is_claimed_until_it_is_over(sender: _Sender) -> None:
    sender.owe(_command(0))
    sender.vendor.answers.append(VendorThrottled(VENDOR, retry_after_s=20))
    sender.run()
    assert sender.cooldown.started == [20]
    sender.owe(_command(1))

    assert sender.run().startswith("nothing to do")

    assert len(sender.vendor.calls) == 1
    newest = sender.owed()[-1]
    assert (newest.attempts, newest.publish_at) == (0, sender.clock() + timedelta(seconds=20.5))


def test_who_has_no_turn_within_the_limit_waits_a_little_and_then_leaves_it_to_later(
    sender: _Sender,
) -> None:
    sender.limit = FakeRateLimit(sender.clock, calls=1, window_s=60)
    sender.owe(_command(0))
    sender.run()
    sender.owe(_command(1))
    began_at = sender.clock()

    assert sender.run().startswith("nothing to do")

    assert sender.clock() - began_at <= timedelta(seconds=2)
    assert sender.owed()[-1].attempts == 0
    assert sender.owed()[-1].publish_at > sender.clock()


def test_a_turn_that_is_near_is_waited_for(sender: _Sender) -> None:
    sender.limit = FakeRateLimit(sender.clock, calls=1, window_s=1)
    sender.owe(_command(0))
    sender.run()
    sender.owe(_command(1))

    assert sender.run() == "done"

    assert len(sender.pauses) == 1
    assert sender.metrics.observed("turn_wait_seconds", limit="bloomreach") == [0, sum(sender.pauses)]


def test_several_in_a_message_wait_for_their_turns_together_no_longer_than_one(sender: _Sender) -> None:
    sender.limit = FakeRateLimit(sender.clock, calls=1, window_s=1.5)
    for number in range(4):
        sender.owe(_command(number))
    began_at = sender.clock()

    sender.run()

    assert sum(sender.pauses) <= 2
    assert sender.clock() - began_at < timedelta(seconds=3)
    # Which of them come first is chance: their ids are as old as each other.
    assert sorted(sender.states().values()) == [("open", None)] * 2 + [("sent", None)] * 2
    assert [row.attempts for row in sender.owed() if row.state == "open"] == [0, 0]


@pytest.mark.parametrize(
    "error", [_NO_ANSWER, UnreadableAnswer(VENDOR, "200 with an answer without results")]
)
def test_what_may_have_arrived_is_repeated_a_few_times_long_apart_and_then_parked(
    sender: _Sender, error: VendorUnavailable
) -> None:
    sender.owe(_command(0), _command(1))
    sender.vendor.answers.extend([error] * 20)

    sender.run_until_quiet()

    assert len(sender.vendor.calls) == 5
    assert sender.clock() - START >= timedelta(minutes=15)
    assert sender.states() == _whole("parked", "UNCONFIRMED", count=2)


def test_doubt_is_counted_by_doubt_and_not_by_what_failed_before(sender: _Sender) -> None:
    sender.owe(_command(0))
    sender.vendor.answers.extend([*[_DOWN] * 10, _NO_ANSWER])

    sender.run_until_quiet()

    assert sender.states() == _whole("sent", count=1)


def test_of_a_call_that_is_refused_as_a_whole_only_the_one_at_fault_is_parked(sender: _Sender) -> None:
    sender.owe(*(_command(number) for number in range(50)))
    sender.vendor.verdict = _refuses("r17")

    assert sender.run() == "done"

    states = sender.states()
    assert states.pop("r17") == ("parked", "REFUSED_400")
    assert set(states.values()) == {("sent", None)}
    assert sorted(_numbers(sender.vendor.taken)) == sorted(states)
    assert len(sender.vendor.calls) <= 13
    assert len(sender.limit.taken) == len(sender.vendor.calls)


def test_a_call_that_fails_while_halving_leaves_what_was_taken_taken(sender: _Sender) -> None:
    sender.owe(*(_command(number) for number in range(4)))
    refused = VendorRefused(VENDOR, 400)
    sender.vendor.answers.extend([refused, [TAKEN, TAKEN], _DOWN])

    assert "503" in sender.run()

    assert list(sender.states().values()) == [("sent", None)] * 2 + [("open", None)] * 2
    sender.run_until_quiet()
    assert _numbers(sender.vendor.taken) == ["r0", "r1", "r2", "r3"]


@pytest.mark.parametrize(
    "error",
    [
        VendorCredentialsRefused(VENDOR, 401),
        VendorCredentialsRefused(VENDOR, 403),
        VendorRefused(VENDOR, 404),
        VendorRefused(VENDOR, 302),
    ],
)
def test_where_no_command_is_at_fault_the_lane_is_paused_and_nothing_is_lost(
    sender: _Sender, error: ClearanceError, log_events: list[Any]
) -> None:
    sender.owe(_command(0), _command(1))
    sender.vendor.answers.append(error)

    sender.run()

    with sender.ledger.read() as connection:
        pause = lane_pauses.paused(connection)[Lane.TRACK]
    assert (pause.paused_by, pause.reason) == ("worker", str(error))
    assert sender.metrics.counted("lane_pauses_total", lane="track") == 1
    assert [each["log_level"] for each in log_events if each["event"] == "lane.paused"] == ["error"]
    assert sender.states() == _whole("open", count=2)

    sender.clock.advance(60)
    assert sender.run().startswith("nothing to do")
    assert len(sender.vendor.calls) == 1

    with sender.ledger.write() as connection:
        lane_pauses.resume(connection, Lane.TRACK)
    assert sender.run() == "done"
    assert sender.states() == _whole("sent", count=2)


@pytest.mark.parametrize("unconfirmed", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_ledger_that_fails_at_a_commit_sends_nothing_twice(
    sender: _Sender, at: int, unconfirmed: bool
) -> None:
    sender.owe(_command(0))
    submit, seen = sender.commits.submit, 0

    def failing(operation: Any, item: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == at:
            setattr(sender.commits, "unconfirmed" if unconfirmed else "away", 1)
        return submit(operation, item)

    sender.commits.submit = failing  # type: ignore[method-assign]  # the ledger fails meanwhile

    with suppress(CeleryRetry):
        sender.run()
    sender.clock.advance(60)
    sender.run()

    assert len(sender.vendor.calls) == 1
    assert sender.states() == _whole("sent", count=1)


def _refuses(about: str) -> Callable[[Sequence[Command]], Exception | None]:
    def verdict(commands: Sequence[Command]) -> Exception | None:
        return VendorRefused(VENDOR, 400) if about in _numbers(commands) else None

    return verdict


def test_states_of_commands_are_those_of_the_ledger() -> None:
    assert {each.value for each in CommandState} == {"open", "sent", "parked", "discarded"}
