"""What is Bloomreach told when a mailing changes its state? A campaign event for each recipient with a usable id.

Pure. The ids are those that came with the delivery; for a recipient that came without, those that we kept when its
letter was posted. The status of the event is the mailing's state in Optilyz' own words. The same state of the same
mailing is told of a recipient once, however often it is delivered.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from clearance.bloomreach.commands import Command, CommandName
from clearance.bloomreach.customer_ids import usable_ids
from clearance.bloomreach.feedback import campaign_event
from clearance.optilyz.mailing_states import Mailing


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLetter:
    """What we kept of a letter."""

    recipient_id: str
    automation_id: str
    customer_ids: Mapping[str, str]
    campaign: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailedCustomer:
    """One recipient of a mailing: what Optilyz told of it, and what we know (None: it was not posted by us)."""

    vendor_id: str | None
    customer_ids: Mapping[str, str]
    campaign: str | None
    letter: KnownLetter | None = None


def mailing_command(
    mailing: Mailing, customer: MailedCustomer, *, campaign_name: str | None, about: str, at: datetime
) -> Command | None:
    """What to tell of one recipient; None without a usable id.

    Args:
        campaign_name: The campaign reference of every event; None for the recipient's own.
        about: What the command is about if the letter is not one of ours.
    """
    letter = customer.letter
    ids = usable_ids(customer.customer_ids) or usable_ids(letter.customer_ids if letter else {})
    if not ids:
        return None
    properties = {
        "status": mailing.state,
        "mailing_id": mailing.mailing_id,
        "mailing_name": mailing.name,
        "automation_id": mailing.automation_id or (letter.automation_id if letter else None),
        "recipient_id": letter.recipient_id if letter else None,
        "optilyz_recipient_id": customer.vendor_id,
    }
    campaign = campaign_name or customer.campaign or (letter.campaign if letter else None)
    return Command(
        name=CommandName.EVENT,
        data=campaign_event(ids, campaign, properties, at),
        about=letter.recipient_id if letter else about,
        dedupe_key=_key(mailing, customer.vendor_id or ids),
    )


def _key(mailing: Mailing, recipient: str | Mapping[str, str]) -> str:
    told = [mailing.automation_id, mailing.mailing_id, mailing.state, recipient]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()
