"""Letters, requests and the steps of a mail worker with everything filled in: a test states only what it is about."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select

from clearance.bloomreach.feedback import Feedback
from clearance.ledger import mail_posting
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import BatchEnd, End, settle_many
from clearance.ledger.mail_intake import (
    BatchPlan,
    NewLetter,
    NewRequest,
    RefusedLetter,
    TakenRequest,
    take_many,
)
from clearance.ledger.mail_posting import BatchToPost, BeginRequest
from clearance.ledger.mail_tables import mail_batches, mail_recipients
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.obligations import Done, ObligationId, Outcome
from tests.fakes.clock import START

LEASE = timedelta(seconds=30)
MAX_WAIT = timedelta(seconds=30)
WINDOW = timedelta(hours=24)
AUTOMATION = "automation-1"


def plan(batch_size: int = 3, *, max_wait: timedelta = MAX_WAIT, window: timedelta = WINDOW) -> BatchPlan:
    """Small batches."""
    return BatchPlan(batch_size=batch_size, max_wait=max_wait, dedupe_window=window)


def letter(
    name: str,
    *,
    same_as: str | None = None,
    address: str | None = None,
    customer_ids: Mapping[str, str] | None = None,
) -> NewLetter:
    """A letter to the recipient `name`; with `same_as`, the one that was sent to that recipient before."""
    whose = same_as or name
    return NewLetter(
        recipient_id=name,
        payload=f'{{"address":{{"street":"{whose}"}}}}'.encode(),
        dedupe_key=f"key-{whose}",
        address_key=address or f"address-{whose}",
        customer_ids={"customer_id": f"c-{whose}"} if customer_ids is None else customer_ids,
        campaign="spring",
    )


def refused(name: str, *, is_address_wrong: bool = False) -> RefusedLetter:
    """A recipient that validation refused."""
    return RefusedLetter(
        recipient_id=name,
        reason="MISSING",
        error="zipCode is missing",
        customer_ids={"customer_id": f"c-{name}"},
        campaign=None,
        is_address_wrong=is_address_wrong,
    )


def request(
    *letters: NewLetter | RefusedLetter,
    automation_id: str = AUTOMATION,
    is_dry_run: bool = False,
    now: datetime = START,
    plan: BatchPlan | None = None,
    feedback: Feedback | None = None,
) -> NewRequest:
    """A request with these letters."""
    return NewRequest(
        request_id="q",
        automation_id=automation_id,
        letters=letters,
        is_dry_run=is_dry_run,
        received_at=now,
        plan=plan or _PLAN,
        feedback=feedback,
        trace_id="t-q",
    )


def take(ledger: Ledger, *requests: NewRequest) -> list[TakenRequest]:
    """Take them in one transaction."""
    with ledger.write() as connection:
        return take_many(connection, requests)


def take_letters(ledger: Ledger, *names: str, **given: Any) -> TakenRequest:
    """Take one request with new letters of these names."""
    (taken,) = take(ledger, request(*map(letter, names), **given))
    return taken


def next_due(ledger: Ledger, now: datetime) -> ObligationId | None:
    """Whose turn it is."""
    with ledger.read() as connection:
        return mail_posting.next_due(connection, now)


def begin(
    ledger: Ledger, owed: ObligationId | None, *, now: datetime = START, fence: int = 1
) -> BatchToPost | None:
    """Begin one batch, if it can be held."""
    assert owed is not None, "nothing is due"
    claim = ClaimRequest(obligation_id=owed, now=now, lease_until=now + LEASE)
    with ledger.write() as connection:
        (begun,) = mail_posting.begin_many(connection, [BeginRequest(claim=claim, fence=fence)])
    return begun


def begun(ledger: Ledger, *, now: datetime = START) -> BatchToPost:
    """Begin the batch whose turn it is; there has to be one."""
    batch = begin(ledger, next_due(ledger, now), now=now)
    assert batch is not None, "the batch could not be held"
    return batch


def settle(
    ledger: Ledger,
    batch: BatchToPost,
    end: End,
    *,
    outcome: Outcome | None = None,
    now: datetime = START,
    feedback: Feedback | None = None,
) -> bool:
    """End an attempt; whether it counted."""
    finish = Finish(claimed=batch.claimed, outcome=outcome or Done(), now=now)
    with ledger.write() as connection:
        (is_ours,) = settle_many(
            connection, [BatchEnd(batch=batch, end=end, finish=finish, feedback=feedback, now=now)]
        )
    return is_ours


def person(ledger: Ledger, recipient_id: str) -> Row[Any]:
    """What the ledger says of one recipient."""
    with ledger.read() as connection:
        rows = connection.execute(select(mail_recipients).where(mail_recipients.c.id == recipient_id))
        return rows.one()


def states(ledger: Ledger) -> dict[str, str]:
    """The state of every recipient."""
    with ledger.read() as connection:
        rows = connection.execute(select(mail_recipients.c.id, mail_recipients.c.state))
        return {row.id: row.state for row in rows}


def batches(ledger: Ledger) -> Sequence[Row[Any]]:
    """Every batch: by the time when it was opened, ready ones first."""
    with ledger.read() as connection:
        return connection.execute(
            select(mail_batches).order_by(
                mail_batches.c.created_at, mail_batches.c.state.desc(), mail_batches.c.id
            )
        ).all()


_PLAN = plan()
