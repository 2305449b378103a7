"""What a message to review means: decide about one chunk of a group's customers, by the rules in force.

In: an obligation whose subject is a chunk. Out: a decision for each of its customers, written in one transaction with
the end of the obligation. A check that could not answer is asked again later, as long as there is time; then its
`on_error` counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

import structlog

from clearance.checks.judge import Judge, Judged
from clearance.decisions.decision import Customer
from clearance.decisions.inputs import digest_of, inputs_of
from clearance.errors import RetryLater
from clearance.ledger import chunks
from clearance.ledger.chunks import ClaimedChunk, DecidedChunk
from clearance.ledger.decisions import NewDecision
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.obligations import Claimed
from tasks.base import ObligationTask, Services, bound

log = structlog.get_logger()

# Of the time between fetch and hard stop, this much is for asking again; the rest is for what comes after.
_ASK_AGAIN_FOR = 2 / 3
# The longest that the checks of one chunk may take in one attempt; and never more than half of what is left, because
# what is decided must be sent, too.
_LONGEST_ASK = timedelta(seconds=60)


class ChecksUnanswered(RetryLater):
    """A check could not answer, and there is time to ask it again."""


@dataclass(slots=True)
class ReviewAttempt:
    """One run: the chunk, and what was decided about it."""

    held: ClaimedChunk
    decisions: Sequence[NewDecision] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    is_unconfirmed: bool = field(default=False, init=False)

    @property
    def claimed(self) -> Claimed:
        """See `tasks.base.Attempt`."""
        return self.held.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewServices(Services):
    """What this task needs besides: the rules in force, and whom they ask."""

    judge: Callable[[], Judge]


class ReviewChunk(ObligationTask[ReviewAttempt, ReviewServices]):
    """Decide about one chunk."""

    name = "clearance.groups.review"
    lane: ClassVar[str] = "review"

    def claim(self, requests: Sequence[ClaimRequest]) -> list[ReviewAttempt | None]:
        """The obligations with their customers."""
        asked = [self.services.commits.submit(chunks.claim_many, request) for request in requests]
        found = [future.result() for future in asked]
        return [ReviewAttempt(held) if held else None for held in found]

    def finish(self, ends: Sequence[tuple[ReviewAttempt, Finish]]) -> list[bool]:
        """The outcomes together with the decisions."""
        asked = [
            self.services.commits.submit(
                chunks.decided_many,
                DecidedChunk(
                    finish=finish,
                    group_id=attempt.held.group_id,
                    generation=attempt.held.generation,
                    number=attempt.held.number,
                    decisions=attempt.decisions,
                ),
            )
            for attempt, finish in ends
        ]
        are_ours = [future.result() for future in asked]
        for (attempt, _), is_ours in zip(ends, are_ours, strict=True):
            if is_ours and attempt.decisions:
                self._tell(attempt)
        return are_ours

    def last_moment(self, deadline_at: datetime) -> datetime:
        """What is decided after the hard stop is not sent."""
        return deadline_at

    def work(self, held: ReviewAttempt) -> None:
        """Judge every customer of the chunk."""
        services, chunk = self.services, held.held
        customers = chunk.customers()
        if not customers:
            return
        judge, now = services.judge(), services.clock()
        judged = judge.judge(
            chunk.campaign,
            customers,
            ends_at=now + min(_LONGEST_ASK, (held.claimed.deadline_at - now) / 2),
            occasion=chunk.decision_subject,
        )
        if _may_ask_again(held.claimed, services.clock()) and any(map(_is_unanswered, judged)):
            raise ChecksUnanswered("a check did not answer about every customer")
        is_kept, decided_at = judge.engine.rules.record_inputs, services.clock()
        held.decisions = [
            self._decision(chunk, customer, each, is_kept, decided_at)
            for customer, each in zip(customers, judged, strict=True)
        ]
        held.reasons = _reasons(judged)

    def _tell(self, held: ReviewAttempt) -> None:
        """Once they are recorded, and under our claim: what is decided twice is counted once."""
        metrics, decisions = self.services.metrics, held.decisions
        approved = sum(each.decision.approved for each in decisions)
        metrics.count("decisions_total", approved, lane=self.lane, answer="approved")
        metrics.count("decisions_total", len(decisions) - approved, lane=self.lane, answer="rejected")
        for reason, count in held.reasons.items():
            metrics.count("decision_reasons_total", count, lane=self.lane, reason=reason)
        with bound(held.claimed):
            log.info("chunk.decided", chunk=held.held.number, customers=len(decisions), approved=approved)

    def _decision(
        self, chunk: ClaimedChunk, customer: Customer, judged: Judged, is_kept: bool, decided_at: datetime
    ) -> NewDecision:
        inputs = inputs_of(chunk.campaign, customer, judged.answers)
        return NewDecision(
            subject=chunk.decision_subject,
            customer_id=customer.customer_id,
            decision=judged.decision,
            inputs_digest=digest_of(inputs),
            inputs=inputs if is_kept else None,
            decided_at=decided_at,
            chunk=chunk.number,
        )


def _may_ask_again(claimed: Claimed, now: datetime) -> bool:
    return now < claimed.created_at + (claimed.deadline_at - claimed.created_at) * _ASK_AGAIN_FOR


def _is_unanswered(judged: Judged) -> bool:
    return any(reason.startswith("CHECK_FAILED:") for reason in judged.decision.reasons)


def _reasons(judged: Sequence[Judged]) -> dict[str, int]:
    """How often each reason was noted, without what follows its colon."""
    counts: dict[str, int] = {}
    for each in judged:
        for reason in each.decision.reasons:
            code = reason.partition(":")[0]
            counts[code] = counts.get(code, 0) + 1
    return counts
