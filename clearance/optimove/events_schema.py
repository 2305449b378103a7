"""Which events of the V1 listener can be worked: the payloads, field by field.

Source: vendor page, "Conditional Execution for Scheduled Campaigns", step 2; facts sheet, "Events a listener may
receive". The body of type 4 is not documented; it is taken to name its campaign as type 5 does.
"""

from typing import Any

from marshmallow import ValidationError, fields

from clearance.optimove.bodies import GREATEST_COUNT, Count, Part, ScheduledId, SiteMoment


class EventType(fields.Field[int]):
    """A number, or its digits as text."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if type(value) is str and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        if type(value) is not int or not 0 <= value <= GREATEST_COUNT:
            raise ValidationError("must be the number of an event type")
        return value


class EventSchema(Part):
    """What every event has."""

    EventTypeID = EventType(required=True)


class CancellationSchema(EventSchema):
    """Type 4, a processed campaign is cancelled."""

    TimeStamp = SiteMoment(required=True)
    CampaignID = ScheduledId(required=True)


class ClearanceSchema(CancellationSchema):
    """Type 5, a campaign waits for clearance. Times are loaded as written."""

    ClearanceRequiredBy = SiteMoment(required=True)
    CampaignDuration = Count(allow_none=True)
