"""What a message to post means: there may be letters to post, and whoever gets a slot posts them all, batch by batch.

In: a message, which is a hint. With a slot of the fleet (`clearance.limits.slots`) the batches that are due are posted
one after the other, whichever message named them, the automation whose turn is longest ago first. Without one nothing
is claimed, and what the message named comes up again when a slot is free at the latest. Waiting, for a slot, for a
vendor that wants quiet, for a lane that is paused, is no attempt and keeps no thread. Out: each batch ended
(`posting_batches`), in one transaction with what follows from it. Between two requests one small commit is made, which
begins the next batch; what became of the one before is written while the next request runs.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import structlog
from sqlalchemy import Connection

from clearance.errors import LedgerUnavailable
from clearance.ledger import due, mail_batches, mail_posting
from clearance.ledger.mail_ends import BatchEnd, settle_many
from clearance.ledger.mail_posting import BeginRequest, begin_many
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.limits.slots import NoSlot, Slot, SlotsUnavailable
from clearance.obligations import Claimed, Lane, ObligationId, Outcome
from tasks import flower
from tasks.base import MESSAGE_VERSION, ObligationTask
from tasks.posting_batches import BatchPoster, PostAttempt, PostingServices

log = structlog.get_logger()

# Then the message is acknowledged, and another goes on: no deployment waits for a backlog.
_LONGEST_TURN = timedelta(seconds=30)
_LOOK_AGAIN_S = 5.0
# Two who look at once may see the same batch; one gets it, and the other looks again.
_COLLISION_PAUSE_S = 0.005
_MOST_COLLISIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """A batch whose request is over, while that is being written; until it is, its obligation is held."""

    held: PostAttempt
    outcome: Outcome
    written: "Future[bool]"
    lease: ExitStack

    def is_written(self) -> bool:
        """Waits for it."""
        return self.written.exception() is None


class PostBatch(ObligationTask[PostAttempt, PostingServices]):
    """Post what is due, with one slot."""

    name = mail_batches.POST
    lane: ClassVar[str] = Lane.MAIL.value

    def __init__(self, services: Callable[[], PostingServices]) -> None:
        """See `ObligationTask`."""
        super().__init__(services)
        self._made: BatchPoster | None = None

    def run(self, *obligation_ids: str, version: int, deadline_ms: int, **_newer: Any) -> str:  # noqa: ARG002 - paper has no deadline
        """One message: see the module."""
        if version > MESSAGE_VERSION:
            log.error("message.too_new", obligations=len(obligation_ids), version=version)
            return "left to a newer worker"
        named = [ObligationId(each) for each in obligation_ids]
        try:
            return self._run(named)
        except LedgerUnavailable as error:
            log.warning("mail.ledger_away", error=str(error))
            return "the ledger is away: the guardian publishes it again"
        except SlotsUnavailable as error:
            self.services.metrics.count("mail_slots_total", outcome="unavailable")
            log.warning("mail.slots_away", error=str(error))
            with suppress(LedgerUnavailable):
                self._look_again(named, _LOOK_AGAIN_S)
            return "nobody knows whether a slot is free: nothing is sent"

    def claim(self, requests: Sequence[ClaimRequest]) -> list[PostAttempt | None]:
        """None: a batch is begun with a slot (`_next`). This finds out whether the ledger answers."""
        for request in requests:
            with self.services.ledger.read() as connection:
                mail_posting.next_due(connection, request.now)
        return [None for _ in requests]

    def finish(self, ends: Sequence[tuple[PostAttempt, Finish]]) -> list[bool]:
        """The outcomes of batches with all that follows from them."""
        asked = [
            self.services.commits.submit(settle_many, self._end_of(held, finish)) for held, finish in ends
        ]
        return [future.result() for future in asked]

    def last_moment(self, deadline_at: datetime) -> datetime:
        """Paper has no deadline; an obligation has one, years away."""
        return deadline_at

    def work(self, held: PostAttempt) -> None:
        """Post one batch, if it may be posted."""
        self._poster.post(held)

    @property
    def _poster(self) -> BatchPoster:
        if self._made is None:
            self._made = BatchPoster(self.services)
        return self._made

    def _run(self, named: Sequence[ObligationId]) -> str:
        services, ended = self.services, 0
        turn_ends_at = services.clock() + _LONGEST_TURN
        while True:
            wait_s = self._wait_s()
            if wait_s is None:
                return f"{ended} batches; the lane is paused"
            slot = services.slots.acquire() if wait_s == 0 else NoSlot(wait_s=wait_s)
            if isinstance(slot, NoSlot):
                services.metrics.count("mail_slots_total", outcome="busy" if wait_s == 0 else "quiet")
                # Who holds them takes what is named here as well; only if they die it waits until then.
                self._look_again([*named, *self._due()], slot.wait_s)
                return f"{ended} batches; no slot"
            services.metrics.count("mail_slots_total", outcome="taken")
            ended += self._work_through(slot, turn_ends_at)
            # A message that came while we held the slot has found none free: what it named is for us to see.
            left = self._due()
            if not left:
                return f"{ended} batches"
            if services.is_stopping() or services.clock() >= turn_ends_at:
                self._look_again(left, 0.0)
                return f"{ended} batches; another goes on"

    def _wait_s(self) -> float | None:
        """How long the vendor wants to be left alone; None while the lane is paused."""
        return None if self.services.pauses.is_paused() else self.services.cooldown.remaining_s()

    def _due(self) -> list[ObligationId]:
        """What is due next: one, or none."""
        services = self.services
        with services.ledger.read() as connection:
            found = mail_posting.next_due(connection, services.clock(), only_rehearsals=services.is_dry_run)
        return [] if found is None else [found]

    def _look_again(self, obligation_ids: Sequence[ObligationId], wait_s: float) -> None:
        """Have them published then; whoever waits for the same moment comes back spread over a tenth more."""
        wait_s *= 1 + self.services.jitter() / 10
        at = self.services.clock() + timedelta(seconds=wait_s)
        self.services.commits.submit(_put_back_many, (tuple(obligation_ids), at)).result()

    def _work_through(self, slot: Slot, turn_ends_at: datetime) -> int:
        """Post batch by batch; how many ended. The slot is given back, unless it is spent."""
        services, ended = self.services, 0
        ending: _Ending | None = None
        trouble: list[tuple[Claimed, Exception]] = []
        try:
            with services.keep(slot):
                held = self._next(slot, turn_ends_at)
                while held is not None:
                    before, ending = ending, None
                    lease = ExitStack()
                    lease.enter_context(services.leases.holding(held.claimed))
                    outcome = self._worked(held)
                    # Ends come first if one could not be written, or if others may take this batch for abandoned.
                    is_well = before is None or before.is_written()
                    is_ours = services.clock() < held.claimed.lease_until
                    following = self._following(slot, turn_ends_at) if is_well and is_ours else None
                    ending = self._ending(held, outcome, lease)
                    ended += 1
                    if before is not None:
                        trouble += self._ended(before)
                    held = following
        finally:
            if not slot.is_spent:
                services.slots.release(slot)
            if ending is not None:
                trouble += self._ended(ending)
        for claimed, each in trouble:
            flower.show(self, claimed, each)  # without the slot: a broker that hangs would hold it
        return ended

    def _following(self, slot: Slot, turn_ends_at: datetime) -> PostAttempt | None:
        """As `_next`; whatever is wrong with the next batch must not cost the one before its end."""
        try:
            return self._next(slot, turn_ends_at)
        except LedgerUnavailable as error:
            log.warning("mail.ledger_away", error=str(error))
        except Exception:
            log.exception("mail.next_failed_on_a_bug")
        return None

    def _next(self, slot: Slot, turn_ends_at: datetime) -> PostAttempt | None:
        """The batch whose turn it is, begun; None when there is none, or this turn is over."""
        for _ in range(_MOST_COLLISIONS):
            began_s = self.services.time()
            found = self._due() if self._may_go_on(slot, turn_ends_at) else []
            if not found:
                return None
            request = self._begin_request(found[0], slot)
            batch = self.services.commits.submit(begin_many, request).result()
            if batch is not None:
                return PostAttempt(batch=batch, slot=slot, began_s=began_s)
            self.services.pause(_COLLISION_PAUSE_S * self.services.jitter())
        return None

    def _may_go_on(self, slot: Slot, turn_ends_at: datetime) -> bool:
        services = self.services
        is_over = slot.is_spent or services.is_stopping() or services.clock() >= turn_ends_at
        return not is_over and self._wait_s() == 0

    def _begin_request(self, obligation_id: ObligationId, slot: Slot) -> BeginRequest:
        now = self.services.clock()
        claim = ClaimRequest(
            obligation_id=obligation_id, now=now, lease_until=now + self.services.leases.lease
        )
        return BeginRequest(claim=claim, fence=slot.fence)

    def _ending(self, held: PostAttempt, outcome: Outcome, lease: ExitStack) -> _Ending:
        end = self._end_of(held, self._finish_of(held, outcome))
        written = self.services.commits.submit(settle_many, end)
        return _Ending(held=held, outcome=outcome, written=written, lease=lease)

    def _ended(self, ending: _Ending) -> list[tuple[Claimed, Exception]]:
        """See to it that the end is written, if need be however long that takes, and tell of it; what Flower shows."""
        held, outcome = ending.held, ending.outcome
        with ending.lease:
            try:
                is_ours = ending.written.result()
            except LedgerUnavailable:
                (is_ours,) = self._finished([held], [outcome])
        told = self._told(held.claimed, outcome, is_ours=is_ours)
        return [(held.claimed, told)] if isinstance(told, Exception) else []

    def _end_of(self, held: PostAttempt, finish: Finish) -> BatchEnd:
        return BatchEnd(
            batch=held.batch, end=held.end, finish=finish, feedback=self.services.feedback, now=finish.now
        )


def _put_back_many(
    connection: Connection, requests: Sequence[tuple[Sequence[ObligationId], datetime]]
) -> list[None]:
    """For `GroupCommit`; in one order, and each once."""
    at_by_id: dict[ObligationId, datetime] = {}
    for obligation_ids, at in requests:
        for each in obligation_ids:
            at_by_id[each] = min(at, at_by_id.get(each, at))
    for each in sorted(at_by_id):
        due.put_back(connection, [each], at_by_id[each])
    return [None for _ in requests]
