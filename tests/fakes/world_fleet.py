"""A whole fleet for scheduled groups in one world: door, broker, guardian and workers, made of the real parts.

Real are the ledger, the four tasks, the guardian, the leases, the rules and the plan of when to submit. The broker
loses, doubles and delays as a test says.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from celery.exceptions import Retry as CeleryRetry
from sqlalchemy import Connection

from clearance.checks.judge import Judge
from clearance.clock import Clock
from clearance.errors import LedgerUnavailable
from clearance.guardian import Guardian
from clearance.ledger.call_speed import seconds_per_call
from clearance.ledger.group_commit import GroupCommit
from clearance.obligations import Due, Obligation
from clearance.schedule import Schedule, Speed, schedule_of
from tasks.base import MESSAGE_VERSION, ObligationMissed, ObligationParked, ObligationTask
from tasks.calling import Calling
from tasks.closing import CloseGroup, CloseServices
from tasks.fetching import FetchGroup, FetchServices
from tasks.leases import Leases
from tasks.reviewing import ReviewChunk, ReviewServices
from tasks.submitting import SubmitGroup, SubmitServices
from tests.fakes.commits import InlineCommits
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.rate import FakeRateLimit
from tests.fakes.scheduled_world import World
from tests.fakes.world_broker import Broker, Weather, end_of
from tests.fakes.world_ledger import WorldLedger
from tests.fakes.world_vendor import WorldVendor

ETA_WINDOW = timedelta(seconds=5)
HEDGE_AFTER = timedelta(seconds=1)
_LOOK_EVERY_S = 0.2
# A guardian that cannot publish tries again at once, for as long as the broker is away: each time the same.
_LOOK_IN_VAIN_EVERY = timedelta(seconds=20)
_ASSUMED_S = 2.0
_TOLD = (CeleryRetry, ObligationMissed, ObligationParked)
# The guardian's two conditions, as one moment: the earliest at which it would find something to do.
_NEXT_LOOK = """
    SELECT min(CASE
        WHEN publish_at < deadline_at THEN publish_at
        WHEN state = 'running' AND lease_until > deadline_at THEN lease_until
        ELSE deadline_at END)
    FROM obligations WHERE state IN ('open', 'running')
