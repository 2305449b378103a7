"""What Bloomreach can be told: one command of its Tracking API.

Source: facts sheet, "Bloomreach Tracking API v2": `POST /track/v2/projects/{token}/batch` takes up to 50 of them, in
any order, and answers each by its position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class CommandName(StrEnum):
    """Which kind of command: Bloomreach's own names."""

    CUSTOMER = "customers"
    EVENT = "customers/events"


class CommandState(StrEnum):
    """Where a command stands."""

    OPEN = "open"
    SENT = "sent"
    PARKED = "parked"
    DISCARDED = "discarded"  # given up by a person


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        data: Its body, `customer_ids` included: at least one id, none of them empty.
        about: The recipient that it is about, or what else caused it; no personal data.
        dedupe_key: Commands with the same key are one; None for one that has no like.
    """

    name: CommandName
    data: Mapping[str, Any]
    about: str
    dedupe_key: str | None = None
