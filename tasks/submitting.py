"""What a message to submit means: give the vendor the answers of a group, from the ETA until the hard stop.

In: an obligation whose subject is a group and its revision. Out: calls, each recorded with the chunks that it carried,
before it is made and after. What is decided goes at once; what is decided later follows; after the hard stop nothing is
sent. A revision that is not the current one any more sends nothing. A call whose outcome is unknown is made again while
there is time: an approval states an answer, so a repeat changes nothing. While the ledger is away the obligation is
held and waits here: one that was given back might come up too late. A worker that is asked to end gives back what may
last for longer than it has; another goes on with it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

import structlog

from clearance.errors import DeadlinePassed, LedgerUnavailable, RetryLater, VendorThrottled
from clearance.ledger import closing, group_work, submissions
from clearance.ledger.calls_begun import NewCall
from clearance.ledger.chunk_bodies import Answers
from clearance.ledger.decisions import Answer
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import Group
from clearance.ledger.group_work import ClaimedGroup
from clearance.ledger.obligations import ClaimRequest, Finish, finish_many
from clearance.ledger.submissions import DecidedChunks
from clearance.ledger.unconfirmed import unconfirmed
from clearance.obligations import Claimed, MissedReason
from config.queues import QUEUE_BY_LANE
from tasks.answers import TakesAnswers, to_be_told
from tasks.base import ObligationTask, Services
from tasks.calling import Calling, NoTurn
from tasks.closing import end_and_tell
from tasks.giving import begin, call_of, give, record_none, withdraw

log = structlog.get_logger()

# How often it is asked whether more is decided.
_LOOK_EVERY_S = 0.2
# A call that is not full waits so long for more to be decided, but not when the hard stop is near.
_GATHER = timedelta(seconds=1)
_GATHER_UNTIL_BEFORE_STOP = timedelta(seconds=5)
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
# Near the hard stop the pauses grow shorter, down to this.
_SHORTEST_PAUSE_S = 0.1
_MOST_DOUBLINGS = 10
# What a worker that ends can finish itself; the rest of its grace is for the last record.
_GRACE = timedelta(seconds=QUEUE_BY_LANE["submit"].stop_grace_s - 5)


@dataclass(slots=True)
class SubmitAttempt:
    """One run: the obligation and its group.

    `failures` are those in a row, `last_error` is the last of them; `sent` are chunks sent by it, and not confirmed;
    `gathers_until` is when what is decided goes, though the call is not full; `begun` is a call that is written
    down, or may be, and was not made.
    """

    held: ClaimedGroup
    failures: int = field(default=0, init=False)
    last_error: str = field(default="", init=False)
    sent: set[int] = field(default_factory=set, init=False)
    gathers_until: datetime | None = field(default=None, init=False)
    begun: NewCall | None = field(default=None, init=False)

    @property
    def is_unconfirmed(self) -> bool:
        """See `tasks.base.Attempt`; what an earlier run has sent is looked up when it matters."""
        return bool(self.sent)

    @property
    def claimed(self) -> Claimed:
        """See `tasks.base.Attempt`."""
        return self.held.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitServices(Services):
    """What this task needs besides: the vendor, the fleet's limits, what one call may carry and take.

    `is_stopping` says whether this worker is asked to end.
    """

    ledger: Ledger
    vendor: TakesAnswers
    calling: Calling
    customers_per_call: int
    call_timeout_s: float
    is_stopping: Callable[[], bool] = bool


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
        services, until = self.services, held.claimed.deadline_at
        while services.clock() < until:
            if services.is_stopping() and until - services.clock() > _GRACE:
                self._take_back(held)
                raise RetryLater("the worker is asked to end")
            try:
                if self._is_settled(held):
                    return
            except NoTurn as error:
                # Nothing was sent, and nothing will be: it is known now that there is no turn in time.
                log.warning("group.no_turn", group=held.held.group.group_id, error=str(error))
                services.pause((until - services.clock()).total_seconds())
            except VendorThrottled as error:
                services.calling.throttled(error)
                self._hold_back(held, error)
            except RetryLater as error:
                self._hold_back(held, error)
        with suppress(LedgerUnavailable):
            self._take_back(held)
            # The last call may have been recorded so late only.
            if self._has_ended(held):
                return
        raise self._too_late(held)

    def _is_settled(self, held: SubmitAttempt) -> bool:
        """One step: whether there is nothing left to do, or nothing more may be done."""
        services, group, revision = self.services, held.held.group, held.held.number
        self._take_back(held)
        with services.ledger.read() as connection:
            decided = submissions.next_decided(
                connection, group.group_id, revision, services.customers_per_call
            )
        if decided is None:
            log.info("group.not_current", group=group.group_id, revision=revision)
            return True
        if decided.numbers and not self._may_gather(held, decided):
            held.gathers_until = None
            return not self._send(held, decided)
        if not decided.numbers and self._has_ended(held):
            return True
        services.pause(_LOOK_EVERY_S)
        return False

    def _may_gather(self, held: SubmitAttempt, decided: DecidedChunks) -> bool:
        """Whether to wait a moment, because the call is not full and more is coming: calls are limited."""
        services, now = self.services, self.services.clock()
        customers = len(decided.answers)
        if customers + customers // len(decided.numbers) > services.customers_per_call:
            return False
        held.gathers_until = held.gathers_until or now + _GATHER
        if now >= min(held.gathers_until, held.claimed.deadline_at - _GATHER_UNTIL_BEFORE_STOP):
            return False
        with services.ledger.read() as connection:
            progress = submissions.progress(connection, decided.group.group_id)
        return progress is not None and (progress.undecided > 0 or progress.group.fetched_at is None)

    def _has_ended(self, held: SubmitAttempt) -> bool:
        """Whether every customer is submitted; that ends the revision."""
        services, group_id = self.services, held.held.group.group_id
        with services.ledger.read() as connection:
            progress = submissions.progress(connection, group_id)
        if progress is None or not progress.is_complete:
            return False
        end = closing.End(group_id=group_id, revision=held.held.number, now=services.clock(), is_over=False)
        end_and_tell(services, services.ledger, end)
        return True

    def _send(self, held: SubmitAttempt, decided: DecidedChunks) -> bool:
        """One call, if the vendor has to be told anything; False when no more calls may be made by us."""
        services, until, revision = self.services, held.claimed.deadline_at, held.held.number
        answers = to_be_told(services.ledger, decided)
        if not answers:
            record_none(services, decided, revision)
            return True
        services.calling.wait_for_turn(until)
        if services.clock() >= until:
            return True
        held.begun = call_of(decided, held.claimed, revision, answers, services.clock())
        if not begin(services, held.begun):
            # While a turn was waited for, the vendor said something else, or our lease was lost.
            held.begun = None
            log.info("group.not_ours", group=decided.group.group_id, revision=revision)
            return False
        if services.clock() < until:
            self._note_repeat(decided)
            self._call(held, held.begun, decided.group, answers)
        return True

    def _take_back(self, held: SubmitAttempt) -> None:
        """A call that was begun and came too late, or of which nobody heard whether it was begun."""
        if held.begun is not None:
            withdraw(self.services, held.begun)
            held.begun = None

    def _call(self, held: SubmitAttempt, new: NewCall, group: Group, answers: Answers) -> None:
        services, numbers = self.services, set(new.call.numbers)
        held.begun = None
        given = give(services, services.vendor, new, group, answers, timeout_s=services.call_timeout_s)
        if given.answer is Answer.UNKNOWN:
            held.sent |= numbers
        if given.error is not None:
            raise given.error
        held.failures, held.last_error = 0, ""
        held.sent -= numbers

    def _note_repeat(self, decided: DecidedChunks) -> None:
        chunks = len(decided.numbers) - len(decided.unsent)
        if chunks:
            log.warning("group.sent_again", group=decided.group.group_id, chunks=chunks)

    def _hold_back(self, held: SubmitAttempt, error: RetryLater) -> None:
        """Wait here: the obligation is held, and a later call carries what is decided by then."""
        services = self.services
        held.failures += 1
        held.last_error = str(error)
        log.warning("group.call_failed", failures=held.failures, error=str(error))
        left_s = (held.claimed.deadline_at - services.clock()).total_seconds()
        backoff_s = min(_FIRST_PAUSE_S * 2 ** min(held.failures - 1, _MOST_DOUBLINGS), _LONGEST_PAUSE_S)
        backoff_s = min(backoff_s * (0.5 + services.jitter()), max(left_s / 2, _SHORTEST_PAUSE_S))
        services.pause(max(0.0, min(max(backoff_s, error.retry_after_s or 0.0), left_s)))

    def _too_late(self, held: SubmitAttempt) -> DeadlinePassed:
        reason = MissedReason.RETRIES_RAN_OUT if held.last_error else MissedReason.NO_TIME_LEFT
        reason = MissedReason.SENT_UNCONFIRMED if held.sent or self._was_sent(held) else reason
        margin_s = (held.held.group.deadline_at - self.services.clock()).total_seconds()
        return DeadlinePassed(reason, margin_s=margin_s, last_error=held.last_error)

    def _was_sent(self, held: SubmitAttempt) -> bool:
        with suppress(LedgerUnavailable), self.services.ledger.read() as connection:
            return unconfirmed(connection, held.held.group.group_id, held.held.number) > 0
        return False
