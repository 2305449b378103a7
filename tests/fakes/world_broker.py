"""A broker that loses, doubles and delays messages as a test says, and the weather in which everything else runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from clearance.errors import BrokerUnavailable
from clearance.obligations import Due, Obligation
from tests.fakes.scheduled_world import World

Spans = Sequence[tuple[datetime, datetime]]


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
    lease_s: float = 30.0


class Broker:
    """`arrive` is called with each message when a worker may have it."""

    def __init__(self, world: World, weather: Weather, arrive: Callable[[Due], None]) -> None:
        self._world = world
        self._weather = weather
        self._arrive = arrive

    def accept(self, owed: Sequence[Obligation]) -> None:
        """As the door publishes what is due at once: without caring what becomes of it."""
        now = self._world.clock()
        try:
            self.publish([_due(each) for each in owed if each.run_at <= now])
        except BrokerUnavailable:
            self._world.tell("the door cannot publish")

    def publish(self, batch: Sequence[Due]) -> None:
        """A batch arrives as a whole or not at all, but its messages may get lost later."""
        world, weather = self._world, self._weather
        if end_of(weather.broker_away, world.clock()) is not None:
            raise BrokerUnavailable("broker: away")
        for due in batch:
            if world.chance.random() < weather.loses:
                world.tell(f"lost: {due.obligation_id}")
                continue
            for _ in range(2 if world.chance.random() < weather.doubles else 1):
                late_s = world.chance.uniform(0, 30) if world.chance.random() < weather.delays else 0.001
                when = max(world.clock() + timedelta(seconds=late_s), due.eta or world.clock())
                world.at(when, lambda due=due: self._arrive(due))


def end_of(spans: Spans, now: datetime) -> datetime | None:
    """Until when something is away; None when it is not."""
    return next((end for begin, end in spans if begin <= now < end), None)


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
