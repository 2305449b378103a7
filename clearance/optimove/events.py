"""What does an event of the V1 listener ask for? Clearance of a campaign (5), none any more (4), or nothing.

In: the body of an event that came with the listener's token. Out: `HeadsUp`, `Cancellation`, or `Ignored` for every
other type, whatever else it holds; or a `Reject` whose text and errors name fields, never values.

All that is known of a V1 campaign is its id: it stands for one occurrence, and only its lane can choose a policy.
"""

from datetime import datetime

from clearance.decisions.decision import Campaign
from clearance.optimove import bodies
from clearance.optimove.events_schema import CancellationSchema, ClearanceSchema, EventSchema
from clearance.optimove.heads_up import (
    CAMPAIGN_LANE,
    Cancellation,
    HeadsUp,
    Ignored,
    deadline_moment,
    told_moment,
)
from clearance.optimove.site_time import SiteTime

CANCELLED, CLEARANCE_WANTED = 4, 5
_event, _cancellation, _clearance = EventSchema(), CancellationSchema(), ClearanceSchema()


def load_event(
    body: bytes, site_time: SiteTime, *, received_at: datetime | None = None
) -> HeadsUp | Cancellation | Ignored:
    """What the event in `body` (JSON in UTF-8) asks for; fields that we do not know are ignored.

    `received_at` (aware) settles which hour is meant when the site's clock is put back: see `heads_up`.

    Raises:
        Reject: 400, reason `malformed`: not JSON, not UTF-8, nested too deep, or no object.
        Reject: 422, reason `invalid`, with a list of messages by field, e.g. `ClearanceRequiredBy`.
    """
    sent = bodies.load_object(body)
    event_type = bodies.check(_event, sent)["EventTypeID"]
    if event_type not in {CANCELLED, CLEARANCE_WANTED}:
        return Ignored(event_type=event_type)
    payload = bodies.check(_clearance if event_type == CLEARANCE_WANTED else _cancellation, sent)
    campaign_id = payload["CampaignID"]
    told_at = told_moment(payload["TimeStamp"], site_time, received_at)
    if event_type == CANCELLED:
        return Cancellation(vendor_id=campaign_id, told_at=told_at)
    return HeadsUp(
        api="v1",
        vendor_id=campaign_id,
        told_at=told_at,
        deadline_at=deadline_moment(payload["ClearanceRequiredBy"], site_time, told_at),
        campaign=Campaign(lane=CAMPAIGN_LANE, occurrence_id=campaign_id),
        campaign_duration=payload.get("CampaignDuration"),
    )
