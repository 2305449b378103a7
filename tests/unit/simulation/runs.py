"""One simulated run: the vendor says what the plot says, the fleet works until nothing is left, and it is judged."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from random import Random

import structlog
from sqlalchemy import Connection

from clearance.checks.judge import Judge, Question
from clearance.decisions.decision import APPROVED, Campaign, Verdict
from clearance.decisions.engine import Engine as RulesEngine
from clearance.decisions.rules_file import load_rules
from clearance.errors import LedgerUnavailable
from clearance.ledger.groups import Heard, NewCancellation, NewHeadsUp, cancel_many, hear_many
from clearance.ledger.tables import metadata
from clearance.optimove.heads_up import HeadsUp
from tests.fakes.clock import START
from tests.fakes.scheduled_world import World
from tests.fakes.world_fleet import ETA_WINDOW, HEDGE_AFTER, Fleet
from tests.fakes.world_ledger import connection_in_memory
from tests.fakes.world_vendor import SeenCall
from tests.unit.simulation.plots import Plot, Telling, plot_of
from tests.unit.simulation.verdicts import Known, problems_of

_END = START + timedelta(days=9)
_SENDER_REPEATS_S = 5.0
RULES = """
[attributes]
points = "int"

[[check]]
id = "rich"
cel = "points >= 10"
reason = "TOO_POOR"

[[check]]
id = "asked"
suppression = "blocked"
reason = "BLOCKED"

[[policy]]
id = "all"
applies = "true"
checks = ["rich", "asked"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of a run. `story` is what happened, for whoever has to understand a problem."""

    problems: list[str]
    story: list[str]


class _Asks:
    """A check that takes its time, fails, and may say something else when it is asked again."""

    def __init__(self, world: World, plot: Plot) -> None:
        self._world = world
        self._plot = plot

    def ask(self, question: Question) -> list[Verdict]:
        world, plot = self._world, self._plot
        left_s = (question.ends_at - world.clock()).total_seconds()
        world.sleep(min(left_s, plot.checks_take_s * world.chance.random()))
        if world.chance.random() < plot.checks_fail:
            return [Verdict(approved=False, reasons=("CHECK_FAILED:asked",))] * len(question.customers)
        refused = Verdict(approved=False, reasons=("BLOCKED",))
        return [refused if world.chance.random() < 0.1 else APPROVED for _ in question.customers]


def play(seed: int) -> Played:
    """Play what this seed says to its end."""
    plot = plot_of(Random(seed))
    world = World(Random(seed + 1))
    world.oversleep, world.kill_chance, world.kills_left = plot.oversleep, plot.kill_chance, plot.kills
    with structlog.testing.capture_logs():
        fleet = Fleet(world, _emptied(), Judge(_rules(), {"asked": _Asks(world, plot)}), plot.weather)
        fleet.vendor.manners, fleet.vendor.customers_by_id = plot.manners, plot.customers_by_id
        fleet.ledger.away = plot.ledger_away
        fleet.ledger.busy, fleet.ledger.unconfirmed = plot.ledger_busy, plot.unconfirmed
        door = Door(fleet)
        fleet.vendor.on_call = door.see_call
        for telling in plot.tellings:
            world.at(telling.arrives_at, lambda telling=telling: door.take(telling))
        try:
            world.happen(_END, fleet.before_step)
        except AssertionError as error:
            door.problems.append(str(error))
        finally:
            world.stop()
    problems = [*door.problems, *(f"a task raised {error!r}" for error in world.errors)]
    problems += problems_of(fleet, plot, door.known_by_id)
    return Played(problems=problems, story=[str(plot), *world.story])


class Door:
    """What ingest does with what the vendor says; and, apart from the product, what holds after it.

    `known_by_id` is the latest word of the vendor about each group, as far as it has come in.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._world = fleet.world
        self.known_by_id: dict[str, Known] = {}
        self.problems: list[str] = []

    def take(self, telling: Telling) -> None:
        """Commit it, publish it; while the ledger is away the sender comes again."""
        try:
            heard = self._hear(telling)
        except LedgerUnavailable:
            self._world.after(_SENDER_REPEATS_S, lambda: self.take(telling))
            return
        deadline_s = None if telling.deadline_at is None else (telling.deadline_at - START).total_seconds()
        self._world.tell(f"told: {telling.vendor_id} by {deadline_s}: {heard.cause}, {heard.revision}")
        known = self.known_by_id.get(telling.vendor_id)
        if known is None or telling.told_at > known.told_at:
            self.known_by_id[telling.vendor_id] = Known(
                told_at=telling.told_at, deadline_at=telling.deadline_at
            )
        self._fleet.accept(heard.owed)

    def see_call(self, call: SeenCall) -> None:
        """A submission begins: it must be for what holds now, and in time."""
        _task, _group, revision = call.run.name.split(":")
        known, now = self.known_by_id[call.vendor_id], self._world.clock()
        name = f"{call.vendor_id} revision {revision} at {(now - START).total_seconds():+.3f}"
        if known.deadline_at is None:
            self.problems.append(f"{name}: called after it was cancelled")
        elif now >= known.deadline_at:
            self.problems.append(f"{name}: called after the deadline")
        elif now >= known.deadline_at - timedelta(seconds=1):
            self.problems.append(f"{name}: called after the hard stop")
        (held,) = self._fleet.ledger.glance("SELECT revision FROM groups WHERE vendor_id = ?", call.vendor_id)
        if int(revision) != held:
            self.problems.append(f"{name}: called, but revision {held} holds")

    def _hear(self, telling: Telling) -> Heard:
        now = self._world.clock()
        the_id = f"{telling.vendor_id}-{telling.told_at.timestamp():.0f}"
        campaign = Campaign(lane="send_group" if telling.api == "v2" else "campaign")
        with self._fleet.ledger.write() as connection:
            if telling.deadline_at is None:
                cancellation = NewCancellation(
                    group_id=the_id,
                    api=telling.api,
                    vendor_id=telling.vendor_id,
                    told_at=telling.told_at,
                    received_at=now,
                    campaign=campaign,
                    trace_id=the_id,
                )
                return cancel_many(connection, [cancellation])[0]
            return hear_many(
                connection, [self._heads_up(telling, telling.deadline_at, now, the_id, campaign)]
            )[0]

    def _heads_up(
        self, telling: Telling, deadline_at: datetime, now: datetime, the_id: str, campaign: Campaign
    ) -> NewHeadsUp:
        return NewHeadsUp(
            group_id=the_id,
            heads_up=HeadsUp(
                api=telling.api,
                vendor_id=telling.vendor_id,
                told_at=telling.told_at,
                deadline_at=deadline_at,
                campaign=campaign,
                expected_customers=telling.expected,
            ),
            schedule=self._fleet.plan_as_told(deadline_at, telling.expected),
            received_at=now,
            hedge_after=HEDGE_AFTER,
            eta_window=ETA_WINDOW,
            trace_id=the_id,
        )


@cache
def _rules() -> RulesEngine:
    return RulesEngine(load_rules(RULES, source="rules.toml"))


_connection = cache(connection_in_memory)


def _emptied() -> Connection:
    connection = _connection()
    with connection.begin():
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    return connection
