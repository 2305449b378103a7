"""Which triggered notifications can be worked: the payload, field by field.

Strict where a decision or the ledger depends on a field: the request's id, the customer's id, the times, the
attributes, the control group. Lenient elsewhere: an absent or null part is fine, and an id may be text or a
number. What plays no role is not looked at, whatever it holds: `date`, `notes`, `target_group`,
`communication_type`, the names of the action and of promotions, the trigger's id, and fields that we do not know.

Fields check and convert nothing. Messages say what was expected and in which unit, never what was sent.
Source: vendor page, "Conditional Execution for Triggered Campaigns", step 4.
"""

import re
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load

from clearance.optimove.triggered_notification import TriggeredNotification, notification_from

MAX_ID_CHARACTERS = 256  # the ledger indexes ids; PostgreSQL indexes no more than 2,704 bytes
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
# 1973 to 5138 in milliseconds, 1970 to 5138 in seconds: no moment is valid in both units, and none overflows.
LEAST_MS, LEAST_TOO_LARGE_S, LEAST_TOO_LARGE_MS = 10**11, 10**11, 10**14
SCALARS = frozenset({str, int, float, bool, type(None)})


class Identifier(fields.Field[str]):
    """Text that is stored and compared as sent: never coerced, never trimmed."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if type(value) is not str or not 0 < len(value) <= MAX_ID_CHARACTERS:
            raise ValidationError(f"must be text of 1 to {MAX_ID_CHARACTERS} characters")
        if CONTROL_CHARACTER.search(value):
            raise ValidationError("must not hold control characters")
        return value


class Label(fields.Field[str | int]):
    """A name, or an id that only selects rules: text or a whole number."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | int:
        if type(value) is not str and type(value) is not int:
            raise ValidationError("must be text or a whole number")
        if type(value) is str and "\0" in value:
            raise ValidationError("must not hold U+0000")  # PostgreSQL stores no such text
        return value


class EpochMilliseconds(fields.Field[int]):
    """A moment in epoch milliseconds."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        expected = "must be epoch milliseconds (a whole number of 13 digits)"
        if type(value) is not int or not 0 <= value < LEAST_TOO_LARGE_MS:
            raise ValidationError(expected)
        if value < LEAST_MS:
            raise ValidationError(f"{expected}, and looks like seconds")
        return value


class EpochSeconds(fields.Field[int]):
    """A moment in epoch seconds."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        expected = "must be epoch seconds (a whole number of 10 digits)"
        if type(value) is not int or not 0 <= value < LEAST_TOO_LARGE_MS:
            raise ValidationError(expected)
        if value >= LEAST_TOO_LARGE_S:
            raise ValidationError(f"{expected}, and looks like milliseconds")
        return value


class Flag(fields.Field[bool]):
    """True or false; not 0, not "true"."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if type(value) is not bool:
            raise ValidationError("must be true or false")
        return value


class Object(fields.Field[dict[str, Any]]):
    """An object of anything."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValidationError("must be an object")
        return value


class Attributes(Object):
    """An object of text, numbers, booleans and nulls: what an expression can look at."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        attributes = super()._deserialize(value)
        if SCALARS.issuperset(map(type, attributes.values())):
            return attributes
        # By position, because the name is the sender's own text.
        first = next(at for at, each in enumerate(attributes.values(), 1) if type(each) not in SCALARS)
        raise ValidationError(
            f"must hold text, numbers, booleans or nulls, and value {first} is none of them"
        )


class _Part(Schema):
    error_messages = {"type": "must be an object"}  # noqa: RUF012  # marshmallow's own form

    class Meta:
        unknown = EXCLUDE


class _Template(_Part):
    id = Label(allow_none=True)
    name = Label(allow_none=True)


class _Channel(_Template):
    brand_id = Label(allow_none=True)
    template = fields.Nested(_Template, allow_none=True)


class _Promotion(_Part):
    code = Label(allow_none=True)


class _Action(_Part):
    id = Label(allow_none=True)
    is_control = Flag(required=True)
    promotions = fields.List(fields.Nested(_Promotion), allow_none=True)
    channels = fields.List(fields.Nested(_Channel), allow_none=True)


class _Occurrence(_Part):
    series_id = Label(allow_none=True)
    occurrence_id = Label(allow_none=True)
    tags = fields.List(Label(), allow_none=True)
    action = fields.Nested(_Action, required=True)


class _User(_Part):
    user_id = Identifier(required=True)
    is_visitor = Flag(allow_none=True)
    personalization = Attributes(allow_none=True)


class _Event(_Part):
    key = Identifier(required=True)
    timestamp = EpochSeconds(required=True)
    parameters = Object(allow_none=True)


class _Trigger(_Part):
    name = Label(allow_none=True)
    events = fields.List(fields.Nested(_Event), allow_none=True)


class TriggeredSchema(_Part):
    """The whole payload. `load` returns a `TriggeredNotification`."""

    timestamp = EpochMilliseconds(required=True)
    conditional_execution_approval_deadline = EpochMilliseconds(required=True)
    request_uid = Identifier(required=True)
    is_hashed = Flag(allow_none=True)
    user = fields.Nested(_User, required=True)
    occurrence = fields.Nested(_Occurrence, required=True)
    trigger_context = fields.Nested(_Trigger, allow_none=True)

    @post_load
    def _build(self, payload: dict[str, Any], **_: Any) -> TriggeredNotification:
        return notification_from(payload)
