"""A process decides by the last rules that were right, says which, and hears of newer ones."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection
from structlog.typing import EventDict

from clearance.checks.judge import Judge
from clearance.decisions.engine import Engine
from clearance.decisions.rules import Problem, Rules, RulesError
from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.rule_sets import InForce, ask_reload, in_force, text_of
from config.settings import SettingsError
from tests.fakes.clock import START, ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.metrics import RecordingMetrics
from workers.rules_keeper import RulesKeeper

RULES = """
[attributes]
country = "string"

[[check]]
id     = "licensed-country"
cel    = 'country in ["DE"]'
reason = "COUNTRY_NOT_LICENSED"

[[policy]]
id      = "all"
applies = "true"
checks  = ["licensed-country"]
"""
STRICTER = RULES.replace('["DE"]', "[]")
BROKEN = RULES.replace("country in", "county in")


def _judge(rules: Rules) -> Judge:
    return Judge(Engine(rules), {})


class LedgerThatMayBeAway(Ledger):
    """A ledger, away for as long as `is_away`; counts how often it was tried."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger._engine)
        self.is_away = False
        self.tried = 0

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._try()
        with super().write() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._try()
        with super().read() as connection:
            yield connection

    def _try(self) -> None:
        self.tried += 1
        if self.is_away:
            raise LedgerUnavailable("ledger: OperationalError")


@dataclass
class World:
    """A rules file, a ledger, and what keeps the rules of one process."""

    path: Path
    ledger: LedgerThatMayBeAway
    clock: ManualClock
    metrics: RecordingMetrics

    def keeper(self, open_judge: Callable[[Rules], Judge] = _judge) -> RulesKeeper:
        return RulesKeeper(
            str(self.path),
            open_judge=open_judge,
            ledger=self.ledger,
            process="triggered-1@host:4711",
            lane="triggered",
            look_every_s=2.0,
            clock=self.clock,
            metrics=self.metrics,
        )

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def ask_reload(self) -> None:
        with self.ledger.write() as connection:
            ask_reload(connection, asked_by="test", asked_at=self.clock())

    def reported(self) -> InForce:
        with self.ledger.read() as connection:
            (only,) = in_force(connection)
        return only

    def text_of(self, version: str) -> str | None:
        with self.ledger.read() as connection:
            return text_of(connection, version)

    def reloads(self, outcome: str) -> float:
        return self.metrics.counted("rules_reloads_total", outcome=outcome)


@pytest.fixture
def world(tmp_path: Path, clock: ManualClock) -> Iterator[World]:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    ledger = new_ledger(tmp_path)
    yield World(path=path, ledger=LedgerThatMayBeAway(ledger), clock=clock, metrics=RecordingMetrics())
    ledger.close()


def version(keeper: RulesKeeper) -> str:
    return keeper.judge.engine.rules.version


def test_at_the_start_the_rules_are_in_force_reported_and_remembered(world: World) -> None:
    keeper = world.keeper()

    assert world.reported() == InForce(
        process="triggered-1@host:4711",
        lane="triggered",
        version=version(keeper),
        loaded_at=START,
        seen_at=START,
    )
    assert world.text_of(version(keeper)) == RULES


def test_nothing_starts_on_a_broken_file_and_every_problem_is_told(world: World) -> None:
    world.write(BROKEN.replace('"COUNTRY_NOT_LICENSED"', '"not a code"'))

    with pytest.raises(SettingsError) as caught:
        world.keeper()

    assert len(caught.value.problems) == 2
    assert all(problem.startswith(f"{world.path}:") for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read: No such file or directory"), (b"\n# \xff", ":2: is not UTF-8")],
)
def test_nothing_starts_on_a_file_that_cannot_be_read(world: World, content: bytes | None, told: str) -> None:
    world.path.unlink()
    if content is not None:
        world.path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        world.keeper()

    assert told in caught.value.problems[0]


