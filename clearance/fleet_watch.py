"""How does the fleet show on a dashboard? A look every few seconds at the ledger, and one at the broker, as gauges.

Any number of processes may look: all see the same. What cannot be seen is unknown (NaN), not yesterday's; that it
could not be seen is a gauge of its own.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from math import nan

from clearance.clock import Clock
from clearance.errors import BrokerUnavailable, LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.fleet_levels import FleetLevels, GroupLevels, levels
from clearance.obligations import Lane
from clearance.telemetry import Metrics


class FleetWatch:
    """What the ledger says of lanes, groups and rules; one look at a time."""

    def __init__(self, *, ledger: Ledger, metrics: Metrics, clock: Clock) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock

    def look(self) -> None:
        """Set the gauges. Never fails: what cannot be seen is not known."""
        now = self._clock()
        try:
            with self._ledger.read() as connection:
                found = levels(connection, now)
        except LedgerUnavailable:
            self._metrics.gauge("ledger_up", 0)
            self._tell(None, now)
        else:
            self._metrics.gauge("ledger_up", 1)
            self._tell(found, now)

    def _tell(self, found: FleetLevels | None, now: datetime) -> None:
        metrics = self._metrics
        for lane in Lane:
            self._tell_load(lane, found, now)
            metrics.gauge("lane_paused", float(lane in found.paused) if found else nan, lane=lane)
            answered_at = found.answered_at.get(lane) if found else None
            age_s = nan if answered_at is None else _since_s(answered_at, now)
            metrics.gauge("lane_heartbeat_seconds", age_s, lane=lane)
        for group in found.groups if found else _NO_GROUPS:
            self._tell_groups(group, now, is_known=found is not None)
        metrics.gauge("rules_versions", found.rules_versions if found else nan)
        metrics.gauge("rules_refused_processes", found.rules_refused if found else nan)

    def _tell_load(self, lane: Lane, found: FleetLevels | None, now: datetime) -> None:
        metrics = self._metrics
        load = {each.lane: each for each in found.loads}[lane] if found else None
        metrics.gauge("lane_obligations", load.due if load else nan, lane=lane, state="due")
        metrics.gauge("lane_obligations", load.later if load else nan, lane=lane, state="later")
        metrics.gauge("lane_obligations", load.running if load else nan, lane=lane, state="running")
        metrics.gauge(
            "lane_obligations", found.parked.get(lane, 0) if found else nan, lane=lane, state="parked"
        )
        metrics.gauge("overdue_obligations", load.overdue if load else nan, lane=lane)
        oldest_at = load.oldest_due_at if load else None
        age_s = 0.0 if oldest_at is None else _since_s(oldest_at, now)
        metrics.gauge("obligations_oldest_due_seconds", age_s if load else nan, lane=lane)

    def _tell_groups(self, group: GroupLevels, now: datetime, *, is_known: bool) -> None:
        metrics, api = self._metrics, group.api
        metrics.gauge("open_groups", group.open if is_known else nan, api=api)
        metrics.gauge("late_groups", group.late if is_known else nan, api=api)
        metrics.gauge("group_next_submission_seconds", _until_s(group.next_submit_at, now), api=api)
        metrics.gauge("group_next_deadline_seconds", _until_s(group.next_deadline_at, now), api=api)


class QueueWatch:
    """How many messages wait on the broker.

    Args:
        depths: The messages on each lane's queue; raises `BrokerUnavailable`.
    """

    def __init__(self, *, depths: Callable[[], Mapping[Lane, int]], metrics: Metrics) -> None:
        self._depths = depths
        self._metrics = metrics

    def look(self) -> None:
        """Set the gauges. Never fails."""
        try:
            found = self._depths()
        except BrokerUnavailable:
            found = {}
        self._metrics.gauge("broker_up", float(bool(found)))
        for lane in Lane:
            self._metrics.gauge("queue_messages", found.get(lane, nan), lane=lane)


def _since_s(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds())


def _until_s(at: datetime | None, now: datetime) -> float:
    return nan if at is None else (at - now).total_seconds()


_NO_GROUPS = (GroupLevels(api="v2"), GroupLevels(api="v1"))
