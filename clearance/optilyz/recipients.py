"""May a letter go to this recipient? One element of a request goes in; a `Recipient` comes out, or what is wrong.

What is refused still tells whose it was, as far as it can be read: the customer's ids are in the individualisation
fields, and somebody has to hear of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from marshmallow import ValidationError

from clearance.optilyz import address_rules, recipients_schema
from clearance.optilyz.recipient import Recipient
from clearance.optilyz.recipients_schema import RecipientSchema

_MOST_TOLD = 20  # an element of broken parts would otherwise be answered with more than was sent
_ADDRESS = "address"
_SCHEMA = RecipientSchema()


class RefusedFor(StrEnum):
    """Why a recipient was refused: whether it is the customer's address, or how it was sent."""

    ADDRESS_INCOMPLETE = "ADDRESS_INCOMPLETE"  # a part of the address was sent without anything in it
    RECIPIENT_INVALID = "RECIPIENT_INVALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRecipient:
    """A recipient that may be posted to. `left_out`: names of fields that are not sent on."""

    recipient: Recipient
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecipient:
    """A recipient that may not.

    Attributes:
        messages_by_field: What is wrong: names and what was expected, never values.
        individualisations: By British name, of those that can be read.
    """

    reason: RefusedFor
    messages_by_field: Mapping[str, list[str]]
    individualisations: Mapping[str, str]

    @property
    def messages(self) -> list[str]:
        """Each thing that is wrong, with its field."""
        told = self.messages_by_field.items()
        return [f"{name}: {message}" for name, messages in told for message in messages]

    @property
    def message(self) -> str:
        """All that is wrong, in one line."""
        return "; ".join(self.messages)


def read_recipient(sent: object) -> ReadRecipient | RefusedRecipient:
    """One recipient, in the wrapper or as a bare address."""
    try:
        recipient: Recipient = _SCHEMA.load(sent)  # type: ignore[arg-type]  # it takes anything
    except ValidationError as error:
        address = _address(sent)
        return RefusedRecipient(
            reason=_reason(error, address),
            messages_by_field=dict(islice(_by_field(error.messages_dict), _MOST_TOLD)),
            individualisations=recipients_schema.individualisations(address)[0],
        )
    return ReadRecipient(recipient=recipient, left_out=tuple(_left_out(sent)))


def _reason(error: ValidationError, address: Mapping[str, Any]) -> RefusedFor:
    valid = (error.valid_data or {}).get(_ADDRESS) if isinstance(error.valid_data, dict) else None
    given = recipients_schema.given(valid or {}, address)
    wrong = {name for name, _ in _by_field(error.messages_dict)}
    if address_rules.lacks_parts(given, address.keys()) and wrong <= address_rules.broken(given).keys():
        return RefusedFor.ADDRESS_INCOMPLETE
    return RefusedFor.RECIPIENT_INVALID


def _by_field(messages: Mapping[Any, Any], within: str = "recipient") -> Iterator[tuple[str, list[str]]]:
    """By Optilyz' field names: of an address they stand for themselves, without where they are."""
    for name, told in messages.items():
        if isinstance(told, Mapping):
            yield from _by_field(told, name)
        else:
            yield within if name == "_schema" else name, told


def _address(sent: object) -> Mapping[str, Any]:
    if not isinstance(sent, dict):
        return {}
    address = sent.get(_ADDRESS, sent)
    return address if isinstance(address, dict) else {}


def _left_out(sent: object) -> list[str]:
    names = recipients_schema.unknown_names(_address(sent))
    if isinstance(sent, dict) and _ADDRESS in sent:
        names += [name for name in sent if name not in _SCHEMA.fields]
    else:
        names = [name for name in names if name not in _SCHEMA.fields]
    return [recipients_schema.shown(name) for name in names[:_MOST_TOLD]]
