"""Which V2 heads-ups can be worked: the payload, field by field.

Required is what the ledger and the rules cannot do without: when it was sent, the group's id and its deadline, the
occurrence's id (it ties groups to one another), and the action, by whose parts policies are chosen. Every other
part may be absent or null, but not of another kind. Ids may be numbers or text.
Source: vendor page, "Conditional Execution V2 for Scheduled Campaigns", step 1.
"""

from marshmallow import fields

from clearance.optimove.bodies import Count, Part, ScheduledId, SiteMoment
from clearance.optimove.triggered_schema import Label


class _SendGroup(Part):
    id = ScheduledId(required=True)
    approval_deadline = SiteMoment(required=True)
    order = Count(allow_none=True)
    number_of_customers = Count(allow_none=True)


class _Template(Part):
    id = Label(allow_none=True)
    name = Label(allow_none=True)


class _Channel(_Template):
    brand_id = Label(allow_none=True)
    template = fields.Nested(_Template, allow_none=True)


class _Action(Part):
    id = Label(allow_none=True)
    channel = fields.Nested(_Channel, allow_none=True)


class _Occurrence(Part):
    id = ScheduledId(required=True)
    series_id = ScheduledId(allow_none=True)
    campaign_duration = Count(allow_none=True)
    total_send_groups_with_conditional = Count(allow_none=True)
    number_of_unique_customers = Count(allow_none=True)
    notes = Label(allow_none=True)
    tags = fields.List(Label(), allow_none=True)
    action = fields.Nested(_Action, required=True)


class SendGroupSchema(Part):
    """The whole payload. Times are loaded as written; what they mean depends on the site."""

    timestamp = SiteMoment(required=True)
    send_group = fields.Nested(_SendGroup, required=True)
    occurrence = fields.Nested(_Occurrence, required=True)
