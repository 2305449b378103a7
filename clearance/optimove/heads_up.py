"""What does Optimove tell about a scheduled campaign, whichever of its two APIs it speaks?

A `HeadsUp` asks for clearance of a group of customers by a deadline: a V2 send group, or a V1 campaign. A
`Cancellation` takes a V1 campaign back. `Ignored` is an event that is recorded and means nothing to us.

Built by `send_groups` (V2) and `events` (V1) from payloads that they have checked. Times are aware UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from clearance.decisions.decision import Campaign
from clearance.optimove.site_time import SiteTime

SEND_GROUP_LANE = "send_group"
CAMPAIGN_LANE = "campaign"

Api = Literal["v2", "v1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsUp:
    """Customers wait for approval until `deadline_at`.

    Attributes:
        vendor_id: The send group's id (V2) or the campaign's (V1): text as sent, or the digits of a number.
        told_at: When the vendor says that it sent this. Of two for one group, the later one holds.
        order: The group's place among those of its occurrence. V2 only, as are the next three.
        total_groups: How many groups of the occurrence need approval.
        expected_customers: How many customers the group is said to have.
        unique_customers: How many the occurrence has, over all its groups.
        campaign_duration: Days that the campaign is measured for. Source: vendor page, V2, step 1.
    """

    api: Api
    vendor_id: str
    told_at: datetime
    deadline_at: datetime
    campaign: Campaign
    order: int | None = None
    total_groups: int | None = None
    expected_customers: int | None = None
    unique_customers: int | None = None
    campaign_duration: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """The campaign `vendor_id` will not be sent: nobody waits for its approvals."""

    vendor_id: str
    told_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """An event of a type that asks nothing of us."""

    event_type: int


def told_moment(written: datetime, site_time: SiteTime, received_at: datetime | None) -> datetime:
    """When a notification was sent: where the site's clock leaves two readings, the one nearest to its arrival.

    Without `received_at`, the earlier one. Read as an hour too early, a heads-up that moves a deadline would
    look older than the one that it replaces, and be ignored.
    """
    readings = site_time.readings(written)
    if received_at is None:
        return readings[0]
    return min(readings, key=lambda reading: abs(reading - received_at))


def deadline_moment(written: datetime, site_time: SiteTime, told_at: datetime) -> datetime:
    """By when to answer: the earliest reading that is later than the notification, else the earliest.

    Nobody gives notice of a deadline that is over already, as the earlier of two readings may be.
    """
    readings = site_time.readings(written)
    return next((reading for reading in readings if reading > told_at), readings[0])