def test_a_changed_file_comes_into_force_when_that_is_asked_for_and_not_before(world: World) -> None:
    keeper = world.keeper()
    before = version(keeper)
    world.write(STRICTER)

    keeper.look()
    assert version(keeper) == before

    world.ask_reload()
    world.clock.advance(2)
    keeper.look()

    assert version(keeper) != before
    assert world.reported().version == version(keeper)
    assert world.reported().loaded_at == START + timedelta(seconds=2)
    assert world.text_of(version(keeper)) == STRICTER
    assert world.reloads("loaded") == 1


def test_a_signal_asks_for_a_reload(world: World) -> None:
    keeper = world.keeper()
    before = version(keeper)
    world.write(STRICTER)
    earlier = signal.signal(signal.SIGHUP, lambda *_: keeper.request_reload())
    try:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, earlier)

    keeper.look()
    keeper.look()

    assert version(keeper) != before
    assert world.reloads("loaded") == 1
    assert world.reloads("unchanged") == 0


def test_a_request_is_followed_once(world: World) -> None:
    keeper = world.keeper()
    world.ask_reload()

    keeper.look()
    keeper.look()

    assert world.reloads("unchanged") == 1


def test_a_request_from_before_the_start_is_not_followed_again(world: World) -> None:
    world.ask_reload()
    keeper = world.keeper()

    keeper.look()

    assert world.reloads("unchanged") == 0


def test_a_broken_file_leaves_the_last_good_rules_in_force_and_is_told_everywhere(
    world: World, log_events: list[EventDict]
) -> None:
    keeper = world.keeper()
    judge = keeper.judge
    world.write(BROKEN)
    world.ask_reload()
    world.clock.advance(1.5)

    keeper.look()

    assert keeper.judge is judge
    reported = world.reported()
    assert reported.version == version(keeper)
    assert reported.loaded_at == START
    assert reported.problem is not None
    assert reported.problem.startswith("refused at 2026-03-02T09:00:01.500+00:00: ")
    assert f"{world.path}:7: " in reported.problem
    assert world.reloads("refused") == 1
    (logged,) = [event for event in log_events if event["event"] == "rules.refused"]
    assert logged["in_force"] == version(keeper)
    assert "county" in logged["problems"][0]


def test_a_judge_that_cannot_be_opened_is_refused_like_a_mistake_in_the_file(world: World) -> None:
    keeper = world.keeper()

    def open_judge(rules: Rules) -> Judge:
        raise RulesError((Problem(source="rules.toml", line=3, told="the variable PROMO_URL is not set"),))

    with pytest.raises(SettingsError, match="PROMO_URL"):
        world.keeper(open_judge)
    keeper._open_judge = open_judge
    keeper.request_reload()
    keeper.look()

    assert "PROMO_URL" in str(world.reported().problem)


def test_a_file_that_is_right_again_ends_the_problem(world: World) -> None:
    keeper = world.keeper()
    world.write(BROKEN)
    keeper.request_reload()
    keeper.look()
    world.write(RULES)
    world.clock.advance(5)
    keeper.request_reload()
    keeper.look()

    assert world.reported().problem is None
    assert world.reported().loaded_at == START + timedelta(seconds=5)
    assert world.reloads("unchanged") == 1


def test_the_same_problem_again_is_reported_as_a_new_one(world: World) -> None:
    keeper = world.keeper()
    world.write(BROKEN)
    told = set()
    for _ in range(2):
        world.clock.advance(1)
        keeper.request_reload()
        keeper.look()
        told.add(world.reported().problem)

    assert len(told) == 2


def test_a_process_says_again_and_again_that_it_is_there_and_not_at_every_look(world: World) -> None:
    keeper = world.keeper()
    seen = set()
    for _ in range(20):
        world.clock.advance(2)
        keeper.look()
        seen.add(world.reported().seen_at)

    assert seen == {START + timedelta(seconds=each) for each in (0, 10, 20, 30, 40)}


