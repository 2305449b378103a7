"""What does a campaign's event look like? Type 5 asks for clearance, type 4 takes the campaign back.

Source: vendor page, "Optimove Notifies the Listener"; facts sheet, "Events a listener may receive" (the body of type 4
is inferred from that of type 5: it names the campaign). Repeats are none assumed; a test may ask for some.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import fields

from clearance.sandbox.scheduled_plan import Facts, PlanSchema, integer

EVENT_TYPE = 5
CANCELLED_EVENT_TYPE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFacts:
    """What a campaign's event says, and the shape of its rows, which the vendor does not document."""

    campaign_duration: int
    action_id: str
    attributes_field: str

    def heads_up(self, group_id: int, *, timestamp: str, deadline: str, count: int) -> bytes:  # noqa: ARG002 - V1 tells no count
        """Event type 5."""
        return orjson.dumps(
            {
                "EventTypeID": EVENT_TYPE,
                "TimeStamp": timestamp,
                "CampaignID": group_id,
                "CampaignDuration": self.campaign_duration,
                "ClearanceRequiredBy": deadline,
            }
        )

    def cancelled(self, group_id: int, *, timestamp: str) -> bytes | None:
        """Event type 4."""
        return orjson.dumps(
            {"EventTypeID": CANCELLED_EVENT_TYPE, "TimeStamp": timestamp, "CampaignID": group_id}
        )


class CampaignSchema(PlanSchema):
    """A body of `POST /sandbox/campaigns`."""

    campaign_duration = integer(0, 10_000, 7)
    action_id = fields.String(load_default="4")
    attributes_field = fields.String(load_default="CustomerAttributes")

    def make_facts(self, data: dict[str, Any]) -> Facts:
        """The campaign."""
        return CampaignFacts(
            campaign_duration=data["campaign_duration"],
            action_id=data["action_id"],
            attributes_field=data["attributes_field"],
        )
