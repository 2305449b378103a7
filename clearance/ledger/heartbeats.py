"""Does somebody work on a lane? What went through its queue to find out, and when it came out on the other side.

Guardians send a heartbeat through every queue, and the worker that gets it writes that down here: what proves that a
lane is worked on is a message that arrived, not a process that lives. A lane that does not answer is asked less and
less often: its messages wait in the queue for a worker that may never come.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, text

from clearance.ledger.oncall_tables import lane_heartbeats

# Beside the lanes: guardians, who say when they last looked.
GUARDIAN = "guardian"
# From then on every 43 minutes at the default pace: 34 messages a day in the queue of a lane that nobody works on.
_MOST_DOUBLINGS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A heartbeat that arrived: of which lane, in which process, when it was sent, and when it came."""

    lane: str
    process: str
    sent_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneBeat:
    """What is known of one lane.

    Attributes:
        asked_at: When the last heartbeat was sent.
        unanswered: How many were sent since one arrived.
        heard: The last that arrived; None when none ever did.
    """

    lane: str
    asked_at: datetime
    unanswered: int
    heard: Heard | None


def known(connection: Connection) -> dict[str, LaneBeat]:
    """Every lane that was ever asked, and `GUARDIAN`."""
    return {row.lane: _beat(row) for row in connection.execute(_SELECT)}


def due(beats: dict[str, LaneBeat], lanes: Iterable[str], now: datetime, every: timedelta) -> list[str]:
    """Which of the lanes are to be asked now. Two guardians may both ask: that is one message more, and no harm."""
    return [lane for lane in lanes if lane not in beats or _is_due(beats[lane], now, every)]


def asked(connection: Connection, lanes: Sequence[str], now: datetime) -> None:
    """A heartbeat was sent through the queue of each of these lanes."""
    if lanes:
        connection.execute(_ASKED, [{"lane": lane, "asked_at": now} for lane in sorted(lanes)])


def note(connection: Connection, heard: Heard) -> None:
    """A heartbeat arrived; the last word counts, also after one that came with a wrong clock."""
    connection.execute(
        _HEARD,
        {
            "lane": heard.lane,
            "process": heard.process,
            "sent_at": heard.sent_at,
            "received_at": heard.received_at,
        },
    )


def _is_due(beat: LaneBeat, now: datetime, every: timedelta) -> bool:
    doublings = min(max(0, beat.unanswered - 1), _MOST_DOUBLINGS)
    # Asked in the future: by a clock that was wrong.
    return not now - every * (1 << doublings) < beat.asked_at <= now + every


def _beat(row: Row[Any]) -> LaneBeat:
    heard = None
    if row.received_at is not None:
        heard = Heard(lane=row.lane, process=row.process, sent_at=row.sent_at, received_at=row.received_at)
    return LaneBeat(lane=row.lane, asked_at=row.asked_at, unanswered=row.unanswered, heard=heard)


_SELECT = select(lane_heartbeats)
_TYPED = {column.name: bindparam(column.name, type_=column.type) for column in lane_heartbeats.columns}
_ASKED = text(
    "INSERT INTO lane_heartbeats (lane, asked_at, unanswered) VALUES (:lane, :asked_at, 1)"
    " ON CONFLICT (lane) DO UPDATE SET asked_at = excluded.asked_at,"
    " unanswered = lane_heartbeats.unanswered + 1"
).bindparams(*(_TYPED[name] for name in ("lane", "asked_at")))
_HEARD = text(
    "INSERT INTO lane_heartbeats (lane, asked_at, unanswered, sent_at, received_at, process)"
    " VALUES (:lane, :sent_at, 0, :sent_at, :received_at, :process)"
    " ON CONFLICT (lane) DO UPDATE SET unanswered = 0, sent_at = excluded.sent_at,"
    " received_at = excluded.received_at, process = excluded.process"
).bindparams(*(_TYPED[name] for name in ("lane", "sent_at", "received_at", "process")))
