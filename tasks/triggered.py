"""What a message of the triggered lane means: decide about one notification and send the approval in time.

In: an obligation whose subject is a notification. Out: an approval that Optimove has taken, or an error that says why
not. Optimove takes the first answer for a customer and action, so a repeated call is harmless and every failure that
may pass is repeated while the budget lasts: briefly here, then by way of the ledger, which frees the thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

import structlog

from clearance import tracing
from clearance.deadline import Deadline
from clearance.decisions.decision import Decision
from clearance.errors import ClearanceError, DeadlinePassed, RetryLater, VendorThrottled, VendorUnavailable
from clearance.identifiers import new_id
from clearance.ledger import triggered as ledger
from clearance.ledger.decisions import Answer, NewApproval, NewDecision
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.limits.cooldown import CoolDown
from clearance.limits.rate import RateLimit, Urgency
from clearance.obligations import Claimed, MissedReason
from clearance.optimove.http import VENDOR
from clearance.optimove.triggered import TriggeredNotification, reload_triggered
from tasks.base import ObligationTask, Services
from tasks.deciding import Decides

log = structlog.get_logger()

# So many calls in the first run of the task, then the thread is given back and the ledger waits. A later run calls
# once: a vendor that is down must not hear more of us the longer it takes.
_CALLS_IN_FIRST_RUN = 3
_FIRST_PAUSE_S = 0.05
_PAUSE_AFTER_429_S = 0.5
# A thread waits this long for a cool-down; for a longer one it is given back.
_LONGEST_WAIT_S = 1.0


class ApprovalCall(Protocol):
    """The answer of `submit_triggered_approval` as far as this lane reads it."""

    @property
    def status(self) -> int:
        """The vendor's HTTP status, 2xx."""


class Approvals(Protocol):
    """Where approvals go: `clearance.optimove.client.OptimoveClient`, or a fake."""

    def submit_triggered_approval(
        self, *, request_uid: str, approved: bool, at: datetime, timeout_s: float
    ) -> ApprovalCall:
        """Send one approval; raises `VendorUnavailable`, `VendorThrottled` or a `Park`."""


@dataclass(slots=True)
class ApprovalAttempt:
    """One run: the obligation held, what the vendor sent, and what was decided and sent so far.

    `recorded` is what an earlier attempt decided: it stands.
    """

    claimed: Claimed
    body: bytes
    was_unconfirmed: bool = False
    recorded: Decision | None = None
    decision: NewDecision | None = None
    approvals: list[NewApproval] = field(default_factory=list)

    @property
    def is_unconfirmed(self) -> bool:
        """See `tasks.base.Attempt`."""
        return self.was_unconfirmed or any(call.answer is Answer.UNKNOWN for call in self.approvals)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggeredServices(Services):
    """What this lane needs besides: who decides, the vendor, and what may be spent on one call.

    `limit` is the scheduled lanes' where the vendor counts both together; None where this lane has a limit of its own.
    """

    decider: Decides
    vendor: Approvals
    cooldown: CoolDown
    send_margin: timedelta
    attempt_timeout_s: float
    limit: RateLimit | None = None


