"""What operators see of letters and batches. Each function takes a connection and changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select

from clearance.ledger.mail_tables import UNFINISHED_BATCH
from clearance.ledger.mail_tables import mail_batches as table
from clearance.ledger.mail_tables import mail_recipients as people
from clearance.mail_states import BatchState, RecipientState


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRecipient:
    """One recipient; `payload` only where one is read whole (`recipient`, `failed`), and until it is purged."""

    recipient_id: str
    automation_id: str
    state: RecipientState
    is_dry_run: bool
    batch_id: str | None
    position: int | None
    received_at: datetime
    finished_at: datetime | None
    customer_ids: Mapping[str, str]
    campaign: str | None
    vendor_id: str | None
    reason: str | None
    error: str | None
    trace_id: str
    payload: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBatch:
    """One batch."""

    batch_id: str
    automation_id: str
    state: BatchState
    is_dry_run: bool
    recipients: int
    created_at: datetime
    due_at: datetime
    posts: int
    sent_at: datetime | None
    answered_at: datetime | None
    finished_at: datetime | None
    status: int | None
    posted: int
    failed: int
    reason: str | None
    error: str | None
    vendor_request_id: str | None
    parent_id: str | None
    resolved_as: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many recipients of an automation are in a state."""

    automation_id: str
    state: RecipientState
    is_dry_run: bool
    recipients: int


def recipients(
    connection: Connection,
    *,
    automation_id: str | None = None,
    state: RecipientState | None = None,
    since: datetime | None = None,
    before_id: str | None = None,
    limit: int = 100,
) -> list[ShownRecipient]:
    """The newest first; `before_id` goes on after the last one of the page before."""
    page = select(*_LISTED).order_by(people.c.id.desc()).limit(limit)
    if automation_id is not None:
        page = page.where(people.c.automation_id == automation_id)
    if state is not None:
        page = page.where(people.c.state == state)
    if since is not None:
        page = page.where(people.c.received_at >= since)
    if before_id is not None:
        page = page.where(people.c.id < before_id)
    return [_recipient(row) for row in connection.execute(page)]


def recipient(connection: Connection, recipient_id: str) -> ShownRecipient | None:
    """One, whole."""
    row = connection.execute(_SELECT_WHOLE.where(people.c.id == recipient_id)).first()
    return None if row is None else _recipient(row, row.payload)


def batches(
    connection: Connection,
    *,
    automation_id: str | None = None,
    state: BatchState | None = None,
    before_id: str | None = None,
    limit: int = 100,
) -> list[ShownBatch]:
    """The newest first."""
    page = select(table).order_by(table.c.id.desc()).limit(limit)
    if automation_id is not None:
        page = page.where(table.c.automation_id == automation_id)
    if state is not None:
        page = page.where(table.c.state == state)
    if before_id is not None:
        page = page.where(table.c.id < before_id)
    return [_batch(row) for row in connection.execute(page)]


def batch(connection: Connection, batch_id: str) -> ShownBatch | None:
    """One batch."""
    row = connection.execute(select(table).where(table.c.id == batch_id)).first()
    return None if row is None else _batch(row)


def letters(connection: Connection, batch_id: str) -> list[ShownRecipient]:
    """The letters of a batch, in order; those of a split one are in its parts."""
    rows = connection.execute(
        select(*_LISTED).where(people.c.batch_id == batch_id).order_by(people.c.position)
    )
    return [_recipient(row) for row in rows]


def held(connection: Connection, *, after_id: str = "", limit: int = 100) -> list[ShownBatch]:
    """What waits for a person, the oldest batch first: since `answered_at`, with its reason."""
    page = select(table).where(table.c.state == BatchState.HELD.value, table.c.id > after_id)
    return [_batch(row) for row in connection.execute(page.order_by(table.c.id).limit(limit))]


def counts(connection: Connection) -> list[Tally]:
    """Recipients by automation and state. Reads all that there ever were."""
    rows = connection.execute(_COUNTS)
    return [
        Tally(
            automation_id=row.automation_id,
            state=RecipientState(row.state),
            is_dry_run=row.is_dry_run,
            recipients=row.recipients,
        )
        for row in rows
    ]


def oldest_waiting_at(connection: Connection) -> datetime | None:
    """Since when the oldest letter waits to be posted, its batch's beginning; None when none does.

    Rehearsals do not count, and what is held waits for a person.
    """
    found: datetime | None = connection.execute(_OLDEST_WAITING).scalar()
    return found


def failed(
    connection: Connection,
    *,
    automation_id: str | None = None,
    since: datetime | None = None,
    after_id: str = "",
    limit: int = 1_000,
) -> list[ShownRecipient]:
    """Letters that failed, with address, reason and customer ids: the oldest first, the next page `after_id`.

    Failed are those that Optilyz or we refused, and those whose address is suppressed. What we refused has no address:
    it was not read as one.
    """
    page = _SELECT_WHOLE.where(
        people.c.state.in_(_FAILED), people.c.is_dry_run.is_(False), people.c.id > after_id
    )
    if automation_id is not None:
        page = page.where(people.c.automation_id == automation_id)
    if since is not None:
        page = page.where(people.c.received_at >= since)
    rows = connection.execute(page.order_by(people.c.id).limit(limit))
    return [_recipient(row, row.payload) for row in rows]


def _recipient(row: Row[Any], payload: bytes | None = None) -> ShownRecipient:
    return ShownRecipient(
        recipient_id=row.id,
        automation_id=row.automation_id,
        state=RecipientState(row.state),
        is_dry_run=row.is_dry_run,
        batch_id=row.batch_id,
        position=row.position,
        received_at=row.received_at,
        finished_at=row.finished_at,
        customer_ids=orjson.loads(row.customer_ids),
        campaign=row.campaign,
        vendor_id=row.vendor_id,
        reason=row.reason,
        error=row.error,
        trace_id=row.trace_id,
        payload=payload,
    )


def _batch(row: Row[Any]) -> ShownBatch:
    return ShownBatch(
        batch_id=row.id,
        automation_id=row.automation_id,
        state=BatchState(row.state),
        is_dry_run=row.is_dry_run,
        recipients=row.recipients,
        created_at=row.created_at,
        due_at=row.due_at,
        posts=row.posts,
        sent_at=row.sent_at,
        answered_at=row.answered_at,
        finished_at=row.finished_at,
        status=row.status,
        posted=row.posted,
        failed=row.failed,
        reason=row.reason,
        error=row.error,
        vendor_request_id=row.vendor_request_id,
        parent_id=row.parent_id,
        resolved_as=row.resolved_as,
        resolved_by=row.resolved_by,
        resolved_at=row.resolved_at,
        trace_id=row.trace_id,
    )


_FAILED = tuple(
    state.value for state in (RecipientState.FAILED, RecipientState.REFUSED, RecipientState.SUPPRESSED)
)
_LISTED = tuple(column for column in people.c if column.name != "payload")
_SELECT_WHOLE = select(people)
_COUNTS = (
    select(people.c.automation_id, people.c.state, people.c.is_dry_run, func.count().label("recipients"))
    .group_by(people.c.automation_id, people.c.state, people.c.is_dry_run)
    .order_by(people.c.automation_id, people.c.state, people.c.is_dry_run)
)
_OLDEST_WAITING = select(func.min(table.c.created_at)).where(UNFINISHED_BATCH, table.c.is_dry_run.is_(False))
