"""How does mail show on a dashboard? A look every few seconds at what is unfinished, as gauges.

Any number of processes may look: all see the same. A ledger or Redis that is away makes a gauge unknown (NaN), not
yesterday's.
"""

from collections.abc import Callable
from datetime import datetime
from math import nan

from clearance.clock import Clock
from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_levels import MailLevels, levels
from clearance.telemetry import Metrics


class MailWatch:
    """One look at a time; the process around it decides how often.

    Args:
        slots_held: How many requests may be under way; None when that is not known.
    """

    def __init__(
        self, *, ledger: Ledger, metrics: Metrics, clock: Clock, slots_held: Callable[[], int | None]
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._slots_held = slots_held

    def look(self) -> None:
        """Set the gauges. Never fails: what cannot be seen is not known."""
        held = self._slots_held()
        self._metrics.gauge("mail_busy_slots", nan if held is None else held)
        try:
            with self._ledger.read() as connection:
                found = levels(connection)
        except LedgerUnavailable:
            self._set(None, self._clock())
        else:
            self._set(found, self._clock())

    def _set(self, found: MailLevels | None, now: datetime) -> None:
        metrics = self._metrics
        metrics.gauge("mail_waiting_letters", found.waiting if found else nan)
        metrics.gauge("mail_oldest_waiting_seconds", _age_s(found.oldest_waiting_at, now) if found else nan)
        metrics.gauge("mail_held_letters", found.held.letters if found else nan)
        metrics.gauge("mail_held_batches", found.held.batches if found else nan)
        metrics.gauge("track_open_commands", found.open_commands if found else nan)
        metrics.gauge("track_parked_commands", found.parked_commands if found else nan)


def _age_s(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())
