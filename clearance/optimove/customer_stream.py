"""Which customers does a reply of the scheduled API hold? Each row on its own, a malformed one beside the others.

In: the pieces of a reply, cut anywhere. Out: a `Customer` for a row that can be worked, and a `MalformedRow`, with its
place and what is wrong, for one that cannot: nobody decides about such a customer, so he is not approved, and the
caller records it. A row never stops the rows after it. What breaks the reply as a whole: `json_rows`.

A customer's id is text of 1 to 256 characters, as sent. A number is malformed in both APIs: which text stands for it
in other systems (`7`, `007`) cannot be told, and a suppression must not be missed for that. The same customer twice
is two customers here: the caller tells them apart.

V2: `{"customer_id", "promo_codes": [text], "attributes": {}}`. V1: fields by the names of `CampaignFields`; promo codes
in one text, comma-joined; attributes as an array in the order asked. Attributes' values are kept as sent: the rules
say what is malformed among them.
Source: vendor page, V2, step 2; facts sheet, "GetProcessedCampaignCustomers".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearance.decisions.decision import Customer
from clearance.optimove.json_rows import UNUSABLE, load_rows
from clearance.optimove.triggered_schema import CONTROL_CHARACTER, MAX_ID_CHARACTERS

_CODES = frozenset({str, int})  # an id of the vendor may be written as a number


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedRow:
    """A row that cannot be worked.

    Attributes:
        position: Its place in the group, from 0, over all pages.
        problem: Names the field and what was expected; never a value.
        customer_id: Whose row it is, where that much can be read.
    """

    position: int
    problem: str
    customer_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFields:
    """What a V1 row calls its parts. Not documented: each is a setting. Source: facts sheet."""

    customer_id: str = "CustomerID"
    promo_code: str = "PromoCode"
    attributes: str = "CustomerAttributes"


class _WrongError(Exception):
    """Its text is the problem of a `MalformedRow`."""


def load_send_group_customers(
    pieces: Iterable[bytes], *, status: int, start: int = 0
) -> Iterator[Customer | MalformedRow]:
    """The rows of a V2 reply; `start` is the position of the first one.

    Raises:
        VendorUnavailable: The reply broke off; what was given before holds.
        VendorRefused: The reply is no array of rows.
    """
    for position, row in enumerate(load_rows(pieces, status=status), start):
        customer_id = _read_id(row, "customer_id")
        try:
            if customer_id is None:
                raise _no_id(row, "customer_id")
            yield Customer(
                customer_id=customer_id,
                attributes=_load_object(row.get("attributes")),
                promo_codes=_load_codes(row.get("promo_codes")),
            )
        except _WrongError as wrong:
            yield MalformedRow(position=position, problem=str(wrong), customer_id=customer_id)


def load_campaign_customers(
    pieces: Iterable[bytes], names: Sequence[str], fields: CampaignFields, *, status: int, start: int = 0
) -> Iterator[Customer | MalformedRow]:
    """The rows of one V1 page; `names` are the attributes that were asked for, in that order.

    Raises:
        VendorUnavailable: The reply broke off; what was given before holds.
        VendorRefused: The reply is no array of rows.
    """
    for position, row in enumerate(load_rows(pieces, status=status), start):
        customer_id = _read_id(row, fields.customer_id)
        try:
            if customer_id is None:
                raise _no_id(row, fields.customer_id)
            yield Customer(
                customer_id=customer_id,
                attributes=_load_positional(row.get(fields.attributes), names, fields.attributes),
                promo_codes=_load_joined(row.get(fields.promo_code), fields.promo_code),
            )
        except _WrongError as wrong:
            yield MalformedRow(position=position, problem=str(wrong), customer_id=customer_id)


def _read_id(row: Any, field: str) -> str | None:
    sent = row.get(field) if type(row) is dict else None
    if type(sent) is not str or not 0 < len(sent) <= MAX_ID_CHARACTERS or CONTROL_CHARACTER.search(sent):
        return None
    return sent


def _no_id(row: Any, field: str) -> _WrongError:
    if row is UNUSABLE:
        return _WrongError("the row is nested too deep, or holds a number that is too large")
    if type(row) is not dict:
        return _WrongError("the row must be an object")
    return _WrongError(
        f"{field} must be text of 1 to {MAX_ID_CHARACTERS} characters without control characters"
    )


def _load_object(sent: object) -> Mapping[str, object]:
    if sent is None:
        return {}
    if type(sent) is not dict:
        raise _WrongError("attributes must be an object")
    return sent


def _load_codes(sent: object) -> tuple[str, ...]:
    if sent is None:
        return ()
    if type(sent) is not list or not _CODES.issuperset(map(type, sent)):
        raise _WrongError("promo_codes must be a list of text")
    return tuple(map(str, filter(None, sent)))


def _load_joined(sent: object, field: str) -> tuple[str, ...]:
    if sent is None:
        return ()
    if type(sent) is not str:
        raise _WrongError(f"{field} must be text")
    return tuple(code for code in map(str.strip, sent.split(",")) if code)


def _load_positional(sent: object, names: Sequence[str], field: str) -> Mapping[str, object]:
    if sent is None or not names:
        return {}
    # One value more or less, and nobody knows which one belongs to which name.
    if type(sent) is not list or len(sent) != len(names):
        raise _WrongError(f"{field} must be a list of {len(names)} values, in the order asked")
    return dict(zip(names, sent, strict=True))
