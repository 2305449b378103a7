"""Groups, chunks and calls with everything filled in: a test states only what it is about."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from sqlalchemy import Row, select

from clearance.decisions.decision import Campaign, Customer, Decision
from clearance.ledger import (
    calls_begun,
    chunks,
    closing,
    group_calls,
    group_work,
    groups,
    obligations,
    submissions,
)
from clearance.ledger.decisions import Answer, NewApproval, NewDecision
from clearance.ledger.engine import Ledger
from clearance.ledger.group_obligations import subject_of
from clearance.ledger.tables import chunks as chunk_table
from clearance.ledger.tables import group_revisions
from clearance.ledger.tables import groups as group_table
from clearance.obligations import Claimed, Done, ObligationId
from clearance.optimove.heads_up import HeadsUp
from clearance.schedule import Schedule
from tests.fakes.clock import START

G = "g" * 32
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MARGIN = timedelta(seconds=60)
DEADLINE = START + HOUR
LATER = START + 2 * HOUR

Result = TypeVar("Result")


def write(ledger: Ledger, operation: Callable[..., Result], *arguments: Any) -> Result:
    """Run it in a transaction of its own."""
    with ledger.write() as connection:
        return operation(connection, *arguments)


def heads_up(
    deadline_at: datetime = DEADLINE,
    *,
    told_at: datetime = START,
    now: datetime | None = None,
    group_id: str = G,
    vendor_id: str = "sg-1",
    expected: int | None = 3,
    campaign: Campaign | None = None,
) -> groups.NewHeadsUp:
    """A heads-up for the group, received when it was told."""
    told = HeadsUp(
        api="v2",
        vendor_id=vendor_id,
        told_at=told_at,
        deadline_at=deadline_at,
        campaign=campaign or Campaign(lane="send_group", occurrence_id="o-1", tags=("a",)),
        order=1,
        total_groups=2,
        expected_customers=expected,
    )
    return groups.NewHeadsUp(
        group_id=group_id,
        heads_up=told,
        schedule=Schedule(submit_at=deadline_at - MARGIN, hard_stop_at=deadline_at - SECOND),
        received_at=now or told_at,
        hedge_after=SECOND,
        eta_window=5 * SECOND,
        trace_id="t-1",
    )


def hear(ledger: Ledger, *items: groups.NewHeadsUp) -> list[groups.Heard]:
    """Take note of them in one transaction."""
    return write(ledger, groups.hear_many, items)


def cancellation(told_at: datetime, *, vendor_id: str = "sg-1") -> groups.NewCancellation:
    """The group is taken back."""
    return groups.NewCancellation(
        group_id="c" * 32,
        api="v2",
        vendor_id=vendor_id,
        told_at=told_at,
        received_at=told_at,
        campaign=Campaign(lane="send_group"),
        trace_id="t-c",
    )


def cancel(ledger: Ledger, told_at: datetime) -> groups.Heard:
    """Take the group back."""
    (heard,) = write(ledger, groups.cancel_many, [cancellation(told_at)])
    return heard


def customers(*names: str) -> list[Customer]:
    """Customers called so."""
    return [Customer(customer_id=name, attributes={"country": "DE"}, promo_codes=("P",)) for name in names]


def chunk(
    number: int, *names: str, generation: int = 1, group_id: str = G, now: datetime = START
) -> chunks.NewChunk:
    """A chunk of these customers."""
    return chunks.NewChunk(
        group_id=group_id,
        generation=generation,
        number=number,
        customers=customers(*names),
        now=now,
        hedge_after=SECOND,
        trace_id="t-1",
    )


def store(ledger: Ledger, *items: chunks.NewChunk) -> list[chunks.Added]:
    """Store them in one transaction."""
    return write(ledger, chunks.add_many, items)


def claim_chunk(
    ledger: Ledger, number: int, *, generation: int = 1, now: datetime = START
) -> chunks.ClaimedChunk | None:
    """Hold the obligation to review a chunk."""
    request = _request(f"groups.review:{subject_of(G, generation, number)}", now)
    (held,) = write(ledger, chunks.claim_many, [request])
    return held


def claim_group(ledger: Ledger, kind: str, number: int, *, now: datetime) -> group_work.ClaimedGroup | None:
    """Hold the obligation to `fetch`, `submit` or `close`."""
    request = _request(f"groups.{kind}:{subject_of(G, number)}", now)
    (held,) = write(ledger, group_work.claim_many, [request])
    return held


def decision(name: str, number: int, *, approved: bool = True, generation: int = 1) -> NewDecision:
    """About a customer of a chunk; a refusal has two reasons."""
    reasons = () if approved else ("TOO_YOUNG", "WRONG_COUNTRY")
    return NewDecision(
        subject=subject_of(G, generation),
        customer_id=name,
        decision=Decision(approved=approved, reasons=reasons, rules_version="v1", policy="p"),
        inputs_digest="d",
        decided_at=START,
        chunk=number,
    )


def finish_review(ledger: Ledger, held: chunks.ClaimedChunk, decisions: Sequence[NewDecision]) -> bool:
    """End a review with these decisions."""
    decided = chunks.DecidedChunk(
        finish=obligations.Finish(claimed=held.claimed, outcome=Done(), now=START),
        group_id=held.group_id,
        generation=held.generation,
        number=held.number,
        decisions=decisions,
    )
    (is_ours,) = write(ledger, chunks.decided_many, [decided])
    return is_ours


def review(
    ledger: Ledger, number: int, *, generation: int = 1, now: datetime = START, refused: Sequence[str] = ()
) -> None:
    """Claim a chunk and decide about each of its customers."""
    held = claim_chunk(ledger, number, generation=generation, now=now)
    assert held is not None, f"chunk {number} could not be claimed"
    decisions = [
        decision(each.customer_id, number, approved=each.customer_id not in refused, generation=generation)
        for each in held.customers()
    ]
    assert finish_review(ledger, held, decisions)


def fetched(
    ledger: Ledger,
    *,
    generation: int = 1,
    margin: timedelta = timedelta(),
    now: datetime = START,
    held: group_work.ClaimedGroup | None = None,
) -> bool:
    """The customers of a generation are all stored; the fetch was `held` before, or is now."""
    held = held or claim_group(ledger, "fetch", generation, now=now)
    assert held is not None
    done = group_work.Fetched(
        finish=obligations.Finish(claimed=held.claimed, outcome=Done(), now=now),
        group_id=G,
        generation=generation,
        margin=margin,
        eta_window=5 * SECOND,
    )
    (is_ours,) = write(ledger, group_work.fetched_many, [done])
    return is_ours


def call(
    *numbers: int,
    at: datetime,
    answer: Answer = Answer.TAKEN,
    revision: int = 1,
    generation: int = 1,
    deadline_at: datetime = DEADLINE,
    name: str = "call-1",
    unsent: Sequence[int] = (),
) -> group_calls.Call:
    """A call with these chunks, sent a second before it was answered."""
    approval = NewApproval(
        approval_id=name,
        subject=G,
        attempt=1,
        customers=2,
        sent_at=at - SECOND,
        answered_at=None if answer is Answer.UNKNOWN else at,
        status=200,
        answer=answer,
        revision=revision,
    )
    return group_calls.Call(
        group_id=G,
        generation=generation,
        revision=revision,
        deadline_at=deadline_at,
        approval=approval,
        now=at,
        numbers=numbers,
        unsent=unsent,
    )


def new_call(
    ledger: Ledger, *numbers: int, at: datetime, name: str = "call-1", claimed: Claimed | None = None
) -> calls_begun.NewCall:
    """A call with these chunks that is about to be made by who claims the submission now, or has `claimed` it."""
    held = claimed or claimed_of(claim_group(ledger, "submit", 1, now=at))
    made = call(*numbers, at=at + SECOND, answer=Answer.UNKNOWN, name=name, unsent=numbers)
    assert made.approval is not None
    approval = replace(made.approval, attempt=held.attempt, status=None)
    return calls_begun.NewCall(call=replace(made, approval=approval), approval=approval, claimed=held)


def begun(ledger: Ledger, item: calls_begun.NewCall) -> bool:
    """Write it down; whether it may be made."""
    (may_be_made,) = write(ledger, calls_begun.begin_many, [item])
    return may_be_made


def withdrawn(ledger: Ledger, item: calls_begun.NewCall) -> None:
    """It was not made after all."""
    write(ledger, calls_begun.withdraw_many, [item])


def submitted(ledger: Ledger, item: group_calls.Call) -> int:
    """Note a call; how many customers are submitted by it."""
    (count,) = write(ledger, group_calls.called_many, [item])
    return count


def next_numbers(ledger: Ledger, revision: int = 1, limit: int = 10_000) -> tuple[int, ...] | None:
    """Which chunks a call may carry; None when the revision is not the current one."""
    with ledger.read() as connection:
        found = submissions.next_decided(connection, G, revision, limit)
    return None if found is None else found.numbers


def miss_what_is_left(ledger: Ledger, revision: int, now: datetime, generation: int = 1) -> list[int]:
    """Give up every chunk that is left."""
    with ledger.read() as connection:
        numbers = closing.left_chunks(connection, G, generation, 100)
    left = [
        closing.LeftChunk(group_id=G, revision=revision, generation=generation, number=number, now=now)
        for number in numbers
    ]
    return write(ledger, closing.miss_many, left)


def end(ledger: Ledger, revision: int, now: datetime, *, is_over: bool) -> closing.Ending:
    """Try to end a revision."""
    item = closing.End(group_id=G, revision=revision, now=now, is_over=is_over)
    (ending,) = write(ledger, closing.end_many, [item])
    return ending


def group_row(ledger: Ledger, group_id: str = G) -> Row[Any]:
    """What the ledger says of the group."""
    with ledger.read() as connection:
        found = connection.execute(select(group_table).where(group_table.c.id == group_id)).one()
    return cast(Row[Any], found)


def revision_rows(ledger: Ledger, group_id: str = G) -> list[Row[Any]]:
    """Its revisions, in order."""
    asked = select(group_revisions).where(group_revisions.c.group_id == group_id)
    with ledger.read() as connection:
        return list(connection.execute(asked.order_by(group_revisions.c.revision)))


def chunk_rows(ledger: Ledger) -> list[Row[Any]]:
    """All chunks, in order."""
    with ledger.read() as connection:
        return list(connection.execute(select(chunk_table).order_by(*chunk_table.primary_key)))


def claimed_of(held: chunks.ClaimedChunk | group_work.ClaimedGroup | None) -> Claimed:
    """The claim, which must be one."""
    assert held is not None
    return held.claimed


def _request(obligation_id: str, now: datetime) -> obligations.ClaimRequest:
    return obligations.ClaimRequest(
        obligation_id=ObligationId(obligation_id), now=now, lease_until=now + 30 * SECOND
    )
