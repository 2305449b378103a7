"""What is Bloomreach told about a letter? Pure: what became of it goes in, commands come out.

| what became of it | a campaign event | the property, the consent event |
|---|---|---|
| Optilyz took it | `enqueued` | |
| Optilyz refused it: the address is taken to be wrong | `failed` | as set |
| we refused it | `failed` | as set, if the reason is the address |
| its address is suppressed | `failed` | |

A scenario can start from the event: it says why, by a code and in the words of who refused it. Those words may quote
the address: the event is kept in the customer's own record at Bloomreach, and nowhere else is it shown. A recipient
without a usable id is told of to nobody: `usable_ids` says how many that are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from clearance.bloomreach.commands import Command, CommandName
from clearance.bloomreach.customer_ids import usable_ids

# Source: facts sheet: a property has less than 16 KB. A message that is longer than this is no message.
_LONGEST_TEXT_CHARS = 500
# The form of Bloomreach's own ids of campaigns; anything else is a name.
_CAMPAIGN_ID = re.compile(r"[0-9a-f]{24}")
ACTION_TYPE = "direct mail"


class Fate(StrEnum):
    """What became of a letter."""

    ENQUEUED = "enqueued"  # the vendor has it, and will print it
    FAILED = "failed"  # the vendor refused it
    REFUSED = "refused"  # we refused it, by the vendor's rules
    SUPPRESSED = "suppressed"  # its address is not posted to


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterOutcome:
    """What became of the letter to one recipient.

    Attributes:
        customer_ids: By kind, as the caller gave them: usable or not.
        campaign: The campaign reference that came with it.
        reason: A code with few values, for what was not enqueued.
        message: What who refused it said; it may quote the address.
        is_address_wrong: Of a refused one: whether that is why. Of a failed one it is assumed.
    """

    recipient_id: str
    automation_id: str
    customer_ids: Mapping[str, str]
    campaign: str | None
    what: Fate
    message: str | None
    at: datetime
    reason: str | None = None
    is_address_wrong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What an operator wants to be told.

    Attributes:
        address_property: The property that becomes false when an address is wrong; None for none.
        consent_category: The category that is rejected then; None for none.
        campaign_name: The campaign reference of every event; None for the one that came with the letter.
    """

    address_property: str | None = None
    consent_category: str | None = None
    campaign_name: str | None = None

    def commands(self, outcome: LetterOutcome) -> list[Command]:
        """What to tell about a letter, once however often it is asked; nothing without a usable id."""
        ids = usable_ids(outcome.customer_ids)
        if not ids:
            return []
        data_by_kind = {"campaign": (CommandName.EVENT, self._campaign(ids, outcome))}
        if outcome.what is Fate.FAILED or (outcome.what is Fate.REFUSED and outcome.is_address_wrong):
            data_by_kind |= self._wrong_address(ids, outcome.at)
        return [
            Command(
                name=name,
                data=data,
                about=outcome.recipient_id,
                dedupe_key=f"{outcome.recipient_id}:{outcome.what}:{kind}",
            )
            for kind, (name, data) in data_by_kind.items()
        ]

    def _campaign(self, ids: dict[str, str], outcome: LetterOutcome) -> dict[str, Any]:
        is_enqueued = outcome.what is Fate.ENQUEUED
        properties = {
            "status": "enqueued" if is_enqueued else "failed",
            "recipient_id": outcome.recipient_id,
            "automation_id": outcome.automation_id,
            "reason": None if is_enqueued else outcome.reason or outcome.what.upper(),
            "message": None if is_enqueued else outcome.message,
        }
        return campaign_event(ids, self.campaign_name or outcome.campaign, properties, outcome.at)

    def _wrong_address(
        self, ids: dict[str, str], at: datetime
    ) -> dict[str, tuple[CommandName, dict[str, Any]]]:
        told: dict[str, tuple[CommandName, dict[str, Any]]] = {}
        if self.address_property:
            told["property"] = (
                CommandName.CUSTOMER,
                {
                    "customer_ids": ids,
                    "properties": {self.address_property: False},
                    "update_timestamp": _seconds(at),
                },
            )
        if self.consent_category:
            # Malformed, it would revoke consent, so it has no property more than it needs: `valid_until` belongs to
            # `accept` only.
            told["consent"] = (
                CommandName.EVENT,
                _event(ids, "consent", {"action": "reject", "category": self.consent_category}, at),
            )
        return told


def campaign_event(
    ids: Mapping[str, str], campaign: str | None, properties: Mapping[str, str | None], at: datetime
) -> dict[str, Any]:
    """The body of a campaign event: what is None or blank is left out, texts are cut."""
    reference = (campaign or "").strip()
    named = {"campaign_id" if _CAMPAIGN_ID.fullmatch(reference) else "campaign_name": reference}
    texts = {name: (value or "").strip() for name, value in (*named.items(), *properties.items())}
    kept = {name: value[:_LONGEST_TEXT_CHARS] for name, value in texts.items() if value}
    return _event(ids, "campaign", {"action_type": ACTION_TYPE} | kept, at)


def _event(
    ids: Mapping[str, str], event_type: str, properties: Mapping[str, str], at: datetime
) -> dict[str, Any]:
    return {
        "customer_ids": dict(ids),
        "event_type": event_type,
        "properties": dict(properties),
        "timestamp": _seconds(at),
    }


def _seconds(at: datetime) -> float:
    """Seconds since 1970, to the millisecond: Bloomreach orders what it is told by them."""
    return round(at.timestamp(), 3)
