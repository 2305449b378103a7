"""Is a lane paused? Asked before every step of its work, and read from the ledger once a second.

In: a lane. Out: whether nobody may work on it, because a person stopped it, or because the vendor refused our
credentials: then the lane pauses itself, and goes on when a person says so.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic

from sqlalchemy import Connection

from clearance.ledger import lane_pauses
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.obligations import Lane

_READ_EVERY_S = 1.0
# In place of a person's name.
PAUSED_BY_ITSELF = "worker"


class PauseWatch:
    """One lane, for all threads of a process."""

    def __init__(self, ledger: Ledger, lane: Lane, *, time: Callable[[], float] = monotonic) -> None:
        self._ledger = ledger
        self._lane = lane
        self._time = time
        self._lock = Lock()
        self._is_paused = False
        self._read_next_s = float("-inf")

    def is_paused(self) -> bool:
        """As of a second ago at most. Raises `LedgerUnavailable`."""
        with self._lock:
            now_s = self._time()
            if now_s >= self._read_next_s:
                with self._ledger.read() as connection:
                    self._is_paused = self._lane in lane_pauses.paused(connection)
                self._read_next_s = now_s + _READ_EVERY_S
            return self._is_paused

    def forget(self) -> None:
        """Read at the next question."""
        self._read_next_s = float("-inf")


def pause_many(connection: Connection, items: Sequence[LanePause]) -> list[bool]:
    """Pause lanes; False for one that was paused already. For `GroupCommit`."""
    return [lane_pauses.pause(connection, item) for item in items]
