"""Which lanes nobody works on, since when, and why: a person stopped them, or credentials were refused."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select

from clearance.ledger.insert_new import insert_new
from clearance.ledger.mail_tables import lane_pauses
from clearance.obligations import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePause:
    """A lane that is paused."""

    lane: Lane
    paused_at: datetime
    paused_by: str
    reason: str


def pause(connection: Connection, item: LanePause) -> bool:
    """Pause a lane; False when it was paused already: the first pause stands."""
    row = {
        "lane": item.lane,
        "paused_at": item.paused_at,
        "paused_by": item.paused_by,
        "reason": item.reason,
    }
    return connection.execute(_INSERT, row).rowcount == 1


def resume(connection: Connection, lane: Lane) -> LanePause | None:
    """Work on it again; what was paused, or None if it was not."""
    row = connection.execute(_RESUME, {"lane": lane}).first()
    return None if row is None else _pause(row)


def paused(connection: Connection) -> dict[Lane, LanePause]:
    """The lanes that are paused."""
    return {Lane(row.lane): _pause(row) for row in connection.execute(_SELECT)}


def _pause(row: Row[Any]) -> LanePause:
    return LanePause(lane=Lane(row.lane), paused_at=row.paused_at, paused_by=row.paused_by, reason=row.reason)


_INSERT = insert_new(lane_pauses)
_RESUME = delete(lane_pauses).where(lane_pauses.c.lane == bindparam("lane")).returning(*lane_pauses.c)
_SELECT = select(lane_pauses).order_by(lane_pauses.c.lane)
