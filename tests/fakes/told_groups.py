"""Groups as the real operations make them: told of, fetched in chunks, decided, submitted, closed. All at `START`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from clearance.decisions.decision import Campaign, Customer, Decision
from clearance.ledger import chunks, closing, group_calls, group_work, groups
from clearance.ledger.decisions import Answer, NewApproval, NewDecision
from clearance.ledger.engine import Ledger
from clearance.ledger.group_obligations import subject_of
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.obligations import Claimed, Done, ObligationId
from clearance.optimove.heads_up import HeadsUp
from clearance.schedule import Schedule
from tests.fakes.clock import START

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DEADLINE = START + 10 * MINUTE
CAMPAIGN = Campaign(
    lane="send_group",
    series_id="111",
    occurrence_id="222",
    send_group_id="7",
    action_id="576",
    channel_id="345",
    channel_name="Email",
    template_id="t1",
    template_name="Welcome",
)
APPROVED = Decision(approved=True, reasons=(), rules_version="v1", policy="bonus")
REFUSED = Decision(approved=False, reasons=("UNDER_AGE", "NO_CONSENT"), rules_version="v1", policy="bonus")


def hear(
    ledger: Ledger,
    name: str = "g1",
    *,
    vendor_id: str = "7",
    api: Any = "v2",
    campaign: Campaign = CAMPAIGN,
    deadline_at: datetime = DEADLINE,
    at: datetime = START,
    **told: Any,
) -> None:
    """The vendor says that the group has to be answered by `deadline_at`; submission begins a minute before."""
    facts: dict[str, Any] = {"order": 2, "total_groups": 3, "expected_customers": 4, "unique_customers": 9}
    item = groups.NewHeadsUp(
        group_id=name,
        heads_up=HeadsUp(
            api=api,
            vendor_id=vendor_id,
            told_at=at,
            deadline_at=deadline_at,
            campaign=campaign,
            **(facts | told),
        ),
        schedule=Schedule(submit_at=deadline_at - MINUTE, hard_stop_at=deadline_at - SECOND),
        received_at=at,
        hedge_after=SECOND,
        eta_window=30 * SECOND,
        trace_id=f"t-{name}",
    )
    with ledger.write() as connection:
        groups.hear_many(connection, [item])


def cancel(ledger: Ledger, name: str = "g1", *, vendor_id: str = "7", at: datetime = START + SECOND) -> None:
    """The vendor takes the group back."""
    item = groups.NewCancellation(
        group_id=name,
        api="v2",
        vendor_id=vendor_id,
        told_at=at,
        received_at=at,
        campaign=CAMPAIGN,
        trace_id=f"t-{name}",
    )
    with ledger.write() as connection:
        groups.cancel_many(connection, [item])


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is done for a group that was told of."""

    ledger: Ledger
    group_id: str = "g1"
    generation: int = 1
    revision: int = 1

    def fetch(
        self, *chunks_of_ids: Sequence[str], first: int = 1, is_all: bool = True, at: datetime = START
    ) -> None:
        """These chunks came."""
        for number, ids in enumerate(chunks_of_ids, first):
            chunk = chunks.NewChunk(
                group_id=self.group_id,
                generation=self.generation,
                number=number,
                customers=[Customer(customer_id=each, attributes={}) for each in ids],
                now=at,
                hedge_after=SECOND,
                trace_id="t",
            )
            with self.ledger.write() as connection:
                chunks.add_many(connection, [chunk])
        if is_all:
            self._end_fetch(at)

    def decide(self, number: int, *decided: tuple[str, Decision], at: datetime = START + MINUTE) -> None:
        """This was decided about the customers of a chunk."""
        subject = subject_of(self.group_id, self.generation)
        claimed = self._claim(f"groups.review:{subject}:{number}", chunks.claim_many, at).claimed
        item = chunks.DecidedChunk(
            finish=Finish(claimed=claimed, outcome=Done(), now=at),
            group_id=self.group_id,
            generation=self.generation,
            number=number,
            decisions=[
                NewDecision(
                    subject=subject,
                    customer_id=customer_id,
                    decision=decision,
                    inputs_digest="d",
                    decided_at=at,
                    chunk=number,
                )
                for customer_id, decision in decided
            ],
        )
        with self.ledger.write() as connection:
            assert chunks.decided_many(connection, [item]) == [True]

    def call(
        self,
        *numbers: int,
        answer: Answer = Answer.TAKEN,
        customers: int = 2,
        at: datetime = DEADLINE - 30 * SECOND,
        error: str | None = None,
    ) -> None:
        """One call, answered after half a second unless its outcome is unknown."""
        status = {Answer.TAKEN: 200, Answer.REFUSED: 400, Answer.UNKNOWN: None}[answer]
        answered_at = None if status is None else at + SECOND / 2
        approval = NewApproval(
            approval_id=f"a-{self.group_id}-{at:%H%M%S}",
            subject=self.group_id,
            attempt=1,
            customers=customers,
            sent_at=at,
            answered_at=answered_at,
            status=status,
            answer=answer,
            error=error,
            revision=self.revision,
        )
        call = group_calls.Call(
            group_id=self.group_id,
            generation=self.generation,
            revision=self.revision,
            deadline_at=DEADLINE,
            approval=approval,
            numbers=numbers,
            now=answered_at or at,
        )
        with self.ledger.write() as connection:
            group_calls.called_many(connection, [call])

    def miss(self, *numbers: int, at: datetime = DEADLINE + SECOND) -> None:
        """These chunks are given up."""
        items = [
            closing.LeftChunk(
                group_id=self.group_id,
                revision=self.revision,
                generation=self.generation,
                number=number,
                now=at,
            )
            for number in numbers
        ]
        with self.ledger.write() as connection:
            closing.miss_many(connection, items)

    def end(self, *, at: datetime, is_over: bool = False) -> None:
        """The revision ends."""
        end = closing.End(group_id=self.group_id, revision=self.revision, now=at, is_over=is_over)
        with self.ledger.write() as connection:
            (ending,) = closing.end_many(connection, [end])
        assert ending.ended is not None

    def _end_fetch(self, at: datetime) -> None:
        name = f"groups.fetch:{subject_of(self.group_id, self.generation)}"
        held = self._claim(name, group_work.claim_many, at)
        item = group_work.Fetched(
            finish=Finish(claimed=held.claimed, outcome=Done(), now=at + SECOND),
            group_id=self.group_id,
            generation=self.generation,
            margin=timedelta(),
            eta_window=30 * SECOND,
        )
        with self.ledger.write() as connection:
            assert group_work.fetched_many(connection, [item]) == [True]

    def _claim(self, obligation_id: str, claim_many: Any, at: datetime) -> Any:
        request = ClaimRequest(obligation_id=ObligationId(obligation_id), now=at, lease_until=at + MINUTE)
        with self.ledger.write() as connection:
            (held,) = claim_many(connection, [request])
        assert held is not None, f"{obligation_id} could not be claimed"
        assert isinstance(held.claimed, Claimed)
        return held


def submitted_group(ledger: Ledger, name: str = "g1", **told: Any) -> Work:
    """Four customers in two chunks, one of them refused, all answered half a minute before the deadline."""
    hear(ledger, name, **told)
    work = Work(ledger=ledger, group_id=name)
    work.fetch(["C1", "C2"], ["C3", "C4"])
    work.decide(1, ("C1", APPROVED), ("C2", REFUSED))
    work.decide(2, ("C3", APPROVED), ("C4", APPROVED))
    work.call(1, 2, customers=4)
    work.end(at=DEADLINE - 29 * SECOND)
    return work
