"""What a message to close means: once the deadline is over, write down what became of every customer of a group.

In: an obligation whose subject is a group and its revision. Out: chunks that were not submitted are given up with a
true reason, the revision ends, and what was missed is counted, logged and listed. Nothing is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

import structlog

from clearance.errors import LedgerUnavailable
from clearance.ledger import closing, endings, group_work, submissions
from clearance.ledger.closing import Ended, LeftChunk
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import Group
from clearance.ledger.group_work import ClaimedGroup
from clearance.ledger.obligations import ClaimRequest, Finish, finish_many
from clearance.ledger.unconfirmed import unconfirmed
from clearance.obligations import Claimed
from clearance.telemetry import Metrics
from tasks.base import ObligationTask, Services

log = structlog.get_logger()

_CHUNKS_AT_ONCE = 50
_LEDGER_PAUSE_S = 0.2


@dataclass(slots=True)
class CloseAttempt:
    """One run.

    `missed` is how the revision was missed, if what the vendor said has ended it before; `sent` are those who were sent
    and never confirmed.
    """

    held: ClaimedGroup
    missed: Ended | None = field(default=None, init=False)
    sent: int = field(default=0, init=False)
    is_unconfirmed: bool = field(default=False, init=False)

    @property
    def claimed(self) -> Claimed:
        """See `tasks.base.Attempt`."""
        return self.held.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseServices(Services):
    """What this task needs besides."""

    ledger: Ledger


class CloseGroup(ObligationTask[CloseAttempt, CloseServices]):
    """End one revision whose deadline is over."""

    name = "clearance.groups.close"
    lane: ClassVar[str] = "submit"

    def claim(self, requests: Sequence[ClaimRequest]) -> list[CloseAttempt | None]:
        """The obligations with their groups."""
        asked = [self.services.commits.submit(group_work.claim_many, request) for request in requests]
        found = [future.result() for future in asked]
        return [CloseAttempt(held) if held else None for held in found]

    def finish(self, ends: Sequence[tuple[CloseAttempt, Finish]]) -> list[bool]:
        """The outcomes; under our claim, so that whom a revision missed is told once."""
        asked = [self.services.commits.submit(finish_many, finish) for _, finish in ends]
        are_ours = [future.result() for future in asked]
        for (attempt, _), is_ours in zip(ends, are_ours, strict=True):
            if is_ours and attempt.missed is not None:
                tell_ended(self.services.metrics, attempt.missed, unconfirmed=attempt.sent)
        return are_ours

    def last_moment(self, deadline_at: datetime) -> datetime:
        """A day after the group's."""
        return deadline_at

    def work(self, held: CloseAttempt) -> None:
        """Give up what is left, chunk by chunk, and end the revision."""
        services, group, revision = self.services, held.held.group, held.held.number
        while True:
            while left := self._left(group, revision):
                for number in left:
                    chunk = LeftChunk(
                        group_id=group.group_id,
                        revision=revision,
                        generation=group.generation,
                        number=number,
                        now=services.clock(),
                    )
                    services.commits.submit(closing.miss_many, chunk).result()
            end = closing.End(group_id=group.group_id, revision=revision, now=services.clock(), is_over=True)
            end_and_tell(services, services.ledger, end)
            # A fetch that was still going may have stored a chunk just before: then it has not ended.
            if not self._left(group, revision):
                break
        with services.ledger.read() as connection:
            held.missed = endings.ended_by_word(connection, group.group_id, revision)
            held.sent = unconfirmed(connection, group.group_id, revision)

    def _left(self, group: Group, revision: int) -> list[int]:
        """Chunks to be given up; none any more if the vendor has said something else meanwhile."""
        with self.services.ledger.read() as connection:
            now = submissions.progress(connection, group.group_id)
            if now is None or (now.group.revision, now.group.generation) != (revision, group.generation):
                return []
            return closing.left_chunks(connection, group.group_id, group.generation, _CHUNKS_AT_ONCE)


def end_and_tell(services: Services, ledger: Ledger, end: closing.End) -> None:
    """End the revision, if it can end, and tell how: once, also when the commit that ended it was not confirmed.

    Waits for a ledger that is away: nobody else would tell.
    """
    is_unsure = False
    while True:
        try:
            ended = services.commits.submit(closing.end_many, end).result().ended
            with ledger.read() as connection:
                if ended is None and is_unsure:
                    ended = endings.ended_by(connection, end)
                if ended is not None:
                    sent = unconfirmed(connection, end.group_id, end.revision)
        except LedgerUnavailable as error:
            is_unsure = True
            log.warning("group.end_not_recorded_yet", group=end.group_id, error=str(error))
            services.pause(_LEDGER_PAUSE_S * (0.5 + services.jitter()))
            continue
        if ended is not None:
            tell_ended(services.metrics, ended, unconfirmed=sent)
        return


def tell_ended(metrics: Metrics, ended: Ended, *, unconfirmed: int = 0) -> None:
    """Count and log how a revision ended: its margin, and whom it missed, by what was really the case.

    `unconfirmed` are those of the customers not sent who were sent after all, in a call that was never answered.
    """
    api, group = ended.group.api, ended.group
    metrics.count("groups_ended_total", api=api, outcome=ended.ended_as.value)
    if ended.margin_s is not None:
        metrics.observe("group_margin_seconds", ended.margin_s, api=api)
    unconfirmed = min(unconfirmed, ended.not_sent)
    missed = {
        "NOT_DECIDED_IN_TIME": ended.not_decided,
        "NOT_SENT_IN_TIME": ended.not_sent - unconfirmed,
        "SENT_UNCONFIRMED": unconfirmed,
        "NOT_FETCHED_IN_TIME": ended.not_fetched,
    }
    for reason, customers in missed.items():
        if customers:
            metrics.count("group_customers_missed_total", customers, api=api, reason=reason)
    tell = log.error if ended.missed else log.info
    tell(
        "group.ended",
        group=group.group_id,
        vendor_id=group.vendor_id,
        outcome=ended.ended_as.value,
        submitted=ended.submitted,
        margin_s=ended.margin_s,
        **{name.lower(): customers for name, customers in missed.items()},
    )
