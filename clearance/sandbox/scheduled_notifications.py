"""What does a send group's heads-up look like? Event type 18, as the vendor's sample has it.

Source: vendor page, "Conditional Execution V2 for Scheduled Campaigns", "Notification Payload". V2 has no notification
that cancels: a cancelled group simply takes no approvals any more.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import fields, validate

from clearance.sandbox.scheduled_plan import ID_MAX, Facts, PlanSchema, identity, integer

EVENT_TYPE = 18
# Source: vendor page, "it will retry up to 3 times".
RETRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SendGroupFacts:
    """The occurrence that a send group belongs to, and its place in it."""

    order: int
    total_groups: int
    unique_customers: int | None
    occurrence_id: int
    series_id: int
    campaign_duration: int
    notes: str
    tags: tuple[str, ...]
    action_id: int
    channel_id: int
    channel_name: str
    brand_id: str
    template_id: str
    template_name: str

    def heads_up(self, group_id: int, *, timestamp: str, deadline: str, count: int) -> bytes:
        """The notification."""
        channel = {
            "id": self.channel_id,
            "name": self.channel_name,
            "brand_id": self.brand_id,
            "template": {"id": self.template_id, "name": self.template_name},
        }
        return orjson.dumps(
            {
                "timestamp": timestamp,
                "send_group": {
                    "id": group_id,
                    "approval_deadline": deadline,
                    "order": self.order,
                    "number_of_customers": count,
                },
                "occurrence": {
                    "id": self.occurrence_id,
                    "series_id": self.series_id,
                    "campaign_duration": self.campaign_duration,
                    "total_send_groups_with_conditional": self.total_groups,
                    "number_of_unique_customers": (
                        count if self.unique_customers is None else self.unique_customers
                    ),
                    "notes": self.notes,
                    "tags": self.tags,
                    "action": {"id": self.action_id, "channel": channel},
                },
            }
        )

    def cancelled(self, group_id: int, *, timestamp: str) -> bytes | None:  # noqa: ARG002 - as the protocol has it
        """V2 has none."""
        return None


class SendGroupSchema(PlanSchema):
    """A body of `POST /sandbox/send-groups`."""

    order = integer(1, 1_000_000, 1)
    total_groups = integer(1, 1_000_000, 1)
    unique_customers = integer(0, ID_MAX)
    occurrence_id = identity(91_000)
    series_id = identity(4100)
    campaign_duration = integer(0, 10_000, 1)
    notes = fields.String(load_default="Sent by the sandbox")
    tags = fields.List(fields.String(), load_default=list, validate=validate.Length(max=100))
    action_id = identity(576)
    channel_id = identity(15)
    channel_name = fields.String(load_default="Email")
    brand_id = fields.String(load_default="main")
    template_id = fields.String(load_default="700")
    template_name = fields.String(load_default="Bonus mail 10")
    retries = integer(0, 10, RETRIES)

    def make_facts(self, data: dict[str, Any]) -> Facts:
        """The occurrence."""
        return SendGroupFacts(
            order=data["order"],
            total_groups=data["total_groups"],
            unique_customers=data["unique_customers"],
            occurrence_id=data["occurrence_id"],
            series_id=data["series_id"],
            campaign_duration=data["campaign_duration"],
            notes=data["notes"],
            tags=tuple(data["tags"]),
            action_id=data["action_id"],
            channel_id=data["channel_id"],
            channel_name=data["channel_name"],
            brand_id=data["brand_id"],
            template_id=data["template_id"],
            template_name=data["template_name"],
        )
