"""What a message to tell Bloomreach means: send a batch of commands, and write down what became of each.

In: an obligation whose subject is a batch of commands. Out: each of its commands sent, parked with its reason, or open
for another attempt:

    taken, by its position                       sent; its data is emptied
    refused, by its position                     parked
    malformed                                    parked, and never sent
    the whole call refused (400, 413, 422, …)    halved until the one is found that is at fault; that one parked
    429, 5xx, no connection                      open, again later; 429 cools the whole fleet down
    no answer, or one that cannot be read        open, again much later, a few times only; then parked
    401, 403, 404, 405, a redirect               open; the lane is paused until a person resumes it

An event that is sent again may be there twice, and scenarios start from events: so what may have arrived is repeated
seldom, and what was answered never. Waiting for the turn of its first call, or for the end of a cool-down, is no
attempt of a batch: nothing is claimed then.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import ClassVar, Protocol

import structlog

from clearance.bloomreach.commands import Command, CommandState
from clearance.bloomreach.replies import VENDOR, Result
from clearance.bloomreach.wellformed import problem
from clearance.errors import (
    ClearanceError,
    Park,
    RetryLater,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.ledger import track_work
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.ledger.track_work import CommandBatch, OpenCommand, PutBack, Settled, TrackEnd
from clearance.limits.cooldown import CoolDown
from clearance.limits.rate import RateLimit, Urgency, take_in_time
from clearance.obligations import Claimed, Lane
from tasks.base import ObligationTask, Services, bound

log = structlog.get_logger()

# A thread waits for a turn no longer than this; the obligation waits in the ledger.
_LONGEST_WAIT = timedelta(seconds=2)
_LOOK_AGAIN = timedelta(seconds=1)
# Everybody waits for the same end of a cool-down.
_SPREAD = timedelta(seconds=1)
_PAUSE_AFTER_429_S = 1.0
# What may have arrived is sent again after 1, 2, 4 and 8 minutes: a quarter of an hour for whatever is broken to be
# noticed and mended, and at the worst five events in place of one.
_MOST_SENDS = 5
_FIRST_DOUBT_S = 60.0
# Who answers these is not the Bloomreach, or not the project, that is meant: no command is at fault.
_WRONG_PLACE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
_PAUSED_BY = "worker"


class NoTurn(RetryLater):
    """The rate limit leaves no turn now; nothing was sent."""


class LanePaused(RetryLater):
    """Nobody may go on before a person has acted; nothing is lost meanwhile."""


class TellsBloomreach(Protocol):
    """Where commands go: `clearance.bloomreach.client.BloomreachClient`, or a fake."""

    def send(self, commands: Sequence[Command]) -> list[Result]:
        """What became of each, by position. Raises `RetryLater` or a `Park`."""


@dataclass(slots=True)
class SendAttempt:
    """A batch that this worker holds, and what became of its commands so far."""

    batch: CommandBatch
    settled: list[Settled] = field(default_factory=list)
    unconfirmed: list[str] = field(default_factory=list)
    pause: LanePause | None = None

    @property
    def claimed(self) -> Claimed:
        """See `tasks.base.Attempt`."""
        return self.batch.claimed

    @property
    def is_unconfirmed(self) -> bool:
        """See `tasks.base.Attempt`."""
        return bool(self.unconfirmed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendServices(Services):
    """What this task needs besides."""

    vendor: TellsBloomreach
    limit: RateLimit
    cooldown: CoolDown
    commands_per_call: int


class SendCommands(ObligationTask[SendAttempt, SendServices]):
    """Tell Bloomreach what is still open of one batch."""

    name = "clearance.track.send"
    lane: ClassVar[str] = "track"

    def claim(self, requests: Sequence[ClaimRequest]) -> list[SendAttempt | None]:
        """The batches for which there is a turn; the others are looked at again a little later."""
        # One wait for the whole message: what was claimed first is not worked on, nor renewed, until the last is.
        until = self.services.clock() + _LONGEST_WAIT
        asked = [self._claim(request, until=until) for request in requests]
        found = [future.result() for future in asked]
        return [SendAttempt(batch) if batch else None for batch in found]

    def finish(self, ends: Sequence[tuple[SendAttempt, Finish]]) -> list[bool]:
        """The outcome, with what became of each command."""
        asked = [
            self.services.commits.submit(
                track_work.end_many,
                TrackEnd(
                    finish=finish,
                    settled=tuple(attempt.settled),
                    unconfirmed=tuple(attempt.unconfirmed),
                    pause=attempt.pause,
                ),
            )
            for attempt, finish in ends
        ]
        are_ours = [future.result() for future in asked]
        for (attempt, _), is_ours in zip(ends, are_ours, strict=True):
            if is_ours:
                self._tell(attempt)
        return are_ours

    def last_moment(self, deadline_at: datetime) -> datetime:
        """Whatever comes before the deadline counts."""
        return deadline_at

    def work(self, held: SendAttempt) -> None:
        """Send what is well-formed, call by call. The turn for the first call was taken with the claim."""
        sendable = list(self._sendable(held))
        size = self.services.commands_per_call
        for first in range(0, len(sendable), size):
            if first:
                self._take_turn()
            self._send(held, sendable[first : first + size])

    def _claim(self, request: ClaimRequest, *, until: datetime) -> "Future[CommandBatch | None]":
        services = self.services
        wait = timedelta(seconds=services.cooldown.remaining_s())
        if not wait and not self._has_turn(until):
            wait = _LOOK_AGAIN
        if not wait:
            return services.commits.submit(track_work.claim_many, request)
        publish_at = services.clock() + wait + _SPREAD * services.jitter()
        put_back = PutBack(obligation_id=request.obligation_id, publish_at=publish_at)
        return services.commits.submit(track_work.put_back_many, put_back)

    def _has_turn(self, until: datetime) -> bool:
        services = self.services
        asked_at = services.clock()
        has_turn = take_in_time(
            services.limit,
            Urgency.ORDINARY,
            until=until,
            clock=services.clock,
            pause=services.pause,
            jitter=services.jitter,
        )
        waited_s = (services.clock() - asked_at).total_seconds()
        services.metrics.observe("turn_wait_seconds", waited_s, limit="bloomreach")
        return has_turn

    def _take_turn(self) -> None:
        if not self._has_turn(self.services.clock() + _LONGEST_WAIT):
            raise NoTurn(f"{VENDOR}: no turn within the rate limit")

    def _sendable(self, held: SendAttempt) -> Iterator[OpenCommand]:
        for each in held.batch.commands:
            told = problem(each.command)
            if told is None:
                yield each
            else:
                _park(held, each, "MALFORMED", told)

    def _send(self, held: SendAttempt, commands: Sequence[OpenCommand]) -> None:
        """One call, or as many as it takes to find which command is refused."""
        try:
            results = self._call(commands)
        except VendorThrottled as error:
            self.services.cooldown.start(error.retry_after_s or _PAUSE_AFTER_429_S)
            self.services.metrics.count("vendor_cooldowns_total", vendor=VENDOR)
            raise
        except VendorUnavailable as error:
            if not error.is_unconfirmed:
                raise
            self._doubt(held, commands, error)
        except VendorCredentialsRefused as error:
            raise self._paused(held, error) from None
        except VendorRefused as error:
            if error.status in _WRONG_PLACE or error.status < HTTPStatus.BAD_REQUEST:
                raise self._paused(held, error) from None
            self._halve(held, commands, error)
        else:
            for each, result in zip(commands, results, strict=True):
                _settle(held, each, result)

    def _call(self, commands: Sequence[OpenCommand]) -> list[Result]:
        began_at = self.services.clock()
        outcome, status = "failed", None
        try:
            results = self.services.vendor.send([each.command for each in commands])
            outcome, status = "answered", HTTPStatus.OK.value
            return results
        except ClearanceError as error:
            status = getattr(error, "status", None)
            raise
        finally:
            took_s = (self.services.clock() - began_at).total_seconds()
            self.services.metrics.observe(
                "vendor_call_seconds",
                took_s,
                vendor=VENDOR,
                call="batch",
                outcome=outcome,
                status=status or "none",
            )

    def _halve(self, held: SendAttempt, commands: Sequence[OpenCommand], error: VendorRefused) -> None:
        if len(commands) == 1:
            _park(held, commands[0], f"REFUSED_{error.status}", str(error))
            return
        middle = len(commands) // 2
        for half in (commands[:middle], commands[middle:]):
            self._take_turn()
            self._send(held, half)

    def _doubt(self, held: SendAttempt, commands: Sequence[OpenCommand], error: VendorUnavailable) -> None:
        sends = max(each.unconfirmed for each in commands) + 1
        if sends >= _MOST_SENDS:
            for each in commands:
                _park(held, each, "UNCONFIRMED", str(error))
            return
        held.unconfirmed += [each.command_id for each in commands]
        error.retry_after_s = _FIRST_DOUBT_S * 2 ** (sends - 1)
        raise error

    def _paused(self, held: SendAttempt, error: Park) -> LanePaused:
        held.pause = LanePause(
            lane=Lane.TRACK, paused_at=self.services.clock(), paused_by=_PAUSED_BY, reason=str(error)
        )
        return LanePaused(str(error))

    def _tell(self, attempt: SendAttempt) -> None:
        metrics, claimed = self.services.metrics, attempt.claimed
        for each in attempt.settled:
            metrics.count("track_commands_total", outcome=each.state.value)
            if each.state is CommandState.PARKED:
                log.error(
                    "track.command_parked",
                    obligation=claimed.obligation_id,
                    trace_id=claimed.trace_id,
                    command=each.command_id,
                    reason=each.reason,
                )
        with bound(claimed):
            sent = sum(each.state is CommandState.SENT for each in attempt.settled)
            log.info("commands.sent", commands=sent, of=len(attempt.settled))
        if attempt.pause is not None:
            metrics.count("lane_pauses_total", lane=claimed.lane)
            log.error("lane.paused", lane=str(claimed.lane), reason=attempt.pause.reason)


def _settle(held: SendAttempt, each: OpenCommand, result: Result) -> None:
    if result.is_taken:
        held.settled.append(Settled(command_id=each.command_id, state=CommandState.SENT))
    else:
        _park(held, each, "REFUSED", result.error)


def _park(held: SendAttempt, each: OpenCommand, reason: str, error: str) -> None:
    held.settled.append(
        Settled(command_id=each.command_id, state=CommandState.PARKED, reason=reason, error=error)
    )
