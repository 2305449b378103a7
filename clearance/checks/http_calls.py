"""How is one batch asked until it is answered, or time is up? Calls, repeats, cool-downs and the breaker of a check.

In: a request, whom it is about, and when it must end. Out: answers, or `Unanswered`, which says why. The protocol is
safe to repeat with the same Idempotency-Key, so whatever may pass is repeated while time lasts:

| what happens | what is done | `why` |
|---|---|---|
| no connection | again, after a growing pause | `unreachable` |
| silence, a reset, half a reply | again, after a growing pause | `no_answer` |
| 5xx | again, after the longer of that pause and its Retry-After | `server_error` |
| 429 | the fleet cools down; again afterwards, if there is time | `throttled` |
| any other status but 2xx | given up | `refused` |
| a 2xx that is no answer, or too long | given up | `malformed` |
| an answer after the end, or no time to ask | given up | `late`, `no_time` |
| the breaker is open | given up at once | `breaker_open` |
"""

import random
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import count
from time import monotonic, sleep
from typing import Protocol

import structlog

from clearance.checks.breaker import Breaker
from clearance.checks.destination import destination_of
from clearance.checks.http_protocol import Answers, MalformedAnswer, Request, load_answers
from clearance.clock import Clock, utc_now
from clearance.decisions.rules import HttpCheck
from clearance.errors import ClearanceError, VendorThrottled, VendorUnavailable
from clearance.http.exchange import Reply, ReplyTooLong
from clearance.limits.cooldown import CoolDown
from clearance.telemetry import Metrics

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_PAUSE_AFTER_429_S = 0.5
# A call that was given less says more about our haste than about the system.
_FAIR_S = 0.25


class Exchanges(Protocol):
    """`clearance.http.exchange.BoundedHttp`, as far as a check uses it."""

    def exchange(
        self, method: str, path: str, body: bytes | None, *, timeout_s: float, headers: Mapping[str, str]
    ) -> Reply:
        """One request, sent once; raises a `ClearanceError` unless it is answered with 2xx."""


class Unanswered(Exception):
    """A batch has no answer. `why` is a word of the module's table, `status` the last one if there was any."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class HttpCalls:
    """The calls of one `http` check. Threads share it.

    Args:
        check: With its URL and headers resolved.
        http: See `destination.open_exchange`.
        cooldown, breaker: Those of the destination (`destination_of(check.url).name`): all its checks share them.
        pause, jitter, time: Sleeping, a number from 0 to 1, and a clock that never goes back, all in seconds.
    """

    def __init__(
        self,
        check: HttpCheck,
        *,
        http: Exchanges,
        cooldown: CoolDown,
        breaker: Breaker,
        metrics: Metrics,
        clock: Clock = utc_now,
        pause: Callable[[float], None] = sleep,
        jitter: Callable[[], float] = random.random,
        time: Callable[[], float] = monotonic,
    ) -> None:
        self._check = check
        self._target = destination_of(check.url).target
        self._http = http
        self._cooldown = cooldown
        self._breaker = breaker
        self._metrics = metrics
        self._clock = clock
        self._pause = pause
        self._jitter = jitter
        self._time = time

    def answers(self, request: Request, asked: frozenset[str], *, ends_at: datetime) -> Answers:
        """What the system says of those who are `asked` about.

        Raises:
            Unanswered: It said nothing that can be used, or not by `ends_at`.
        """
        failure: Unanswered | None = None
        for attempt in count():
            self._wait_for_cooldown(ends_at)
            left_s = self._left_s(ends_at)
            if left_s <= 0:
                raise failure or Unanswered("no_time")
            if not self._breaker.admits():
                raise failure or Unanswered("breaker_open")
            try:
                return self._call(request, asked, min(self._check.timeout_s, left_s), ends_at)
            except VendorThrottled as error:
                failure = Unanswered("throttled", error.status)
                self._hold_fleet_back(error, attempt)
            except VendorUnavailable as error:
                failure = Unanswered(_why(error), error.status)
                # Near the end the pauses grow shorter, so that who is back just in time is still heard.
                pause_s = min(self._pause_s(attempt), max(self._left_s(ends_at) / 2, _FIRST_PAUSE_S))
                self._wait(max(pause_s, error.retry_after_s or 0.0), ends_at, failure)
        raise AssertionError("counting never ends")

    def _call(self, request: Request, asked: frozenset[str], timeout_s: float, ends_at: datetime) -> Answers:
        """One call, counted, and told to the breaker.

        Raises:
            VendorThrottled, VendorUnavailable: Call again.
            Unanswered: Do not.
        """
        began_s, outcome = self._time(), "failed"
        headers = {"Idempotency-Key": request.idempotency_key}
        try:
            reply = self._http.exchange(
                "POST", self._target, request.body, timeout_s=timeout_s, headers=headers
            )
            self._breaker.succeeded()
            if self._left_s(ends_at) < 0:
                raise Unanswered("late", reply.status)
            outcome = "malformed"
            answers = load_answers(reply.body, asked)
            outcome = "answered"
            return answers
        except MalformedAnswer:
            raise Unanswered("malformed", reply.status) from None
        except ReplyTooLong:
            self._breaker.succeeded()
            outcome = "malformed"
            raise Unanswered("malformed") from None
        except VendorUnavailable as error:
            if error.status is not None or timeout_s >= min(_FAIR_S, self._check.timeout_s):
                self._note_unavailable()
            raise
        except VendorThrottled:
            self._breaker.succeeded()
            outcome = "throttled"
            raise
        except ClearanceError as error:
            self._breaker.succeeded()
            raise Unanswered("refused", getattr(error, "status", None)) from None
        finally:
            took_s = self._time() - began_s
            self._metrics.observe("check_call_seconds", took_s, check=self._check.id, outcome=outcome)

    def _wait_for_cooldown(self, ends_at: datetime) -> None:
        while (remaining_s := self._cooldown.remaining_s()) > 0:
            # Not all of the fleet in the same moment.
            self._wait(remaining_s + _FIRST_PAUSE_S * self._jitter(), ends_at, Unanswered("throttled"))

    def _hold_fleet_back(self, error: VendorThrottled, attempt: int) -> None:
        wanted_s = _PAUSE_AFTER_429_S if error.retry_after_s is None else error.retry_after_s
        self._cooldown.start(max(wanted_s, self._pause_s(attempt)))
        self._metrics.count("check_cooldowns_total", check=self._check.id)
        log.warning("check.was_throttled", check=self._check.id, retry_after_s=error.retry_after_s)

    def _note_unavailable(self) -> None:
        if self._breaker.failed():
            self._metrics.count("check_breaker_opened_total", check=self._check.id)
            log.warning("check.breaker_opened", check=self._check.id)

    def _wait(self, wait_s: float, ends_at: datetime, failure: Unanswered) -> None:
        """Wait if it ends in time. Raises: Unanswered: It does not: `failure`."""
        if wait_s >= self._left_s(ends_at):
            raise failure
        self._pause(wait_s)

    def _pause_s(self, attempt: int) -> float:
        """Half to all of a pause that doubles with each attempt."""
        whole_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(attempt, 10))
        return whole_s * (1 + self._jitter()) / 2

    def _left_s(self, ends_at: datetime) -> float:
        return (ends_at - self._clock()).total_seconds()


def _why(error: VendorUnavailable) -> str:
    if error.status is not None:
        return "server_error"
    return "no_answer" if error.may_have_arrived else "unreachable"
