"""What happens around every task: claim, work, and an outcome in the ledger, whatever goes wrong.

In: a message with the ids of obligations, usually one. Out: each done, open again, missed or parked, and the same told
to Celery, so that Flower shows it. This is the only place where an error becomes an outcome:

    returned          done
    RetryLater        open again, later; missed when that is past its last moment
    DeadlinePassed    missed
    Park, Reject      parked
    anything else     parked as a bug

A message is a hint: one that is lost is published again by the guardian, one that comes twice finds its obligation
claimed. Under load a message carries several: they are claimed, and later finished, together, and worked on at once;
whatever happens to one is its own. While the ledger is away a task waits for it: before its work until the deadline,
after its work for as long as the worker lives, because what was sent must be recorded.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import structlog
from celery import Task
from celery.exceptions import Retry as CeleryRetry

from clearance import tracing
from clearance.clock import Clock
from clearance.errors import (
    ClearanceError,
    DeadlinePassed,
    LedgerUnavailable,
    Park,
    RetryLater,
)
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.obligations import Claimed, Done, Missed, MissedReason, ObligationId, Outcome, Parked, Retry
from clearance.telemetry import Metrics
from tasks import flower
from tasks.leases import Leases

log = structlog.get_logger()

MESSAGE_VERSION = 1
_FIRST_BACKOFF_S = 0.25
_SHORTEST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 60.0
# Doubled so often, the back-off is long past its longest.
_MOST_DOUBLINGS = 16
_LEDGER_PAUSE_S = 0.2


class ObligationMissed(Exception):
    """Celery's view of a missed obligation."""


class ObligationParked(Exception):
    """Celery's view of a parked obligation."""


class TaskBroken(Exception):
    """Celery's view of a bug outside of an obligation's work: its type, because its text may hold anything."""


class Attempt(Protocol):
    """What a lane holds while it works on an obligation; a lane adds what it will record."""

    @property
    def claimed(self) -> Claimed:
        """The obligation, and the fence of this attempt."""

    @property
    def is_unconfirmed(self) -> bool:
        """Whether a call made so far, in this attempt or an earlier one, may have been taken without our hearing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every task works with. `pause` is `time.sleep`, `jitter` gives 0 to 1: both injected for tests."""

    commits: GroupCommit
    leases: Leases
    metrics: Metrics
    clock: Clock
    pause: Callable[[float], None]
    eta_window: timedelta
    jitter: Callable[[], float] = random.random
    at_once: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]] = map
    """How several are worked on: `map` one after the other, a thread pool's `map` at once."""


Held = TypeVar("Held", bound=Attempt)
Needs = TypeVar("Needs", bound=Services)