"""


@dataclass(slots=True)
class _Lane:
    """Who waits, and how many work."""

    workers: int
    waiting: deque[Due] = field(default_factory=deque)
    busy: int = 0


class Fleet:
    """Everything that runs; `hear` and `cancel` of the door are the schedule's (see `tests/unit/simulation`)."""

    def __init__(self, world: World, connection: Connection, judge: Judge, weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self.ledger = WorldLedger(connection, world)
        self.vendor = WorldVendor(world)
        self.metrics = RecordingMetrics()
        self._broker = Broker(world, weather, self._arrive)
        self.commits = InlineCommits(self.ledger)
        self._calls_limit = FakeRateLimit(world.clock, calls=weather.calls_per_window)
        clock: Clock = world.clock
        commits = cast(GroupCommit, self.commits)
        self.leases = Leases(commits=commits, clock=clock, lease=timedelta(seconds=weather.lease_s))
        self.leases.close()  # its thread: the world renews
        services: dict[str, Any] = {
            "commits": commits,
            "leases": self.leases,
            "metrics": self.metrics,
            "clock": clock,
            "pause": world.pause,
            "eta_window": ETA_WINDOW,
            "jitter": world.chance.random,
        }
        calling = Calling(
            limit=self._calls_limit,
            cooldown=FakeCoolDown(world.clock),
            clock=clock,
            pause=world.pause,
            jitter=world.chance.random,
            metrics=self.metrics,
        )
        fetching = FetchServices(
            **services,
            ledger=self.ledger,
            vendor=self.vendor,
            calling=calling,
            attributes_of=lambda _campaign: ("points",),
            plan=self.plan,
            chunk_customers=weather.chunk_customers,
            hedge_after=timedelta(0),
            computed_s=lambda: 0.0,
        )
        submitting = SubmitServices(
            **services,
            ledger=self.ledger,
            vendor=self.vendor,
            calling=calling,
            customers_per_call=weather.customers_per_call,
            call_timeout_s=weather.call_timeout_s,
        )
        tasks: list[ObligationTask[Any, Any]] = [
            FetchGroup(lambda: fetching),
            ReviewChunk(lambda: ReviewServices(**services, judge=lambda: judge)),
            SubmitGroup(lambda: submitting),
            CloseGroup(lambda: CloseServices(**services, ledger=self.ledger)),
        ]
        self._task_by_name = {task.name: task for task in tasks}
        self._lanes = {"review": _Lane(weather.review_workers), "submit": _Lane(weather.submit_workers)}
        self._guardian = Guardian(
            ledger=self.ledger,
            publish=self._broker.publish,
            metrics=self.metrics,
            clock=clock,
            hedge_after=HEDGE_AFTER,
        )
        self._looked_at_commit = -1
        self._look_number = 0
        self._looked_in_vain_at = world.clock() - _LOOK_IN_VAIN_EVERY
        self._renews = False

    def plan(self, deadline_at: datetime, customers: int | None) -> Schedule:
        """When a group must leave, by the speed that was measured: as `workers.scheduled.Planning`."""
        with self.ledger.read() as connection:
            measured_s = seconds_per_call(connection)
        return self._plan(deadline_at, customers, measured_s or _ASSUMED_S)

    def plan_as_told(self, deadline_at: datetime, customers: int | None) -> Schedule:
        """When a group must leave, as the door plans it: by the speed that is assumed."""
        return self._plan(deadline_at, customers, _ASSUMED_S)

    def _plan(self, deadline_at: datetime, customers: int | None, seconds_per_call: float) -> Schedule:
        speed = Speed(
            seconds_per_call=seconds_per_call,
            calls_per_window=self.weather.calls_per_window,
            window_s=10.0,
            customers_per_call=self.weather.customers_per_call,
        )
        return schedule_of(
            deadline_at,
            customers,
            speed,
            min_margin_s=self.weather.min_margin_s,
            safety_factor=2.0,
            stop_margin_s=1.0,
        )

    def accept(self, owed: Sequence[Obligation]) -> None:
        """What the door has created and is due at once is published; what does not arrive is the guardian's."""
        self._broker.accept(owed)

    def before_step(self) -> None:
        """Plan the guardian's next look whenever the ledger has changed, and renew leases while somebody works."""
        world = self.world
        if world.alive and not self._renews:
            self._renews = True
            world.after(self.weather.lease_s / 3, self._renew)
        if self.ledger.commits == self._looked_at_commit:
            return
        self._looked_at_commit = self.ledger.commits
        (found,) = self.ledger.glance(_NEXT_LOOK)
        if found is None:
            return
        self._look_number += 1
        number = self._look_number
        when = self._in_vain_less_often(max(datetime.fromisoformat(f"{found}+00:00"), world.clock()))
        world.at(when + timedelta(seconds=world.chance.uniform(0, _LOOK_EVERY_S)), lambda: self._look(number))

    def _in_vain_less_often(self, when: datetime) -> datetime:
        back = end_of(self.weather.broker_away, when)
        return when if back is None else min(back, max(when, self._looked_in_vain_at + _LOOK_IN_VAIN_EVERY))

    def _look(self, number: int) -> None:
        if number != self._look_number:
            return  # the ledger has changed since: another look is planned
        away = end_of(self.weather.guardian_away, self.world.clock())
        if away is not None:
            self.world.at(away, lambda: self._look(number))
            return
        self._looked_at_commit = -1
        if end_of(self.weather.broker_away, self.world.clock()) is not None:
            self._looked_in_vain_at = self.world.clock()
        try:
            self._guardian.look()
        except LedgerUnavailable:
            self.world.after(1.0, lambda: self._look(number))
            self._looked_at_commit = self.ledger.commits

    def _renew(self) -> None:
        self._renews = False
        try:
            self.leases.renew()
        except LedgerUnavailable:
            self.world.tell("leases are not renewed")

    def _arrive(self, due: Due) -> None:
        self._lanes[due.lane].waiting.append(due)
        self._dispatch(due.lane)

    def _dispatch(self, name: str) -> None:
        lane, world = self._lanes[name], self.world
        while lane.waiting and lane.busy < lane.workers:
            away = end_of(self.weather.workers_away, world.clock())
            if away is not None:
                world.at(away, lambda: self._dispatch(name))
                return
            self._work(lane, lane.waiting.popleft())

    def _work(self, lane: _Lane, due: Due) -> None:
        task = self._task_by_name[due.task]

        def work() -> None:
            try:
                task.run(
                    due.obligation_id,
                    version=MESSAGE_VERSION,
                    deadline_ms=int(due.deadline_at.timestamp() * 1000),
                )
            except _TOLD as told:
                self.world.tell(f"{type(told).__name__}: {told}")

        def ended() -> None:
            lane.busy -= 1
            self.world.after(0.0, lambda: self._dispatch(due.lane))

        lane.busy += 1
        self.world.start(due.obligation_id, work, ended)
