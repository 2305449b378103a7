"""What a triggered notification is, once its payload is known to be right.

In: a checked payload, as sent. Out: one frozen value. Everything that builds a `TriggeredNotification` comes
through `notification_from`, so a notification that is loaded again from the ledger is the one that was accepted.

Units differ inside one payload: `timestamp` and the deadline are epoch milliseconds, an event's `timestamp` is
epoch seconds. Source: vendor page, "Conditional Execution for Triggered Campaigns", step 4; facts sheet, "Units".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clearance.decisions.decision import Campaign, Customer

LANE = "triggered"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerEvent:
    """Something that the customer did. `at` is aware UTC, whole seconds; `parameters` are as sent."""

    key: str
    at: datetime
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggeredNotification:
    """One question: may this customer get this campaign? Times are aware UTC, to the millisecond."""

    request_uid: str
    signed_at: datetime
    vendor_deadline_at: datetime
    campaign: Campaign
    customer: Customer
    events: tuple[TriggerEvent, ...]


def notification_from(payload: Mapping[str, Any]) -> TriggeredNotification:
    """The value of a payload that `TriggeredSchema` has checked, now or earlier. Unknown fields are not read."""
    user, occurrence = payload["user"], payload["occurrence"]
    trigger = payload.get("trigger_context") or _NOTHING
    promotions = occurrence["action"].get("promotions") or ()
    return TriggeredNotification(
        request_uid=payload["request_uid"],
        signed_at=EPOCH + timedelta(milliseconds=payload["timestamp"]),
        vendor_deadline_at=EPOCH + timedelta(milliseconds=payload["conditional_execution_approval_deadline"]),
        campaign=_campaign(occurrence, trigger),
        customer=Customer(
            customer_id=user["user_id"],
            attributes=user.get("personalization") or {},
            promo_codes=tuple(_text(promotion["code"]) for promotion in promotions if promotion.get("code")),
            is_hashed=bool(payload.get("is_hashed")),
            is_visitor=bool(user.get("is_visitor")),
        ),
        events=tuple(_event(event) for event in trigger.get("events") or ()),
    )


def _campaign(occurrence: Mapping[str, Any], trigger: Mapping[str, Any]) -> Campaign:
    action = occurrence["action"]
    # A decision is for the action; of several channels, the first one stands for it.
    channel = (action.get("channels") or (_NOTHING,))[0]
    template = channel.get("template") or _NOTHING
    return Campaign(
        lane=LANE,
        series_id=_text(occurrence.get("series_id")),
        occurrence_id=_text(occurrence.get("occurrence_id")),
        action_id=_text(action.get("id")),
        channel_id=_text(channel.get("id")),
        channel_name=_text(channel.get("name")),
        brand_id=_text(channel.get("brand_id")),
        template_id=_text(template.get("id")),
        template_name=_text(template.get("name")),
        tags=tuple(map(_text, occurrence.get("tags") or ())),
        trigger_name=_text(trigger.get("name")),
        is_control=action["is_control"],
    )


def _event(event: Mapping[str, Any]) -> TriggerEvent:
    at = EPOCH + timedelta(seconds=event["timestamp"])
    return TriggerEvent(key=event["key"], at=at, parameters=event.get("parameters") or {})


def _text(label: str | int | None) -> str:
    return "" if label is None else str(label)