class ObligationTask(Task, ABC, Generic[Held, Needs]):
    """One kind of obligation; a lane says how it is claimed, worked and finished.

    Attributes:
        name: Explicit, never reused: messages in flight outlive a deploy.
        lane: The lane whose queue and workers it has.
    """

    abstract = True
    typing = (
        False  # the messages are ours: checking their arguments against the signature costs and finds nothing
    )
    throws = (ObligationMissed, ObligationParked, TaskBroken)
    lane: ClassVar[str]

    def __init__(self, services: Callable[[], Needs]) -> None:
        """`services` is called at the first message, in the process that works on it: after a prefork fork."""
        self._make_services = services
        self._services: Needs | None = None

    def __call__(self, *obligation_ids: str, **message: Any) -> str:
        """One message, as Celery calls it: what it is told of an error, Flower shows to whoever looks."""
        try:
            # All of it: claim, work and the outcome's commit. The header is the way from whoever published it.
            with tracing.span("message.take", self.request.get("trace_id") or "", task=self.name):
                return str(self.run(*obligation_ids, **message))
        except (CeleryRetry, *self.throws):
            raise
        except Exception as error:
            log.exception("task.failed_on_a_bug")
            raise TaskBroken(type(error).__name__) from None

    @property
    def services(self) -> Needs:
        """What this process works with, made when it is first needed."""
        if self._services is None:
            self._services = self._make_services()
        return self._services

    def warm_up(self) -> None:
        """Make the services, and claim what does not exist: the ledger is connected and its statements compiled."""
        now = self.services.clock()
        request = ClaimRequest(obligation_id=ObligationId(""), now=now, lease_until=now)
        try:
            self.claim([request])
        except LedgerUnavailable as error:
            log.warning("worker.ledger_unavailable", error=str(error))

    @abstractmethod
    def claim(self, requests: Sequence[ClaimRequest]) -> list[Held | None]:
        """Hold the obligations; None for one with nothing to do. Raises `LedgerUnavailable`."""

    @abstractmethod
    def work(self, held: Held) -> None:
        """Meet the obligation, or raise one of the errors above."""

    @abstractmethod
    def finish(self, ends: Sequence[tuple[Held, Finish]]) -> list[bool]:
        """Write how attempts ended, with what they have to record; False where another has taken it over."""

    @abstractmethod
    def last_moment(self, deadline_at: datetime) -> datetime:
        """After this an attempt cannot meet the deadline any more."""

    def run(self, *obligation_ids: str, version: int, deadline_ms: int, **_newer: Any) -> str:
        """One message.

        Args:
            obligation_ids: Whose turn it is.
            version: Of the message; a newer one than this release knows is left to a newer worker.
            deadline_ms: Epoch milliseconds, the latest of theirs: until then a ledger that is away is waited for.
        """
        if version > MESSAGE_VERSION:
            log.error("message.too_new", obligations=len(obligation_ids), version=version)
            return "left to a newer worker"
        deadline_at = datetime.fromtimestamp(deadline_ms / 1000, UTC)
        if self.services.clock() >= self.last_moment(deadline_at):
            # Under a backlog this is what lets the worker reach those that can still be met.
            return "too late to begin: the guardian records it as missed"
        attempts = self._claimed(obligation_ids, deadline_at)
        if not attempts:
            return "nothing to do: finished, not due yet, held by another worker, or its lane is paused"
        with self.services.leases.holding(*(held.claimed for held in attempts)):
            outcomes = [self._worked(attempts[0])] if len(attempts) == 1 else self._worked_at_once(attempts)
            are_ours = self._finished(attempts, outcomes)
        told = [
            self._told(held.claimed, outcome, is_ours=is_ours)
            for held, outcome, is_ours in zip(attempts, outcomes, are_ours, strict=True)
        ]
        return self._shown(attempts, told)

    def _claimed(self, obligation_ids: Sequence[str], deadline_at: datetime) -> list[Held]:
        services = self.services
        while True:
            now = services.clock()
            lease_until = now + services.leases.lease
            try:
                found = self.claim(
                    [
                        ClaimRequest(obligation_id=ObligationId(each), now=now, lease_until=lease_until)
                        for each in obligation_ids
                    ]
                )
            except LedgerUnavailable as error:
                if services.clock() >= deadline_at:
                    raise _celery_retry(f"not claimed: {error}; the guardian decides", None) from None
                services.pause(_LEDGER_PAUSE_S * (0.5 + services.jitter()))
            else:
                return [held for held in found if held is not None]

    def _worked_at_once(self, attempts: Sequence[Held]) -> list[Outcome]:
        return list(self.services.at_once(self._worked, attempts))

    def _worked(self, held: Held) -> Outcome:
        claimed = held.claimed
        span = tracing.span(
            "obligation.work", claimed.trace_id, lane=str(claimed.lane), attempt=claimed.attempt
        )
        with bound(claimed), span:
            try:
                self.work(held)
            except Exception as error:  # noqa: BLE001 - this is where errors become outcomes
                return self._outcome_of(error, held)
            return Done()

    def _outcome_of(self, error: Exception, held: Held) -> Outcome:
        if isinstance(error, RetryLater):
            return self._retry(error, held)
        if isinstance(error, DeadlinePassed):
            return Missed(reason=MissedReason(error.reason), margin_s=error.margin_s, error=error.last_error)
        if isinstance(error, ClearanceError):
            reason = type(error).__name__ if isinstance(error, Park) else "STORED_INPUT_REFUSED"
            log.error("obligation.parked", reason=reason, error=str(error))
            return Parked(reason=reason, error=str(error))
        # The text of an unknown error may hold anything; its type and the logged place may not.
        log.exception("obligation.failed_on_a_bug")
        return Parked(reason="BUG", error=type(error).__name__)

    def _retry(self, error: RetryLater, held: Held) -> Outcome:
        services, claimed = self.services, held.claimed
        now = services.clock()
        doublings = min(claimed.attempt - 1, _MOST_DOUBLINGS)
        backoff_s = min(_FIRST_BACKOFF_S * 2**doublings, _LONGEST_BACKOFF_S) * (0.5 + services.jitter())
        # Near the deadline the waits grow shorter, so that who is back just in time is still answered.
        left_s = (self.last_moment(claimed.deadline_at) - now).total_seconds()
        backoff_s = min(backoff_s, max(left_s / 2, _SHORTEST_BACKOFF_S))
        wait_s = max(backoff_s, error.retry_after_s or 0.0)
        run_at = now + timedelta(seconds=wait_s)
        if run_at < self.last_moment(claimed.deadline_at):
            return Retry(run_at=run_at, reason=type(error).__name__, error=str(error))
        margin_s = (claimed.deadline_at - now).total_seconds()
        reason = MissedReason.SENT_UNCONFIRMED if held.is_unconfirmed else MissedReason.RETRIES_RAN_OUT
        return Missed(reason=reason, margin_s=margin_s, error=str(error))

    def _finished(self, attempts: Sequence[Held], outcomes: Sequence[Outcome]) -> list[bool]:
        services = self.services
        while True:
            ends = [
                (held, self._finish_of(held, outcome))
                for held, outcome in zip(attempts, outcomes, strict=True)
            ]
            try:
                return self.finish(ends)
            except LedgerUnavailable as error:
                log.warning("outcome.not_recorded_yet", obligations=len(ends), error=str(error))
                services.pause(_LEDGER_PAUSE_S * (0.5 + services.jitter()))

    def _finish_of(self, held: Held, outcome: Outcome) -> Finish:
        now, publish_at = self.services.clock(), self._publish_at(outcome)
        return Finish(claimed=held.claimed, outcome=outcome, now=now, publish_at=publish_at)

    def _publish_at(self, outcome: Outcome) -> datetime | None:
        return outcome.run_at - self.services.eta_window if isinstance(outcome, Retry) else None

    def _told(self, claimed: Claimed, outcome: Outcome, *, is_ours: bool) -> str | Exception:
        """Count and log how it ended; an exception is how Celery and Flower show what is not done."""
        metrics, lane, name = self.services.metrics, claimed.lane, type(outcome).__name__.lower()
        if not is_ours:
            metrics.count("leases_lost_total", lane=lane)
            return "taken over by another worker"
        metrics.count("obligation_outcomes_total", lane=lane, outcome=name)
        with bound(claimed):
            if isinstance(outcome, Retry):
                metrics.count("obligation_retries_total", lane=lane, reason=outcome.reason)
                log.warning("obligation.retried", attempt=claimed.attempt, error=outcome.error)
                told = f"attempt {claimed.attempt} failed, next at {outcome.run_at:%H:%M:%S.%f}Z: {outcome.error}"
                return _celery_retry(told, outcome.run_at)
            if isinstance(outcome, Missed):
                metrics.count("obligations_missed_total", lane=lane, reason=outcome.reason)
                log.error("obligation.missed", reason=outcome.reason, margin_s=round(outcome.margin_s, 3))
                return ObligationMissed(f"{outcome.reason}, {outcome.margin_s:+.3f} s: {outcome.error}")
        if isinstance(outcome, Parked):
            metrics.count("obligations_parked_total", lane=lane, reason=outcome.reason)
            return ObligationParked(f"{outcome.reason}: {outcome.error}")
        return "done"

    def _shown(self, attempts: Sequence[Held], told: Sequence[str | Exception]) -> str:
        """Celery's own way for a message with one obligation; for several, a row in Flower for each in trouble."""
        if len(told) == 1:
            if isinstance(told[0], Exception):
                raise told[0]
            return told[0]
        for held, each in zip(attempts, told, strict=True):
            if isinstance(each, Exception):
                flower.show(self, held.claimed, each)
        return f"{told.count('done')} of {len(told)} done"


def bound(claimed: Claimed) -> AbstractContextManager[None]:
    """Every line inside the block says whose it is, by the one id that follows a notification to its answer."""
    return structlog.contextvars.bound_contextvars(
        trace_id=claimed.trace_id, obligation=claimed.obligation_id
    )


def _celery_retry(told: str, when: datetime | None) -> Exception:
    # Raised, not sent: Celery tells Flower, and the guardian publishes when the time has come.
    retry: Exception = CeleryRetry(told, exc=RetryLater(told), when=when)
    return retry
