"""How is one batch of letters posted, once at most, whatever breaks?

In: a batch that the ledger has as `posting`, and the slot that it is posted with. Out: what became of it
(`posting_ends`), for the ledger; and for the fleet: quiet, if the vendor wants some, or a lane that is paused.

The order that a change must keep, because it is what holds when Redis forgets: the batch is `posting` in the ledger,
then the slot is asked whether it is still ours, then the request leaves, while enough of the slot is left. A batch that
is found to be `posting` already is held: its worker is gone, and its letters may be printed.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from clearance.bloomreach.feedback import Feedback
from clearance.errors import (
    ClearanceError,
    LedgerUnavailable,
    RetryLater,
    VendorCredentialsRefused,
    VendorThrottled,
)
from clearance.http.exchange import Reply
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.mail_ends import Answered, End, Held, NothingLeft, NotSent, Posted, Rehearsed
from clearance.ledger.mail_posting import BatchToPost
from clearance.limits.cooldown import CoolDown
from clearance.limits.slots import Slot, Slots, SlotsUnavailable
from clearance.mail_states import HeldReason
from clearance.obligations import Claimed, Lane
from clearance.optilyz.client import VENDOR
from tasks.base import Services
from tasks.pauses import PAUSED_BY_ITSELF, PauseWatch, pause_many
from tasks.posting_ends import end_of_error, end_of_reply

log = structlog.get_logger()

# From the moment that the ledger knows of, a request leaves within this, or not at all.
LONGEST_GAP_S = 2.0
_LANE = Lane.MAIL
_FIRST_QUIET_S = 0.25
_LONGEST_QUIET_S = 30.0
_MOST_DOUBLINGS = 10


class SlotLost(RetryLater):
    """The slot is not surely ours any more. Nothing was sent."""


class PostsLetters(Protocol):
    """Where letters go: `clearance.optilyz.client.OptilyzClient`, or a fake."""

    def post(self, automation_id: str, payloads: Sequence[bytes], *, timeout_s: float) -> Reply:
        """Enqueue recipients; raises what `clearance.http.exchange` says."""


@dataclass(slots=True, kw_only=True)
class PostAttempt:
    """One batch that is held, the slot that it is posted with, and how that ended.

    `began_s` is on the monotonic clock, from before the ledger was told. Until an end is known it is doubt: also what
    is recorded if the attempt ends in a bug.
    """

    batch: BatchToPost
    slot: Slot
    began_s: float
    end: End = field(
        default=Held(reason=HeldReason.MAY_HAVE_ARRIVED, error="a bug: see the log"),
        init=False,
    )

    @property
    def claimed(self) -> Claimed:
        """See `tasks.base.Attempt`."""
        return self.batch.claimed

    @property
    def is_unconfirmed(self) -> bool:
        """See `tasks.base.Attempt`."""
        return isinstance(self.end, Held)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingServices(Services):
    """What this lane needs besides.

    Attributes:
        keep: Renews a slot for as long as its block runs.
        feedback: What Bloomreach is told; None for nothing.
        is_dry_run: Nothing is posted here: letters wait, and only rehearsals are taken.
        timeout_s: The longest that a request may last.
        is_stopping: Whether this worker is asked to end.
        time: Seconds that only grow.
    """

    ledger: Ledger
    slots: Slots
    keep: Callable[[Slot], AbstractContextManager[None]]
    vendor: PostsLetters
    cooldown: CoolDown
    pauses: PauseWatch
    feedback: Feedback | None
    is_dry_run: bool
    timeout_s: float
    is_stopping: Callable[[], bool]
    time: Callable[[], float]


class BatchPoster:
    """Posts batches one by one; threads share it."""

    def __init__(self, services: PostingServices) -> None:
        self._services = services
        self._failures = 0  # of requests in a row, in this process

    def post(self, held: PostAttempt) -> None:
        """Bring a batch to its end, or raise the `RetryLater` with which it is tried again."""
        batch = held.batch
        if batch.withheld:
            self._services.metrics.count("mail_letters_total", len(batch.withheld), outcome="suppressed")
            log.info("letters.withheld", batch=batch.batch_id, letters=len(batch.withheld))
        if not batch.letters:
            held.end = NothingLeft()
        elif batch.is_dry_run:
            held.end = Rehearsed()
            self._count(held)
        elif batch.was_abandoned:
            error = "the worker that posted it disappeared"
            held.end = Held(reason=HeldReason.WORKER_LOST, error=error)
            self._count(held)
        else:
            self._require_slot(held)
            self._send(held)

    def _require_slot(self, held: PostAttempt) -> None:
        """Ask whether the slot is still ours, after the ledger was told and right before the request leaves."""
        services, slot = self._services, held.slot
        slot.is_spent = True  # until it is known to be ours
        try:
            is_held = services.slots.renew(slot)
        except SlotsUnavailable as error:
            raise self._not_sent(held, str(error)) from None
        if not is_held:
            raise self._not_sent(held, "the slot is another's")
        if services.slots.left_s(slot) <= services.timeout_s:
            raise self._not_sent(held, "too little of the slot is left")
        slot.is_spent = False
        if services.time() - held.began_s > LONGEST_GAP_S:
            raise self._not_sent(held, "the ledger was told too long ago")

    def _not_sent(self, held: PostAttempt, why: str) -> SlotLost:
        held.end = NotSent(error=why)
        self._services.metrics.count("mail_slots_total", outcome="lost")
        self._count(held)
        return SlotLost(why)

    def _send(self, held: PostAttempt) -> None:
        services, batch = self._services, held.batch
        began_s, failed = services.time(), None
        held.slot.is_spent = True  # until it is known that the request is over: a bug does not say so
        try:
            reply = services.vendor.post(
                batch.automation_id, [each.payload for each in batch.letters], timeout_s=services.timeout_s
            )
            held.end = end_of_reply(reply, len(batch.letters))
        except ClearanceError as error:
            held.end, failed = end_of_error(error, len(batch.letters)), error
        finally:
            self._measure(held, services.time() - began_s)
        # Cut off, it may go on at the vendor: the slot is not given back, it runs out.
        held.slot.is_spent = isinstance(held.end, Held) and held.end.reason is HeldReason.MAY_HAVE_ARRIVED
        if isinstance(held.end, NotSent):
            raise self._hold_back(failed, held.end)
        self._failures = 0

    def _hold_back(self, error: ClearanceError | None, end: NotSent) -> RetryLater:
        """Leave the vendor alone for a while, or for good; the error with which the batch is tried again."""
        services = self._services
        if isinstance(error, VendorCredentialsRefused):
            self._pause(error)
            return RetryLater(str(error))
        retry_after_s = error.retry_after_s if isinstance(error, RetryLater) else None
        quiet_s = _FIRST_QUIET_S * 2 ** min(self._failures, _MOST_DOUBLINGS) * (0.5 + services.jitter())
        self._failures += 1
        services.cooldown.start(max(retry_after_s or 0.0, min(quiet_s, _LONGEST_QUIET_S)))
        if isinstance(error, VendorThrottled):
            services.metrics.count("vendor_cooldowns_total", vendor=VENDOR)
        return error if isinstance(error, RetryLater) else RetryLater(end.error)

    def _pause(self, error: VendorCredentialsRefused) -> None:
        """Nobody posts until a person says so: every further batch would be refused, and may lock the account."""
        services = self._services
        services.metrics.count("lane_pauses_total", lane=_LANE.value)
        log.error("lane.paused", lane=_LANE.value, reason="credentials", status=error.status)
        pause = LanePause(
            lane=_LANE, paused_at=services.clock(), paused_by=PAUSED_BY_ITSELF, reason=str(error)
        )
        try:
            services.commits.submit(pause_many, pause).result()
        except LedgerUnavailable as away:
            log.warning("lane.not_paused_yet", lane=_LANE.value, error=str(away))
        services.pauses.forget()

    def _measure(self, held: PostAttempt, took_s: float) -> None:
        metrics, end, batch = self._services.metrics, held.end, held.batch
        outcome = self._count(held)
        metrics.observe(
            "vendor_call_seconds",
            took_s,
            vendor=VENDOR,
            call="recipients",
            outcome=outcome,
            status=getattr(end, "status", None) or "none",
        )
        facts: dict[str, Any] = {}
        if isinstance(end, Answered):
            posted = sum(isinstance(each, Posted) for each in end.results)
            facts = {"posted": posted, "failed": len(end.results) - posted}
            metrics.count("mail_letters_total", posted, outcome="posted")
            metrics.count("mail_letters_total", len(end.results) - posted, outcome="failed")
        log.info(
            "batch.posted",
            batch=batch.batch_id,
            automation=batch.automation_id,
            letters=len(batch.letters),
            outcome=outcome,
            took_s=round(took_s, 4),
            **facts,
        )

    def _count(self, held: PostAttempt) -> str:
        end, batch, outcome = held.end, held.batch, type(held.end).__name__.lower()
        self._services.metrics.count("mail_posts_total", outcome=outcome)
        if isinstance(end, Held):
            self._services.metrics.count("mail_held_total", reason=end.reason)
            log.error("batch.held", batch=batch.batch_id, automation=batch.automation_id, reason=end.reason)
        return outcome
