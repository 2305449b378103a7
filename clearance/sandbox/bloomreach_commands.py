"""Is this a command that Bloomreach can take, and what does it say?

Stricter than the vendor in one place: a malformed consent event revokes the consent there, without a word; here it
is refused and counted.
Source: facts sheet, "Bloomreach Tracking API v2" (ids, consent events, limits of sizes, times in seconds).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from clearance.sandbox.bloomreach_answers import invalid

CUSTOMERS = "customers"
EVENTS = "customers/events"
SYSTEM_TIME = "system/time"
CONSENT = "consent"

_NO_IDS = ("null", "undefined")
_PROPERTY_MAX_BYTES = 16_000
_EVENT_MAX_BYTES = 800_000
# Later times in seconds than this one are times in milliseconds.
_SECONDS_MAX = 100_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a command says of one customer. `event_type` is None for properties of the customer itself."""

    customer_ids: Mapping[str, str]
    event_type: str | None
    properties: Mapping[str, Any]
    timestamp: float | None


def load_command(name: str, data: Mapping[str, Any]) -> Told:
    """A command of this name.

    Raises:
        RefusedError: Its content is not usable; answer with it.
    """
    customer_ids = _load_ids(data.get("customer_ids"))
    properties = _load_properties(data.get("properties"))
    if name == CUSTOMERS:
        return Told(
            customer_ids=customer_ids,
            event_type=None,
            properties=properties,
            timestamp=_load_time(data, "update_timestamp"),
        )
    event_type = data.get("event_type")
    if not isinstance(event_type, str) or not event_type:
        raise invalid(["event_type: missing"])
    if len(orjson.dumps(properties)) > _EVENT_MAX_BYTES:
        raise invalid(["event: too large"])
    if event_type == CONSENT:
        check_consent(properties)
    return Told(
        customer_ids=customer_ids,
        event_type=event_type,
        properties=properties,
        timestamp=_load_time(data, "timestamp"),
    )


def check_consent(properties: Mapping[str, Any]) -> None:
    """Raises: RefusedError: The consent event is malformed; answer with it."""
    action, category = properties.get("action"), properties.get("category")
    if action not in ("accept", "reject"):
        raise invalid(["consent: action must be accept or reject"])
    if not isinstance(category, str) or not category.strip():
        raise invalid(["consent: category missing"])
    until = properties.get("valid_until")
    is_time = isinstance(until, int | float) and not isinstance(until, bool)
    if action == "accept" and until != "unlimited" and not is_time:
        raise invalid(["consent: valid_until must be unlimited or a time in seconds"])
    if action == "reject" and until is not None:
        raise invalid(["consent: valid_until is for accept only"])


def _load_ids(given: Any) -> dict[str, str]:
    """The ids that are not null, which the public client sends for what is not there."""
    if not isinstance(given, Mapping):
        raise invalid({"customer_ids": ["missing"]})
    ids = {kind: value for kind, value in given.items() if value is not None}
    if not ids:
        raise invalid({"customer_ids": ["at least one id is needed"]})
    for kind, value in ids.items():
        if not isinstance(value, str) or not re.search(r"[^\W_]", value) or value.lower() in _NO_IDS:
            raise invalid({"customer_ids": [f"{kind}: not an id"]})
    return ids


def _load_properties(given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise invalid({"properties": ["must be an object"]})
    for name, value in given.items():
        if len(orjson.dumps(value)) > _PROPERTY_MAX_BYTES:
            raise invalid({"properties": [f"{name}: too large"]})
    return given


def _load_time(data: Mapping[str, Any], name: str) -> float | None:
    given = data.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < _SECONDS_MAX:
        raise invalid([f"{name}: must be a time in seconds"])
    return float(given)
