"""`clearance rules show` says what every process decides by, and `reload` sees that every one follows."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.typing import EventDict

from clearance.checks.judge import Judge
from clearance.decisions.engine import Engine
from clearance.decisions.rules import Rules
from clearance.ledger import operator_actions
from clearance.ledger.rule_sets import newest_reload
from tests.fakes.clock import ManualClock
from tests.fakes.metrics import RecordingMetrics
from tests.unit.workers.rules_cli import RULES, RulesCli, rules_cli
from workers.commands import rules_fleet
from workers.rules_keeper import RulesKeeper

STRICTER = RULES.replace("age >= 18", "age >= 21")


@pytest.fixture(autouse=True)
def _quiet(log_events: list[EventDict]) -> None:
    """The keepers' logs are not what is printed."""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RulesCli]:
    made = rules_cli(tmp_path, monkeypatch)
    yield made
    made.ledger.close()


class Fleet:
    """Processes whose looks happen while the command sleeps."""

    def __init__(self, cli: RulesCli, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self._cli = cli
        self.clock = clock
        self.looking: list[RulesKeeper] = []
        self.slept = 0
        self.also: Callable[[], object] = lambda: None
        monkeypatch.setattr(rules_fleet, "utc_now", clock)
        monkeypatch.setattr(rules_fleet, "monotonic", lambda: clock().timestamp())
        monkeypatch.setattr(rules_fleet, "sleep", self._sleep)

    def start(self, number: int, path: str = "rules.toml", *, looks: bool = True) -> RulesKeeper:
        keeper = RulesKeeper(
            path,
            open_judge=_judge,
            ledger=self._cli.ledger,
            process=f"triggered@host:{number}",
            lane="triggered",
            look_every_s=2.0,
            clock=self.clock,
            metrics=RecordingMetrics(),
        )
        if looks:
            self.looking.append(keeper)
        return keeper

    def _sleep(self, seconds: float) -> None:
        self.slept += 1
        self.clock.advance(seconds)
        self.also()
        for keeper in self.looking:
            keeper.look()


def _judge(rules: Rules) -> Judge:
    return Judge(Engine(rules), {})


@pytest.fixture
def fleet(cli: RulesCli, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return Fleet(cli, clock, monkeypatch)


def version(keeper: RulesKeeper) -> str:
    return keeper.judge.engine.rules.version


def states(found: list[dict[str, object]]) -> dict[object, object]:
    return {each["process"]: each["state"] for each in found}


def asked(cli: RulesCli) -> int:
    with cli.ledger.read() as connection:
        return newest_reload(connection)


def test_every_process_is_shown_with_what_it_has_in_force(cli: RulesCli, fleet: Fleet) -> None:
    first = fleet.start(1)
    fleet.start(2)

    found = cli.json("show")

    assert found[0] == {
        "process": "triggered@host:1",
        "lane": "triggered",
        "version": version(first),
        "loaded_at": "2026-03-02T09:00:00.000+00:00",
        "seen_at": "2026-03-02T09:00:00.000+00:00",
        "state": "in force",
        "problem": None,
    }


def test_a_person_is_told_how_long_ago_on_one_line_a_process(
    cli: RulesCli, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    keeper = fleet.start(1)
    fleet.clock.advance(7300)
    keeper.look()
    fleet.clock.advance(3)

    assert [line.split() for line in cli.done("show").splitlines()] == [
        ["process", "lane", "version", "loaded", "seen", "state"],
        ["triggered@host:1", "triggered", version(keeper), "2", "h", "ago", "3", "s", "ago", "in", "force"],
    ]


def test_a_process_that_is_silent_or_has_refused_a_file_is_marked(cli: RulesCli, fleet: Fleet) -> None:
    fleet.start(1)
    broken = fleet.start(2)
    cli.write("rules.toml", "nonsense")
    fleet.clock.advance(30)
    broken.request_reload()
    broken.look()

    assert states(cli.json("show")) == {
        "triggered@host:1": "in force",
        "triggered@host:2": "refused a newer file",
    }

    fleet.clock.advance(0.5)
    found = cli.json("show")
    assert states(found)["triggered@host:1"] == "silent"
    assert "\ntriggered@host:2 refused at 2026-03-02T09:00:30.000+00:00: rules.toml:1: " in cli.done("show")
    assert "rules.toml:1: " in found[1]["problem"]


def test_without_processes_that_is_said(cli: RulesCli) -> None:
    assert cli.json("show") == []
    assert cli.run("show").stderr == "no process has said which rules it has in force\n"


def test_the_file_of_a_version_is_printed_as_it_was_read(cli: RulesCli, fleet: Fleet) -> None:
    keeper = fleet.start(1)
    cli.write("rules.toml", STRICTER)

    assert cli.done("show", version(keeper)) == RULES
    assert cli.json("show", version(keeper)) == {"version": version(keeper), "text": RULES}


def test_a_version_that_nobody_decided_by_is_told(cli: RulesCli) -> None:
    (told,) = cli.refused("show", "abc")

    assert told == "the ledger knows no version `abc`"


def test_a_changed_file_is_in_force_everywhere_when_reload_ends(cli: RulesCli, fleet: Fleet) -> None:
    keepers = [fleet.start(1), fleet.start(2)]
    cli.write("rules.toml", STRICTER)

    found = cli.json("reload")

    assert states(found["processes"]) == {"triggered@host:1": "in force", "triggered@host:2": "in force"}
    assert {found["version"]} == {version(keeper) for keeper in keepers}
    assert fleet.slept == 1


def test_a_reload_of_a_file_that_has_not_changed_is_seen_through_as_well(cli: RulesCli, fleet: Fleet) -> None:
    keeper = fleet.start(1)

    told = cli.done("reload")

    assert told.splitlines()[-1] == f"version {version(keeper)}: 1 in force"
    assert fleet.slept == 1


def test_a_file_with_mistakes_is_asked_of_nobody(cli: RulesCli, fleet: Fleet) -> None:
    fleet.start(1)
    cli.write("rules.toml", RULES.replace("country in", "county in"))

    (told,) = cli.refused("reload")

    assert told.startswith("rules.toml:7: ")
    assert asked(cli) == 0


def test_a_process_that_says_nothing_ends_with_1_when_the_time_is_up(cli: RulesCli, fleet: Fleet) -> None:
    fleet.start(1)
    fleet.start(2, looks=False)
    cli.write("rules.toml", STRICTER)

    result = cli.run("reload", "--wait-s", "3", "--json")

    assert result.exit_code == 1
    assert states(json.loads(result.stdout)["processes"]) == {
        "triggered@host:1": "in force",
        "triggered@host:2": "says nothing",
    }
    assert fleet.slept == 15


def test_a_regular_report_is_not_taken_for_an_answer(cli: RulesCli, fleet: Fleet) -> None:
    keeper = fleet.start(1, looks=False)
    fleet.also = keeper._report

    result = cli.run("reload", "--wait-s", "3")

    assert result.exit_code == 1
    assert "1 says nothing" in result.stdout


def test_a_process_that_refuses_its_file_ends_with_1_and_says_why(cli: RulesCli, fleet: Fleet) -> None:
    cli.write("other.toml", RULES)
    fleet.start(1)
    fleet.start(2, "other.toml")
    cli.write("other.toml", "nonsense")

    result = cli.run("reload", "--json")

    assert result.exit_code == 1
    found = json.loads(result.stdout)["processes"]
    assert states(found) == {"triggered@host:1": "in force", "triggered@host:2": "refused"}
    assert "other.toml:1: " in found[1]["problem"]
    assert fleet.slept == 1


def test_a_process_whose_host_has_another_file_ends_with_1(cli: RulesCli, fleet: Fleet) -> None:
    cli.write("other.toml", RULES)
    fleet.start(1)
    fleet.start(2, "other.toml")
    cli.write("rules.toml", STRICTER)

    result = cli.run("reload", "--json")

    assert result.exit_code == 1
    assert states(json.loads(result.stdout)["processes"])["triggered@host:2"] == "has another file"


def test_a_process_that_is_long_gone_is_not_waited_for(cli: RulesCli, fleet: Fleet) -> None:
    fleet.start(1, looks=False)
    fleet.clock.advance(31)
    fleet.start(2)

    assert states(cli.json("reload")["processes"]) == {"triggered@host:2": "in force"}


def test_a_process_that_starts_meanwhile_is_shown(cli: RulesCli, fleet: Fleet) -> None:
    fleet.start(1)
    fleet.also = lambda: fleet.start(2) if len(fleet.looking) == 1 else None

    assert len(cli.json("reload")["processes"]) == 2


def test_with_nobody_there_the_request_is_made_all_the_same(cli: RulesCli, fleet: Fleet) -> None:
    result = cli.run("reload")

    assert result.exit_code == 0
    assert result.stderr == "asked; no process is there to follow\n"
    assert asked(cli) == 1


def test_with_no_time_to_wait_it_only_asks(cli: RulesCli, fleet: Fleet) -> None:
    keeper = fleet.start(1)

    assert cli.done("reload", "--wait-s", "0") == f"asked for {version(keeper)}\n"
    assert asked(cli) == 1
    assert fleet.slept == 0
    with cli.ledger.read() as connection:
        (deed,) = operator_actions.listed(connection)
    assert (deed.action, deed.subject) == ("rules.reload", version(keeper))


@pytest.mark.parametrize("command", ["show", "reload"])
def test_a_ledger_that_is_away_is_told_in_one_line(
    cli: RulesCli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{cli.directory / 'empty.db'}")

    (told,) = cli.refused(command)

    assert told.startswith("ledger: OperationalError: check CLEARANCE_LEDGER_URL")
