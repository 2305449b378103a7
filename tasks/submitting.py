"""What a message to submit means: give the vendor the answers of a group, from the ETA until the hard stop.

In: an obligation whose subject is a group and its revision. Out: calls, each recorded with the chunks that it carried.
What is decided goes at once; what is decided later follows; after the hard stop nothing is sent. A revision that is not
the current one any more sends nothing. A call whose outcome is unknown is made again while there is time: an approval
states an answer, so a repeat changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Protocol

import structlog

from clearance.errors import ClearanceError, DeadlinePassed, RetryLater, VendorThrottled, VendorUnavailable
from clearance.identifiers import new_id
from clearance.ledger import closing, group_work, submissions
from clearance.ledger.chunk_bodies import Answers
from clearance.ledger.decisions import Answer, NewApproval
from clearance.ledger.earlier_answers import submitted_answers
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import Group
from clearance.ledger.group_work import ClaimedGroup
from clearance.ledger.obligations import ClaimRequest, Finish, finish_many
from clearance.ledger.submissions import Call, DecidedChunks
from clearance.obligations import Claimed, MissedReason
from clearance.optimove.http import VENDOR
from tasks.base import ObligationTask, Services
from tasks.calling import Calling
from tasks.closing import tell_ended

log = structlog.get_logger()

# How often it is asked whether more is decided.
_LOOK_EVERY_S = 0.2
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class SubmissionCall(Protocol):
    """The answer to a submission, as far as it is read here."""

    @property
    def status(self) -> int:
        """The vendor's HTTP status, 2xx."""


class TakesAnswers(Protocol):
    """Where answers go: `clearance.optimove.scheduled_calls.ScheduledCalls`, or a fake."""

    def submit_v2(
        self, group_id: str, answers: Sequence[tuple[str, bool]], *, timeout_s: float | None = None
    ) -> SubmissionCall:
        """Who of a send group is approved, and who is not."""

    def submit_v1(
        self, campaign_id: str, approved: Sequence[str], at: datetime, *, timeout_s: float | None = None
    ) -> SubmissionCall:
        """Who of a campaign is approved."""


@dataclass(slots=True)
class SubmitAttempt:
    """One run: the obligation and its group; `failures` are those in a row."""

    held: ClaimedGroup
    failures: int = field(default=0, init=False)
    is_unconfirmed: bool = field(default=False, init=False)

    @property
    def claimed(self) -> Claimed:
        """See `tasks.base.Attempt`."""
        return self.held.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitServices(Services):
    """What this task needs besides: the vendor, the fleet's limits, and what one call may carry and take."""

    ledger: Ledger
    vendor: TakesAnswers
    calling: Calling
    customers_per_call: int
    call_timeout_s: float