def test_a_ledger_that_is_away_keeps_nobody_from_starting_and_is_told_once(
    world: World, log_events: list[EventDict]
) -> None:
    world.ledger.is_away = True
    keeper = world.keeper()
    keeper.look()
    keeper.look()

    assert [event["event"] for event in log_events].count("rules.ledger_unavailable") == 1

    world.ledger.is_away = False
    keeper.look()

    assert world.text_of(version(keeper)) == RULES
    assert world.reported().version == version(keeper)
    assert world.reloads("unchanged") == 0


def test_a_ledger_that_is_away_is_tried_once_a_look(world: World) -> None:
    keeper = world.keeper()
    world.ledger.is_away = True
    world.clock.advance(60)
    keeper.look()
    world.ledger.tried = 0

    keeper.request_reload()
    keeper.look()

    assert world.ledger.tried == 1


def test_a_request_that_was_made_while_the_start_could_not_see_it_is_followed(world: World) -> None:
    world.ledger.is_away = True
    keeper = world.keeper()
    world.ledger.is_away = False
    world.write(STRICTER)
    world.ask_reload()

    keeper.look()

    assert world.reloads("loaded") == 1


def test_rules_that_were_loaded_while_the_ledger_was_away_are_remembered_when_it_is_back(
    world: World,
) -> None:
    keeper = world.keeper()
    world.ledger.is_away = True
    world.write(STRICTER)
    keeper.look()
    keeper.request_reload()
    keeper.look()
    assert world.reloads("loaded") == 1
    world.ledger.is_away = False

    keeper.look()

    assert world.text_of(version(keeper)) == STRICTER


def test_new_rules_decide_only_after_their_text_is_in_the_ledger(world: World) -> None:
    keeper = world.keeper()
    world.write(STRICTER)
    in_force_at_write = []
    write = world.ledger.write

    @contextmanager
    def watched() -> Iterator[Connection]:
        in_force_at_write.append(version(keeper))
        with write() as connection:
            yield connection

    before = version(keeper)
    world.ledger.write = watched  # type: ignore[method-assign]  # to see when it is written
    keeper.request_reload()
    keeper.look()

    assert in_force_at_write[0] == before
    assert in_force_at_write[-1] == version(keeper) != before


def test_the_text_is_written_once_a_load_and_not_with_every_report(world: World) -> None:
    keeper = world.keeper()
    world.clock.advance(10)
    keeper.look()

    assert keeper._unremembered is None


def test_the_thread_follows_a_signal_at_once_and_ends_when_it_is_closed(world: World) -> None:
    reloaded = threading.Event()
    opened: list[Rules] = []

    def open_judge(rules: Rules) -> Judge:
        opened.append(rules)
        if len(opened) > 1:
            reloaded.set()
        return _judge(rules)

    keeper = world.keeper(open_judge)
    keeper._look_every_s = 600.0
    keeper.begin()
    world.write(STRICTER)
    keeper.request_reload()

    assert reloaded.wait(10)
    keeper.close()
    assert not any(thread.name == "rules-keeper" for thread in threading.enumerate())
    assert version(keeper) == opened[-1].version


def test_a_process_that_stops_says_so(world: World) -> None:
    keeper = world.keeper()
    assert world.reported().process == "triggered-1@host:4711"

    keeper.close()

    with world.ledger.read() as connection:
        assert in_force(connection) == []


def test_a_bug_in_one_look_does_not_end_the_looking(world: World, log_events: list[EventDict]) -> None:
    looked = threading.Event()
    opened: list[Rules] = []

    def open_judge(rules: Rules) -> Judge:
        opened.append(rules)
        if len(opened) == 2:
            keeper.request_reload()
            raise ZeroDivisionError
        if len(opened) == 3:
            looked.set()
        return _judge(rules)

    keeper = world.keeper(open_judge)
    keeper.begin()
    keeper.request_reload()

    assert looked.wait(10)
    keeper.close()
    assert {"event": "rules.look_failed", "error": "ZeroDivisionError", "log_level": "error"} in log_events
