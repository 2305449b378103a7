"""Heads-ups and events as Optimove sends them to the door of these tests, with made-up content."""

from datetime import datetime, timedelta
from typing import Any

from clearance.ingest.scheduled import EVENTS_ROUTE, SEND_GROUPS_ROUTE
from tests.fakes.clock import START
from tests.unit.ingest.conftest import SITE

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def send_group(
    deadline_at: datetime = START + HOUR, *, told_at: datetime = START, group: object = 123
) -> dict[str, Any]:
    """A heads-up of V2."""
    return {
        "timestamp": SITE.dump(told_at),
        "send_group": {
            "id": group,
            "approval_deadline": SITE.dump(deadline_at),
            "order": 1,
            "number_of_customers": 2500,
        },
        "occurrence": {
            "id": 222,
            "series_id": 111,
            "campaign_duration": 1,
            "total_send_groups_with_conditional": 3,
            "number_of_unique_customers": 7000,
            "notes": "campaign notes",
            "tags": ["bonus"],
            "action": {
                "id": 576,
                "channel": {"id": 345, "name": "Email", "brand_id": "main", "template": {"id": "t"}},
            },
        },
    }


def event(
    event_type: int = 5,
    *,
    deadline_at: datetime = START + HOUR,
    told_at: datetime = START,
    campaign: object = 1359,
) -> dict[str, Any]:
    """An event of V1."""
    return {
        "EventTypeID": event_type,
        "TimeStamp": SITE.dump(told_at),
        "CampaignID": campaign,
        "CampaignDuration": 7,
        "ClearanceRequiredBy": SITE.dump(deadline_at),
    }


GOOD = {SEND_GROUPS_ROUTE: send_group(), EVENTS_ROUTE: event()}


def told_of(route: str, **given: Any) -> dict[str, Any]:
    """What asks for approvals at this route."""
    return send_group(**given) if route == SEND_GROUPS_ROUTE else event(**given)
