"""Notifications, obligations and workers' steps with everything filled in: a test states only what it is about."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Row, select

from clearance.ledger import notifications, obligations
from clearance.ledger.engine import Ledger
from clearance.ledger.notifications import Accepted, NewNotification
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.ledger.tables import obligations as table
from clearance.obligations import Claimed, Lane, MissedReason, Obligation, ObligationId, Outcome
from tests.fakes.clock import START

TASK = "clearance.triggered.approve"
LEASE = timedelta(seconds=1.5)
BUDGET = timedelta(seconds=5)
HEDGE_AFTER = timedelta(seconds=1)


def obligation(
    name: str,
    *,
    now: datetime = START,
    run_at: datetime | None = None,
    deadline_at: datetime | None = None,
    publish_at: datetime | None = None,
    missed: MissedReason | None = None,
) -> Obligation:
    """An obligation called `name`, owed from `now` on, within `BUDGET`."""
    return Obligation(
        obligation_id=ObligationId(name),
        lane=Lane.TRIGGERED,
        task=TASK,
        subject=f"n-{name}"[:32],
        created_at=now,
        run_at=run_at or now,
        deadline_at=deadline_at or now + BUDGET,
        publish_at=publish_at or (run_at or now) + HEDGE_AFTER,
        trace_id=f"t-{name}",
        missed=missed,
    )


def notification(
    name: str, *, vendor_id: str | None = None, body: bytes = b"{}", **owed: Any
) -> NewNotification:
    """A notification that creates `obligation(name, **owed)`."""
    owes = obligation(name, **owed)
    return NewNotification(
        notification_id=owes.subject,
        kind=notifications.TRIGGERED,
        vendor_id=vendor_id or f"v-{name}",
        customer_id="C1",
        received_at=owes.created_at,
        signed_at=owes.created_at,
        deadline_at=owes.deadline_at,
        body=body,
        obligation=owes,
    )


def accept(ledger: Ledger, *items: NewNotification) -> list[Accepted]:
    """Accept them in one transaction."""
    with ledger.write() as connection:
        return notifications.accept_many(connection, items)


def owe(ledger: Ledger, *items: Obligation) -> None:
    """Create obligations without notifications."""
    with ledger.write() as connection:
        obligations.add_many(connection, items)


def claim(
    ledger: Ledger, *names: str, now: datetime = START, lease: timedelta = LEASE
) -> list[Claimed | None]:
    """Claim them in one transaction."""
    requests = [
        ClaimRequest(obligation_id=ObligationId(name), now=now, lease_until=now + lease) for name in names
    ]
    with ledger.write() as connection:
        return obligations.claim_many(connection, requests)


def claimed(ledger: Ledger, name: str, *, now: datetime = START, lease: timedelta = LEASE) -> Claimed:
    """Claim one that must be free."""
    (held,) = claim(ledger, name, now=now, lease=lease)
    assert held is not None, f"{name} could not be claimed"
    return held


def finish(
    ledger: Ledger,
    held: Claimed,
    outcome: Outcome,
    *,
    now: datetime = START,
    publish_at: datetime | None = None,
) -> bool:
    """End an attempt; whether it counted."""
    (is_ours,) = finish_all(ledger, [Finish(claimed=held, outcome=outcome, now=now, publish_at=publish_at)])
    return is_ours


def finish_all(ledger: Ledger, finishes: Sequence[Finish]) -> list[bool]:
    """End attempts in one transaction."""
    with ledger.write() as connection:
        return obligations.finish_many(connection, finishes)


def renew(ledger: Ledger, held: Claimed, until: datetime) -> bool:
    """Hold on until then; whether it was still held."""
    with ledger.write() as connection:
        (is_held,) = obligations.renew_many(connection, [(held, until)])
    return is_held


def row(ledger: Ledger, name: str) -> Row[Any]:
    """What the ledger says of one obligation."""
    with ledger.read() as connection:
        return cast(Row[Any], connection.execute(select(table).where(table.c.id == name)).one())
