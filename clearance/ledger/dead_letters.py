"""What nobody can work on as it is: parked obligations and messages that mean nothing to this release."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from clearance.ledger.insert_new import insert_new
from clearance.ledger.tables import dead_letters


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One of them. `detail` never holds personal data."""

    dead_letter_id: str
    obligation_id: str | None
    lane: str
    reason: str
    detail: str
    at: datetime


def record_many(connection: Connection, items: Sequence[DeadLetter]) -> list[None]:
    """Keep them until an operator has dealt with them. A repeat changes nothing."""
    connection.execute(
        _INSERT,
        [
            {
                "id": item.dead_letter_id,
                "obligation_id": item.obligation_id,
                "lane": item.lane,
                "reason": item.reason,
                "detail": item.detail,
                "at": item.at,
            }
            for item in items
        ],
    )
    return [None] * len(items)


_INSERT = insert_new(dead_letters)
