"""May this command be sent as it is? What Bloomreach would misread never leaves.

Two mistakes do harm there instead of being refused: an unknown id silently creates a customer, and a malformed consent
event revokes consent. Everything else Bloomreach refuses by itself. Source: facts sheet, "Bloomreach Tracking API v2".
"""

from collections.abc import Mapping
from typing import Any

from clearance.bloomreach.commands import Command, CommandName
from clearance.bloomreach.customer_ids import is_usable

CONSENT = "consent"
_UNLIMITED = "unlimited"
# Milliseconds of a time in our lives have thirteen digits, seconds ten.
_FIRST_MILLISECONDS = 100_000_000_000


def problem(command: Command) -> str | None:
    """What is wrong with it, without any of its values; None for one that may be sent."""
    data = command.data
    ids = data.get("customer_ids")
    if not isinstance(ids, Mapping) or not ids:
        return "no customer id"
    if not all(map(is_usable, ids.values())):
        return "an id that names nobody"
    if command.name is CommandName.CUSTOMER:
        return None if isinstance(data.get("properties"), Mapping) else "no properties"
    if not _is_text(data.get("event_type")):
        return "no event type"
    if "timestamp" in data and not _is_seconds(data["timestamp"]):
        return "a timestamp that is not in seconds"
    return _consent_problem(data) if data["event_type"] == CONSENT else None


def _consent_problem(data: Mapping[str, Any]) -> str | None:
    told = data.get("properties")
    if not isinstance(told, Mapping) or not _is_text(told.get("category")):
        return "a consent event without a category"
    if "timestamp" not in data:
        return "a consent event without a timestamp"
    if told.get("action") == "reject":
        return "a rejection that says until when" if "valid_until" in told else None
    if told.get("action") != "accept":
        return "a consent event that neither accepts nor rejects"
    until = told.get("valid_until")
    return None if until == _UNLIMITED or _is_seconds(until) else "an acceptance that does not say until when"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _FIRST_MILLISECONDS