class ApproveTriggered(ObligationTask[ApprovalAttempt, TriggeredServices]):
    """Answer one triggered notification inside its deadline (seconds)."""

    name = "clearance.triggered.approve"
    lane: ClassVar[str] = "triggered"

    def claim(self, requests: Sequence[ClaimRequest]) -> list[ApprovalAttempt | None]:
        """The obligations together with their notifications."""
        asked = [self.services.commits.submit(ledger.claim_many, request) for request in requests]
        return [_attempt(future.result()) for future in asked]

    def finish(self, ends: Sequence[tuple[ApprovalAttempt, Finish]]) -> list[bool]:
        """The outcomes together with the decisions and every call that was made."""
        asked = [
            self.services.commits.submit(
                ledger.finish_many,
                ledger.Answered(finish=finish, decision=held.decision, approvals=tuple(held.approvals)),
            )
            for held, finish in ends
        ]
        return [future.result() for future in asked]

    def last_moment(self, deadline_at: datetime) -> datetime:
        """The approval must leave in time for the network."""
        return deadline_at - self.services.send_margin

    def work(self, held: ApprovalAttempt) -> None:
        """Decide, then send until the vendor has taken it, the budget is spent or the thread is needed elsewhere."""
        notification = reload_triggered(held.body)
        self._send(held, notification, approved=self._decided(held, notification).approved)

    def _decided(self, held: ApprovalAttempt, notification: TriggeredNotification) -> Decision:
        if held.recorded is not None:
            return held.recorded
        with tracing.span("notification.decide"):
            held.decision = self.services.decider.decide(
                notification,
                subject=held.claimed.subject,
                last_moment=self.last_moment(held.claimed.deadline_at),
            )
        return held.decision.decision

    def _send(self, held: ApprovalAttempt, notification: TriggeredNotification, *, approved: bool) -> None:
        services = self.services
        deadline = Deadline(held.claimed.deadline_at, services.send_margin)
        failure: RetryLater | None = None
        calls = _CALLS_IN_FIRST_RUN if held.claimed.attempt == 1 else 1
        for call in range(1, calls + 1):
            self._wait_for_turn(deadline)
            now = services.clock()
            if deadline.remaining_s(now) <= 0:
                raise self._too_late(held, deadline, now, failure)
            try:
                self._call(held, notification, approved, deadline, now)
            except RetryLater as error:
                failure = error
                self._hold_back(error, deadline, call, is_last=call == calls)
            else:
                return
        assert failure is not None  # noqa: S101 - every other way out of the loop returns or raises
        raise failure

    def _wait_for_turn(self, deadline: Deadline) -> None:
        services = self.services
        asked_at = services.clock()
        self._wait(services.cooldown.remaining_s(), deadline)
        if services.limit is not None:
            while wait_s := services.limit.take(Urgency.URGENT):
                self._wait(wait_s, deadline)
        waited_s = (services.clock() - asked_at).total_seconds()
        services.metrics.observe("turn_wait_seconds", waited_s, limit="optimove_triggered")

    def _wait(self, wait_s: float, deadline: Deadline) -> None:
        if wait_s <= 0:
            return
        # Jitter: the whole fleet waits for the same moment.
        wait_s += self.services.jitter() * _FIRST_PAUSE_S
        if wait_s > _LONGEST_WAIT_S or wait_s >= deadline.remaining_s(self.services.clock()):
            raise VendorThrottled(VENDOR, retry_after_s=wait_s)
        self.services.pause(wait_s)

    def _hold_back(self, error: RetryLater, deadline: Deadline, call: int, *, is_last: bool) -> None:
        if isinstance(error, VendorThrottled):
            self.services.cooldown.start(error.retry_after_s or _PAUSE_AFTER_429_S)
            self.services.metrics.count("vendor_cooldowns_total", vendor=VENDOR)
            return
        backoff_s = _FIRST_PAUSE_S * 2 ** (call - 1) * (0.5 + self.services.jitter())
        wait_s = max(backoff_s, error.retry_after_s or 0.0)
        if is_last or wait_s > _LONGEST_WAIT_S:
            raise error
        self.services.pause(max(0.0, min(wait_s, deadline.remaining_s(self.services.clock()))))

    def _call(
        self,
        held: ApprovalAttempt,
        notification: TriggeredNotification,
        approved: bool,
        deadline: Deadline,
        now: datetime,
    ) -> None:
        services = self.services
        margin_s = deadline.margin_s(now)
        services.metrics.observe("submission_margin_seconds", margin_s, lane=self.lane)
        # Until the vendor has answered: also what is recorded if the call ends in a bug.
        status, answer, failed = None, Answer.UNKNOWN, None
        try:
            reply = services.vendor.submit_triggered_approval(
                request_uid=notification.request_uid,
                approved=approved,
                at=now,
                timeout_s=min(services.attempt_timeout_s, margin_s),
            )
            status, answer = reply.status, Answer.TAKEN
        except ClearanceError as error:
            status, answer, failed = getattr(error, "status", None), _answer_of(error), str(error)
            raise
        finally:
            ended = services.clock()
            took_s = (ended - now).total_seconds()
            services.metrics.observe(
                "vendor_call_seconds",
                took_s,
                vendor=VENDOR,
                call="triggered_approval",
                outcome=answer,
                status=status or "none",
            )
            held.approvals.append(
                NewApproval(
                    approval_id=new_id(now),
                    subject=held.claimed.subject,
                    attempt=held.claimed.attempt,
                    customers=1,
                    sent_at=now,
                    answered_at=ended if status is not None else None,
                    status=status,
                    answer=answer,
                    error=failed,
                )
            )
        since_s = (ended - held.claimed.created_at).total_seconds()
        services.metrics.observe("notification_to_approval_seconds", since_s, lane=self.lane)
        log.info(
            "approval.taken",
            attempt=held.claimed.attempt,
            margin_s=round(margin_s, 3),
            took_s=round(took_s, 4),
        )

    def _too_late(
        self, held: ApprovalAttempt, deadline: Deadline, now: datetime, failure: RetryLater | None
    ) -> DeadlinePassed:
        if held.is_unconfirmed:
            reason = MissedReason.SENT_UNCONFIRMED
        elif failure is not None or held.claimed.last_error is not None:
            reason = MissedReason.RETRIES_RAN_OUT
        elif held.claimed.attempt > 1:
            # Whoever held it before has said nothing: it may have sent the approval, too.
            reason = MissedReason.ABANDONED
        else:
            reason = MissedReason.NO_TIME_LEFT
        return DeadlinePassed(reason, margin_s=deadline.margin_s(now), last_error=str(failure or ""))


def _answer_of(error: ClearanceError) -> Answer:
    if isinstance(error, VendorUnavailable) and error.is_unconfirmed:
        return Answer.UNKNOWN
    return Answer.REFUSED


def _attempt(claimed: ledger.ClaimedNotification | None) -> ApprovalAttempt | None:
    if claimed is None:
        return None
    return ApprovalAttempt(
        claimed=claimed.claimed,
        body=claimed.body,
        was_unconfirmed=claimed.was_unconfirmed,
        recorded=claimed.decision,
    )