class SubmitGroup(ObligationTask[SubmitAttempt, SubmitServices]):
    """Submit one revision."""

    name = "clearance.groups.submit"
    lane: ClassVar[str] = "submit"

    def claim(self, requests: Sequence[ClaimRequest]) -> list[SubmitAttempt | None]:
        """The obligations with their groups."""
        asked = [self.services.commits.submit(group_work.claim_many, request) for request in requests]
        found = [future.result() for future in asked]
        return [SubmitAttempt(held) if held else None for held in found]

    def finish(self, ends: Sequence[tuple[SubmitAttempt, Finish]]) -> list[bool]:
        """The outcomes; the calls were recorded one by one."""
        asked = [self.services.commits.submit(finish_many, finish) for _, finish in ends]
        return [future.result() for future in asked]

    def last_moment(self, deadline_at: datetime) -> datetime:
        """The obligation's deadline is the group's hard stop."""
        return deadline_at

    def work(self, held: SubmitAttempt) -> None:
        """Send what is decided, until all is, the time is over, or the vendor says something else."""
        services, group, revision = self.services, held.held.group, held.held.number
        while True:
            if services.clock() >= held.claimed.deadline_at:
                raise self._too_late(held)
            with services.ledger.read() as connection:
                decided = submissions.next_decided(
                    connection, group.group_id, revision, services.customers_per_call
                )
            if decided is None:
                log.info("group.not_current", group=group.group_id, revision=revision)
                return
            if decided.numbers:
                self._send(held, decided)
            elif self._has_ended(group, revision):
                return
            else:
                services.pause(_LOOK_EVERY_S)

    def _has_ended(self, group: Group, revision: int) -> bool:
        services = self.services
        end = closing.End(group_id=group.group_id, revision=revision, now=services.clock(), is_over=False)
        ended = services.commits.submit(closing.end_many, end).result().ended
        if ended is not None:
            tell_ended(services.metrics, ended)
        return ended is not None

    def _send(self, held: SubmitAttempt, decided: DecidedChunks) -> None:
        answers = self._to_be_sent(decided)
        if not answers:
            self._record(held, decided, None)
            return
        try:
            self._call(held, decided, answers)
        except VendorThrottled as error:
            self.services.calling.throttled(error)
            self._hold_back(held, error)
        except RetryLater as error:
            self._hold_back(held, error)
        else:
            held.failures = 0

    def _to_be_sent(self, decided: DecidedChunks) -> Answers:
        """What the vendor does not know yet: V1 hears of the approved only; a group that came again, of changes."""
        group, answers = decided.group, decided.answers
        if group.generation > 1:
            asked = [customer_id for customer_id, _ in answers]
            with self.services.ledger.read() as connection:
                told = submitted_answers(connection, group.group_id, group.generation, asked)
            answers = [each for each in answers if told.get(each[0]) is not each[1]]
        return [each for each in answers if each[1]] if group.api == "v1" else answers

    def _call(self, held: SubmitAttempt, decided: DecidedChunks, answers: Answers) -> None:
        services, deadline_at = self.services, held.claimed.deadline_at
        services.calling.wait_for_turn(deadline_at)
        sent_at = services.clock()
        timeout_s = min(services.call_timeout_s, (decided.group.deadline_at - sent_at).total_seconds())
        # Until the vendor has answered: also what is recorded if the call ends in a bug.
        status, answer, failed = None, Answer.UNKNOWN, None
        try:
            status = self._submit(decided.group, answers, sent_at, timeout_s).status
            answer = Answer.TAKEN
        except ClearanceError as error:
            status, failed = getattr(error, "status", None), str(error)
            is_unknown = isinstance(error, VendorUnavailable) and error.is_unconfirmed
            answer = Answer.UNKNOWN if is_unknown else Answer.REFUSED
            held.is_unconfirmed |= is_unknown
            raise
        finally:
            ended_at = services.clock()
            services.metrics.observe(
                "vendor_call_seconds",
                (ended_at - sent_at).total_seconds(),
                vendor=VENDOR,
                call="group_approvals",
                outcome=answer,
            )
            approval = NewApproval(
                approval_id=new_id(sent_at),
                subject=decided.group.group_id,
                attempt=held.claimed.attempt,
                customers=len(answers),
                sent_at=sent_at,
                answered_at=ended_at if status is not None else None,
                status=status,
                answer=answer,
                error=failed,
                revision=held.held.number,
            )
            self._record(held, decided, approval)

    def _submit(self, group: Group, answers: Answers, at: datetime, timeout_s: float) -> SubmissionCall:
        vendor = self.services.vendor
        if group.api == "v2":
            return vendor.submit_v2(group.vendor_id, answers, timeout_s=timeout_s)
        return vendor.submit_v1(
            group.vendor_id, [customer_id for customer_id, _ in answers], at, timeout_s=timeout_s
        )

    def _record(self, held: SubmitAttempt, decided: DecidedChunks, approval: NewApproval | None) -> None:
        services, group = self.services, decided.group
        call = Call(
            group_id=group.group_id,
            generation=group.generation,
            revision=held.held.number,
            deadline_at=group.deadline_at,
            approval=approval,
            numbers=decided.numbers,
            now=services.clock(),
        )
        services.commits.submit(submissions.submitted_many, call).result()
        if approval is not None:
            margin_s = (group.deadline_at - services.clock()).total_seconds()
            services.metrics.observe("submission_margin_seconds", margin_s, lane=self.lane)
            log.info(
                "group.called",
                group=group.group_id,
                customers=approval.customers,
                outcome=approval.answer,
                margin_s=round(margin_s, 3),
            )

    def _hold_back(self, held: SubmitAttempt, error: RetryLater) -> None:
        """Wait here: the obligation is held, and a later call carries what is decided by then."""
        services = self.services
        held.failures += 1
        backoff_s = min(_FIRST_PAUSE_S * 2 ** (held.failures - 1), _LONGEST_PAUSE_S)
        wait_s = max(backoff_s * (0.5 + services.jitter()), error.retry_after_s or 0.0)
        left_s = (held.claimed.deadline_at - services.clock()).total_seconds()
        log.warning("group.call_failed", failures=held.failures, error=str(error))
        services.pause(max(0.0, min(wait_s, left_s)))

    def _too_late(self, held: SubmitAttempt) -> DeadlinePassed:
        reason = MissedReason.SENT_UNCONFIRMED if held.is_unconfirmed else MissedReason.RETRIES_RAN_OUT
        if not held.failures:
            reason = MissedReason.NO_TIME_LEFT
        margin_s = (held.held.group.deadline_at - self.services.clock()).total_seconds()
        return DeadlinePassed(reason, margin_s=margin_s, last_error="")
