"""What was a decision made from? The campaign, the customer and what was answered outside, as canonical bytes and back.

The same inputs give the same bytes whatever the order of keys, so their digest names them. Kept under
`record_inputs = true`, they are what `clearance rules diff` decides again: a change must still read what earlier
releases wrote, and may add fields only.

Nothing raises on the way in. What the fast writer cannot say (a number of any size, an infinity, half a surrogate
pair) the slow one writes; a value that JSON has no form for, or one nested too deep, is written as `{}`, which no
declared kind accepts either.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from math import isfinite
from typing import Any

import orjson

from clearance.decisions.decision import Campaign, Customer, Verdict

_WRITTEN_BY = 1
# ASCII: text with half a surrogate pair has no other form. NaN and infinities are written as Python reads them.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
_UNWRITABLE = "{}"
_PLAIN = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What one decision was made from. `answers` are by check id."""

    campaign: Campaign
    customer: Customer
    answers: Mapping[str, Verdict]


def inputs_of(campaign: Campaign, customer: Customer, answers: Mapping[str, Verdict]) -> bytes:
    """JSON with sorted keys and no white space, of everything that the decision may depend on."""
    answered = {
        check_id: {"approved": each.approved, "reasons": each.reasons} for check_id, each in answers.items()
    }
    if _is_plain(customer.attributes):
        written: dict[str, object] = {
            "answers": answered,
            "campaign": orjson.Fragment(_campaign(campaign)),
            "customer": {
                "attributes": customer.attributes,
                "customer_id": customer.customer_id,
                "is_hashed": customer.is_hashed,
                "is_visitor": customer.is_visitor,
                "promo_codes": customer.promo_codes,
            },
            "version": _WRITTEN_BY,
        }
        with suppress(TypeError):
            return orjson.dumps(written, option=orjson.OPT_SORT_KEYS)
    return _slowly(campaign, customer, answered)


def load_inputs(written: bytes) -> Inputs:
    """The inputs that `inputs_of` wrote, in this release or an earlier one.

    Raises:
        ValueError: These bytes are nothing that it wrote. The text quotes none of them.
    """
    try:
        held = json.loads(written)
        return Inputs(
            campaign=Campaign(**_known(Campaign, held["campaign"], "tags")),
            customer=Customer(**_known(Customer, held["customer"], "promo_codes")),
            answers={
                check_id: Verdict(approved=each["approved"], reasons=tuple(each["reasons"]))
                for check_id, each in held["answers"].items()
            },
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("these are no inputs of a decision") from None


def digest_of(written: bytes) -> str:
    """What names these inputs: SHA-256, in hex."""
    return hashlib.sha256(written).hexdigest()


def _slowly(campaign: Campaign, customer: Customer, answered: Mapping[str, object]) -> bytes:
    customer_text = (
        f'{{"attributes":{_attributes(customer.attributes)},"customer_id":{_encode(customer.customer_id)},'
        f'"is_hashed":{_encode(customer.is_hashed)},"is_visitor":{_encode(customer.is_visitor)},'
        f'"promo_codes":{_encode(customer.promo_codes)}}}'
    )
    return (
        f'{{"answers":{_encode(answered)},"campaign":{_campaign(campaign)},'
        f'"customer":{customer_text},"version":{_WRITTEN_BY}}}'
    ).encode("ascii")


@lru_cache(maxsize=64)  # a million customers of one campaign need it written once
def _campaign(campaign: Campaign) -> str:
    return _encode(asdict(campaign))


def _is_plain(attributes: Mapping[str, object]) -> bool:
    """Whether the fast writer says what is there: of an infinity, wherever it is, it would say null."""
    for value in attributes.values():
        kind = type(value)
        if kind is float and not isfinite(value):  # type: ignore[arg-type]  # just seen to be a float
            return False
        if kind not in _PLAIN:
            return False
    return True


def _attributes(attributes: Mapping[str, object]) -> str:
    try:
        return _encode(attributes if type(attributes) is dict else dict(attributes))
    except (TypeError, ValueError, RecursionError):
        written = (f"{_encode(name)}:{_value(attributes[name])}" for name in sorted(attributes))
        return f"{{{','.join(written)}}}"


def _value(value: object) -> str:
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        return _UNWRITABLE


def _known(kind: type[Campaign | Customer], held: Mapping[str, Any], tuple_name: str) -> dict[str, Any]:
    """The fields that this release knows, as the constructor takes them."""
    known = {item.name for item in fields(kind)}
    values = {name: value for name, value in held.items() if name in known}
    values[tuple_name] = tuple(values.get(tuple_name, ()))
    return values
