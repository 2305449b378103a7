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
from sqlalchemy import Engine, text

from clearance.checks.judge import Judge
from clearance.clock import Clock
from clearance.errors import BrokerUnavailable, LedgerUnavailable
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
from tests.fakes.world_ledger import WorldLedger
from tests.fakes.world_vendor import WorldVendor
from tests.fakes.scheduled_world import World

Spans = Sequence[tuple[datetime, datetime]]

LEASE = timedelta(seconds=5)
ETA_WINDOW = timedelta(seconds=5)
HEDGE_AFTER = timedelta(seconds=1)
_LOOK_EVERY_S = 0.2
_ASSUMED_S = 2.0
_TOLD = (CeleryRetry, ObligationMissed, ObligationParked)
# The guardian's two conditions, as one moment: the earliest at which it would find something to do.
_NEXT_LOOK = text(
    """
    SELECT min(CASE
        WHEN publish_at < deadline_at THEN publish_at
        WHEN state = 'running' AND lease_until > deadline_at THEN lease_until
        ELSE deadline_at END)
    FROM obligations WHERE state IN ('open', 'running')
    """
)


@dataclass(slots=True, kw_only=True)
class Weather:
    """What goes wrong around the work: chances of a message, and times at which something is away."""

    loses: float = 0.0
    doubles: float = 0.0
    delays: float = 0.0
    broker_away: Spans = ()
    guardian_away: Spans = ()
    workers_away: Spans = ()
    review_workers: int = 2
    submit_workers: int = 4
    chunk_customers: int = 3
    customers_per_call: int = 7
    calls_per_window: int = 50
    min_margin_s: float = 60.0
    call_timeout_s: float = 10.0


@dataclass(slots=True)
class _Lane:
    """Who waits, and how many work."""

    workers: int
    waiting: deque[Due] = field(default_factory=deque)
    busy: int = 0


class Fleet:
    """Everything that runs; `hear` and `cancel` of the door are the schedule's (see `tests/unit/simulation`)."""

    def __init__(self, world: World, engine: Engine, judge: Judge, weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self.ledger = WorldLedger(engine, world)
        self.vendor = WorldVendor(world)
        self.metrics = RecordingMetrics()
        self.commits = InlineCommits(self.ledger)
        self._calls_limit = FakeRateLimit(world.clock, calls=weather.calls_per_window)
        clock: Clock = world.clock
        commits = cast(GroupCommit, self.commits)
        self.leases = Leases(commits=commits, clock=clock, lease=LEASE)
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
            publish=self.publish,
            metrics=self.metrics,
            clock=clock,
            hedge_after=HEDGE_AFTER,
        )
        self._looked_at_commit = -1
        self._look_number = 0
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
        """Publish what the door has created and is due at once; what does not arrive is the guardian's."""
        now = self.world.clock()
        due = [_due(each) for each in owed if each.run_at <= now]
        try:
            self.publish(due)
        except BrokerUnavailable:
            self.world.tell("the door cannot publish")

    def publish(self, batch: Sequence[Due]) -> None:
        """The broker: a batch arrives as a whole or not at all, but its messages may get lost later."""
        world, weather = self.world, self.weather
        if _is_within(weather.broker_away, world.clock()):
            raise BrokerUnavailable("broker: away")
        for due in batch:
            if world.chance.random() < weather.loses:
                world.tell(f"lost: {due.obligation_id}")
                continue
            for _ in range(2 if world.chance.random() < weather.doubles else 1):
                late_s = world.chance.uniform(0, 30) if world.chance.random() < weather.delays else 0.001
                when = max(world.clock() + timedelta(seconds=late_s), due.eta or world.clock())
                world.at(when, lambda due=due: self._arrive(due))

    def before_step(self) -> None:
        """Plan the guardian's next look whenever the ledger has changed, and renew leases while somebody works."""
        world = self.world
        if world.alive and not self._renews:
            self._renews = True
            world.after(LEASE.total_seconds() / 3, self._renew)
        if self.ledger.commits == self._looked_at_commit:
            return
        self._looked_at_commit = self.ledger.commits
        with self.ledger.look() as connection:
            found = connection.execute(_NEXT_LOOK).scalar()
        if found is None:
            return
        self._look_number += 1
        number = self._look_number
        when = max(datetime.fromisoformat(f"{found}+00:00"), world.clock())
        world.at(
            when + timedelta(seconds=world.chance.uniform(0, _LOOK_EVERY_S)), lambda: self._look(number)
        )

    def _look(self, number: int) -> None:
        if number != self._look_number:
            return  # the ledger has changed since: another look is planned
        away = _end_of(self.weather.guardian_away, self.world.clock())
        if away is not None:
            self.world.at(away, lambda: self._look(number))
            return
        self._looked_at_commit = -1
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
            away = _end_of(self.weather.workers_away, world.clock())
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


def _due(obligation: Obligation) -> Due:
    return Due(
        obligation_id=obligation.obligation_id,
        lane=obligation.lane,
        task=obligation.task,
        eta=None,
        deadline_at=obligation.deadline_at,
        attempts=0,
        trace_id=obligation.trace_id,
    )


def _is_within(spans: Spans, now: datetime) -> bool:
    return _end_of(spans, now) is not None


def _end_of(spans: Spans, now: datetime) -> datetime | None:
    return next((end for begin, end in spans if begin <= now < end), None)
