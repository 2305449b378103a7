"""Notifications of scheduled campaigns made by hand, by the clock of a site in UTC. They are not signed.

Source: vendor page, V2, step 1, "Notification Payload"; V1, step 2.
"""

import time

SEND_GROUPS = "/webhooks/optimove/send-groups"
EVENTS = "/webhooks/optimove/events"
TOKEN = "listener-token"


def send_group(
    *, group: object = 123, deadline_in_s: float = 3600.0, customers: int = 2500
) -> dict[str, object]:
    """A heads-up of V2."""
    return {
        "timestamp": site_time(0),
        "send_group": {
            "id": group,
            "approval_deadline": site_time(deadline_in_s),
            "order": 1,
            "number_of_customers": customers,
        },
        "occurrence": {
            "id": 222,
            "series_id": 111,
            "campaign_duration": 1,
            "total_send_groups_with_conditional": 3,
            "number_of_unique_customers": customers,
            "notes": "campaign notes",
            "tags": ["bonus"],
            "action": {
                "id": 576,
                "channel": {"id": 345, "name": "Email", "brand_id": "main", "template": {"id": "t-1"}},
            },
        },
    }


def event(
    event_type: int = 5, *, campaign: object = 1359, deadline_in_s: float = 3600.0
) -> dict[str, object]:
    """An event of V1: 5 asks for clearance, 4 cancels."""
    return {
        "EventTypeID": event_type,
        "TimeStamp": site_time(0),
        "CampaignID": campaign,
        "CampaignDuration": 7,
        "ClearanceRequiredBy": site_time(deadline_in_s),
    }


def site_time(ahead_s: float) -> str:
    """A moment from now as the vendor writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + ahead_s))
