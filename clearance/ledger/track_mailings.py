"""What is kept of a mailing's state: one command for each recipient with a usable id, once.

Recipients that are ours are recognised by Optilyz' id of them, and so have their customer ids and their campaign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson
from sqlalchemy import Connection, bindparam, select

from clearance.bloomreach.mailing_feedback import KnownLetter, MailedCustomer, mailing_command
from clearance.ledger import track_outbox
from clearance.ledger.mail_tables import mail_recipients
from clearance.ledger.portions import portions
from clearance.optilyz.mailing_states import Mailing


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMailingState:
    """A delivery, or a part of one. `campaign_name`: see `mailing_command`."""

    delivery_id: str
    mailing: Mailing
    customers: tuple[MailedCustomer, ...]
    campaign_name: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardMailingState:
    """What came of it: for how many recipients there is a usable id, and whether any of them is told of anew."""

    with_id: int
    is_new: bool


def hear_many(connection: Connection, items: Sequence[NewMailingState]) -> list[HeardMailingState]:
    """Owe Bloomreach what it has not been told yet."""
    return [_hear(connection, item) for item in items]


def _hear(connection: Connection, item: NewMailingState) -> HeardMailingState:
    letter_by_id = _letters(connection, [each.vendor_id for each in item.customers if each.vendor_id])
    told = (
        mailing_command(
            item.mailing,
            replace(each, letter=letter_by_id.get(each.vendor_id or "")),
            campaign_name=item.campaign_name,
            about=item.delivery_id,
            at=item.received_at,
        )
        for each in item.customers
    )
    commands = [command for command in told if command is not None]
    owed = track_outbox.add(connection, commands, now=item.received_at, trace_id=item.delivery_id)
    return HeardMailingState(with_id=len(commands), is_new=bool(owed))


def _letters(connection: Connection, vendor_ids: Sequence[str]) -> Mapping[str, KnownLetter]:
    return {
        row.vendor_id: KnownLetter(
            recipient_id=row.id,
            automation_id=row.automation_id,
            customer_ids=orjson.loads(row.customer_ids),
            campaign=row.campaign,
        )
        for portion in portions(vendor_ids)
        for row in connection.execute(_LETTERS, {"vendor_ids": portion})
    }


_LETTERS = (
    select(
        mail_recipients.c.id,
        mail_recipients.c.automation_id,
        mail_recipients.c.vendor_id,
        mail_recipients.c.customer_ids,
        mail_recipients.c.campaign,
    )
    .where(mail_recipients.c.vendor_id.in_(bindparam("vendor_ids", expanding=True)))
    .order_by(mail_recipients.c.id)
)
