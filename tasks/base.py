"""What happens around every task: claim, work, and an outcome in the ledger, whatever goes wrong.

In: a message with an obligation's id. Out: the obligation done, open again, missed or parked, and the same told to
Celery, so that Flower shows it. This is the only place where an error becomes an outcome:

    returned          done
    RetryLater        open again, later; missed when that is past its last moment
    DeadlinePassed    missed
    Park, Reject      parked
    anything else     parked as a bug

A message is a hint: one that is lost is published again by the guardian, one that comes twice finds its obligation
claimed. While the ledger is away a task waits for it: before its work until the deadline, after its work for as long as
the worker lives, because what was sent must be recorded.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import structlog
from celery import Task
from celery.exceptions import Retry as CeleryRetry

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
    throws = (ObligationMissed, ObligationParked)
    lane: ClassVar[str]

    def __init__(self, services: Callable[[], Needs]) -> None:
        """`services` is called at the first message, in the process that works on it: after a prefork fork."""
        self._make_services = services
        self._services: Needs | None = None

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
            self.claim(request)
        except LedgerUnavailable as error:
            log.warning("worker.ledger_unavailable", error=str(error))

    @abstractmethod
    def claim(self, request: ClaimRequest) -> Held | None:
        """Hold the obligation; None when there is nothing to do. Raises `LedgerUnavailable`."""

    @abstractmethod
    def work(self, held: Held) -> None:
        """Meet the obligation, or raise one of the errors above."""

    @abstractmethod
    def finish(self, held: Held, finish: Finish) -> bool:
        """Write how the attempt ended, and what it has to record; False when another has taken it over."""

    @abstractmethod
    def last_moment(self, deadline_at: datetime) -> datetime:
        """After this an attempt cannot meet the deadline any more."""

    def run(self, obligation_id: str, *, version: int, deadline_ms: int, **_newer: Any) -> str:
        """One message.

        Args:
            obligation_id: Whose turn it is.
            version: Of the message; a newer one than this release knows is left to a newer worker.
            deadline_ms: Epoch milliseconds: until then a ledger that is away is waited for.
        """
        if version > MESSAGE_VERSION:
            log.error("message.too_new", obligation=obligation_id, version=version)
            return "left to a newer worker"
        deadline_at = datetime.fromtimestamp(deadline_ms / 1000, UTC)
        if self.services.clock() >= self.last_moment(deadline_at):
            # Under a backlog this is what lets the worker reach those that can still be met.
            return "too late to begin: the guardian records it as missed"
        held = self._claim(ObligationId(obligation_id), deadline_at)
        if held is None:
            return "nothing to do: finished, not due yet, or held by another worker"
        claimed = held.claimed
        with (
            structlog.contextvars.bound_contextvars(
                trace_id=claimed.trace_id, obligation=claimed.obligation_id
            ),
            self.services.leases.holding(claimed),
        ):
            outcome = self._worked(held)
            return self._told(claimed, outcome, is_ours=self._finish(held, outcome))

    def _claim(self, obligation_id: ObligationId, deadline_at: datetime) -> Held | None:
        services = self.services
        while True:
            now = services.clock()
            request = ClaimRequest(
                obligation_id=obligation_id, now=now, lease_until=now + services.leases.lease
            )
            try:
                return self.claim(request)
            except LedgerUnavailable as error:
                if services.clock() >= deadline_at:
                    raise _celery_retry(f"not claimed: {error}; the guardian decides", None) from None
                services.pause(_LEDGER_PAUSE_S * (0.5 + services.jitter()))

    def _worked(self, held: Held) -> Outcome:
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

    def _finish(self, held: Held, outcome: Outcome) -> bool:
        services = self.services
        publish_at = outcome.run_at - services.eta_window if isinstance(outcome, Retry) else None
        while True:
            finish = Finish(
                claimed=held.claimed, outcome=outcome, now=services.clock(), publish_at=publish_at
            )
            try:
                return self.finish(held, finish)
            except LedgerUnavailable as error:
                log.warning("outcome.not_recorded_yet", error=str(error))
                services.pause(_LEDGER_PAUSE_S * (0.5 + services.jitter()))

    def _told(self, claimed: Claimed, outcome: Outcome, *, is_ours: bool) -> str:
        metrics, lane, name = self.services.metrics, claimed.lane, type(outcome).__name__.lower()
        if not is_ours:
            metrics.count("leases_lost_total", lane=lane)
            return "taken over by another worker"
        metrics.count("obligation_outcomes_total", lane=lane, outcome=name)
        if isinstance(outcome, Retry):
            metrics.count("obligation_retries_total", lane=lane, reason=outcome.reason)
            told = f"attempt {claimed.attempt} failed, next at {outcome.run_at:%H:%M:%S.%f}Z: {outcome.error}"
            log.warning("obligation.retried", attempt=claimed.attempt, error=outcome.error)
            raise _celery_retry(told, outcome.run_at)
        if isinstance(outcome, Missed):
            metrics.count("obligations_missed_total", lane=lane, reason=outcome.reason)
            log.error("obligation.missed", reason=outcome.reason, margin_s=round(outcome.margin_s, 3))
            raise ObligationMissed(f"{outcome.reason}, {outcome.margin_s:+.3f} s: {outcome.error}")
        if isinstance(outcome, Parked):
            raise ObligationParked(f"{outcome.reason}: {outcome.error}")
        return "done"


def _celery_retry(told: str, when: datetime | None) -> CeleryRetry:
    # Raised, not sent: Celery tells Flower, and the guardian publishes when the time has come.
    return CeleryRetry(told, exc=RetryLater(told), when=when)
