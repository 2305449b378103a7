"""What does a delivery of Optilyz say: which mailing is in which state now, and who its recipients are?

In: bytes. Out: a `MailingDelivery`, or a `Reject` that names fields and never values. Optilyz' staff sets these hooks
up by hand, from the payload that we ask for; so what an event cannot be made without is required, the rest is read as
far as it makes sense: a recipient whose id is no text is one without an id, and costs the others nothing.
Source: facts sheet, "Optilyz -> you"; the payload is ours (docs: mailing states).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import ValidationError, fields, validate

from clearance.optimove.bodies import Part, ScheduledId, check, load_object
from clearance.optimove.triggered_schema import CONTROL_CHARACTER, Label

MOST_RECIPIENTS = 10_000
_MOST_CHARACTERS = 256
_INDIVIDUALISATION = re.compile(r"individuali[sz]ation([1-9][0-9]{0,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailedRecipient:
    """One recipient, as Optilyz tells of it.

    Attributes:
        vendor_id: Optilyz' id of the recipient; None if it told none.
        individualisations: By name, in British spelling; only those that hold something.
    """

    vendor_id: str | None
    individualisations: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """A mailing, and the state that it is in now, in Optilyz' words."""

    mailing_id: str
    name: str | None
    state: str
    automation_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailingDelivery:
    """One delivery. A change of state may come in several, each about other recipients."""

    mailing: Mailing
    recipients: tuple[MailedRecipient, ...]

    def key(self) -> str:
        """32 hexadecimal digits that are the same when the same is delivered again."""
        mailing = self.mailing
        told = [mailing.automation_id, mailing.mailing_id, mailing.state]
        who = [[each.vendor_id, dict(each.individualisations)] for each in self.recipients]
        return hashlib.sha256(orjson.dumps([told, who], option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


class RecipientObject(fields.Field[MailedRecipient]):
    """An object with `id` and individualisation fields; each of them counts if it is text or a whole number."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> MailedRecipient:
        if type(value) is not dict:
            raise ValidationError("must be an object")
        found = {}
        for name, told in value.items():
            match = _INDIVIDUALISATION.fullmatch(name)
            text = _text(told) if match else None
            if match and text:
                found[f"individualisation{match[1]}"] = text
        return MailedRecipient(vendor_id=_text(value.get("id")), individualisations=found)


class _MailingPart(Part):
    id = ScheduledId(required=True)
    name = Label(allow_none=True)
    state = ScheduledId(required=True)


class MailingSchema(Part):
    """The whole payload."""

    automation_id = ScheduledId(allow_none=True)
    mailing = fields.Nested(_MailingPart, required=True)
    recipients = fields.List(
        RecipientObject(),
        required=True,
        validate=validate.Length(
            max=MOST_RECIPIENTS, error=f"must have at most {MOST_RECIPIENTS} recipients"
        ),
    )


_schema = MailingSchema()


def load_delivery(body: bytes) -> MailingDelivery:
    """The delivery that `body` (JSON in UTF-8) holds; fields that we do not know are ignored.

    Raises:
        Reject: 400, reason `malformed`: not JSON, not UTF-8, nested too deep, or no object.
        Reject: 422, reason `invalid`, with a list of messages by dotted path, e.g. `mailing.state`.
    """
    payload = check(_schema, load_object(body))
    told = payload["mailing"]
    mailing = Mailing(
        mailing_id=told["id"],
        name=_text(told.get("name")),
        state=told["state"],
        automation_id=payload.get("automation_id"),
    )
    return MailingDelivery(mailing=mailing, recipients=tuple(payload["recipients"]))


def _text(value: object) -> str | None:
    """Text that may be an id or a name; None for anything else, for what is blank, too long, or no plain text."""
    if type(value) is int:
        value = str(value)
    if type(value) is not str or not value.strip() or len(value) > _MOST_CHARACTERS:
        return None
    # PostgreSQL stores no U+0000, and nobody's id holds a line break.
    return None if CONTROL_CHARACTER.search(value) else value.strip()
