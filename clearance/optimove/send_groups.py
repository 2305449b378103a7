"""Can this V2 heads-up (event 18) be worked, and what does it say?

In: the body of a notification that came with the listener's token. Out: one `HeadsUp`, or a `Reject` whose text and
errors name fields, never values. Anything that Optimove may send gives one of the two.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from clearance.decisions.decision import Campaign
from clearance.optimove import bodies
from clearance.optimove.heads_up import SEND_GROUP_LANE, HeadsUp, deadline_moment, told_moment
from clearance.optimove.send_groups_schema import SendGroupSchema
from clearance.optimove.site_time import SiteTime

_schema = SendGroupSchema()
_NOTHING: Mapping[str, Any] = {}


def load_send_group(body: bytes, site_time: SiteTime, *, received_at: datetime | None = None) -> HeadsUp:
    """The heads-up that `body` (JSON in UTF-8) holds; fields that we do not know are ignored.

    `received_at` (aware) settles which hour is meant when the site's clock is put back: see `heads_up`.

    Raises:
        Reject: 400, reason `malformed`: not JSON, not UTF-8, nested too deep, or no object.
        Reject: 422, reason `invalid`, with a list of messages by dotted path, e.g. `send_group.id`.
    """
    payload = bodies.check(_schema, bodies.load_object(body))
    group, occurrence = payload["send_group"], payload["occurrence"]
    told_at = told_moment(payload["timestamp"], site_time, received_at)
    return HeadsUp(
        api="v2",
        vendor_id=group["id"],
        told_at=told_at,
        deadline_at=deadline_moment(group["approval_deadline"], site_time, told_at),
        campaign=_campaign(group["id"], occurrence),
        order=group.get("order"),
        total_groups=occurrence.get("total_send_groups_with_conditional"),
        expected_customers=group.get("number_of_customers"),
        unique_customers=occurrence.get("number_of_unique_customers"),
        campaign_duration=occurrence.get("campaign_duration"),
    )


def _campaign(send_group_id: str, occurrence: Mapping[str, Any]) -> Campaign:
    action = occurrence["action"]
    channel = action.get("channel") or _NOTHING
    template = channel.get("template") or _NOTHING
    return Campaign(
        lane=SEND_GROUP_LANE,
        series_id=_text(occurrence.get("series_id")),
        occurrence_id=occurrence["id"],
        send_group_id=send_group_id,
        action_id=_text(action.get("id")),
        channel_id=_text(channel.get("id")),
        channel_name=_text(channel.get("name")),
        brand_id=_text(channel.get("brand_id")),
        template_id=_text(template.get("id")),
        template_name=_text(template.get("name")),
        tags=tuple(map(_text, occurrence.get("tags") or ())),
    )


def _text(label: str | int | None) -> str:
    return "" if label is None else str(label)
