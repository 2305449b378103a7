"""`clearance lanes ...` and `clearance audit`, as an operator runs them: what is to be done, and who stopped it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clearance.ledger.engine import Ledger
from clearance.obligations import Done
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.owed import claimed, finish, obligation, owe
from tests.unit.workers.letters import Mail, people
from workers.cli import main
from workers.commands import audit, lanes


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LOGNAME", "ada")
    for module in (lanes, audit):
        monkeypatch.setattr(module, "utc_now", clock)
    yield made
    made.close()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def facts(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def lane(name: str) -> dict[str, Any]:
    (found,) = [each for each in facts("lanes", "list") if each["lane"] == name]
    return dict(found)


def test_every_lane_is_listed_also_without_work() -> None:
    listed = facts("lanes", "list")

    assert [each["lane"] for each in listed] == ["triggered", "review", "submit", "mail", "track"]
    assert {each["due"] + each["later"] + each["running"] + each["overdue"] for each in listed} == {0}
    assert "triggered" in run("lanes", "list").stdout


def test_a_lane_tells_what_is_due_planned_under_way_and_overdue(ledger: Ledger, clock: ManualClock) -> None:
    Mail(ledger, clock).take(*people("Anna"))  # leaves in 30 seconds
    owe(ledger, obligation("a"), obligation("b"))
    claimed(ledger, "a")
    clock.advance(1)

    assert (lane("mail")["due"], lane("mail")["later"]) == (0, 1)
    triggered = lane("triggered")
    assert (triggered["due"], triggered["oldest_due_s"], triggered["running"]) == (1, 1.0, 1)
    clock.advance(600)
    assert lane("triggered")["overdue"] == 2
    assert (lane("mail")["due"], lane("mail")["overdue"]) == (1, 0)


def test_a_lane_is_paused_and_resumed_and_the_audit_says_by_whom_and_why(clock: ManualClock) -> None:
    assert "mail is paused" in run("lanes", "pause", "mail", "--why", "wrong print").stdout
    paused = lane("mail")
    assert (paused["paused_by"], paused["why"]) == ("ada", "wrong print")
    assert "wrong print" in run("lanes", "list").stdout
    clock.advance(60)

    assert "mail is resumed" in run("lanes", "resume", "mail", "--why", "mended").stdout
    assert lane("mail")["paused_at"] is None

    assert [(each["action"], each["subject"], each["who"], each["why"]) for each in facts("audit")] == [
        ("lanes.resume", "mail", "ada", "mended"),
        ("lanes.pause", "mail", "ada", "wrong print"),
    ]


def test_in_a_narrow_terminal_who_paused_a_lane_stands_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run("lanes", "pause", "mail", "--why", "the printer asked us to stop until tomorrow")

    header, *_, mail, paused, rest, track = run("lanes", "list").stdout.splitlines()

    assert header.split() == ["lane", "due", "oldest", "later", "running", "overdue", "deadline"]
    assert (mail.split()[0], track.split()[0]) == ("mail", "track")
    assert paused == "  paused 09:00:00, in 0.0 s, by ada, why the printer asked us to stop until"
    assert rest == "    tomorrow"


def test_the_first_pause_stands_and_what_is_so_already_is_no_action() -> None:
    run("lanes", "pause", "track", "--why", "first")

    again = run("lanes", "pause", "track", "--why", "second")

    assert (again.exit_code, again.stdout) == (0, "")
    assert "paused already" in again.stderr
    assert "first" in again.stderr
    run("lanes", "resume", "track")
    assert "track is not paused" in run("lanes", "resume", "track").stderr
    assert len(facts("audit")) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "letters", "--why", "x"),
        ("pause", "mail"),
        ("drain", "mail"),
        ("pause", "mail", "--why", "a\nb"),
        ("resume", "x"),
    ],
)
def test_an_unknown_lane_and_a_pause_without_a_reason_are_refused(
    arguments: tuple[str, ...],
) -> None:
    assert run("lanes", *arguments).exit_code == 2
    assert facts("audit") == []


def test_the_audit_is_of_one_subject_from_a_time_on_and_says_when_there_is_nothing(
    clock: ManualClock,
) -> None:
    run("lanes", "pause", "mail", "--why", "x")
    clock.advance(3_600)
    run("lanes", "pause", "track", "--why", "y")

    assert [each["subject"] for each in facts("audit", "--subject", "mail")] == ["mail"]
    assert [each["subject"] for each in facts("audit", "--since", "2026-03-02T09:30:00")] == ["track"]
    assert [each["subject"] for each in facts("audit", "--limit", "1")] == ["track"]
    assert "1 h 0 min ago" in run("audit").stdout
    assert "operators did no such thing" in run("audit", "--subject", "nothing").stderr


def test_who_pauses_a_lane_that_answers_by_a_deadline_is_told_what_it_costs(ledger: Ledger) -> None:
    owe(ledger, obligation("a"), obligation("b"))

    told = run("lanes", "pause", "triggered", "--why", "wrong rules").stderr

    assert "the nearest of 2 is over in 5.0 s" in told
    assert "missed" not in run("lanes", "pause", "mail", "--why", "wrong print").stderr
    assert lane("triggered")["next_deadline_at"] == "2026-03-02T09:00:05.000+00:00"


def test_a_lane_is_drained_once_nothing_of_it_is_under_way_and_stays_paused(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    owe(ledger, obligation("a"), obligation("waits"))
    held = claimed(ledger, "a", lease=timedelta(minutes=5))
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)
        if len(slept) == 4:
            finish(ledger, held, Done(), now=clock())

    monkeypatch.setattr(lanes, "sleep", sleep)

    drained = run("lanes", "drain", "triggered", "--why", "upgrade")

    assert (drained.exit_code, len(slept)) == (0, 6)
    assert "under way: 1" in drained.stderr
    assert "triggered is drained" in drained.stdout
    assert (lane("triggered")["due"], lane("triggered")["why"]) == (1, "upgrade")
    assert [each["action"] for each in facts("audit")] == ["lanes.drain"]


def test_a_lane_that_is_not_drained_in_time_shows_what_is_under_way(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    owe(ledger, obligation("slow"), obligation("dead"))
    claimed(ledger, "slow", lease=timedelta(minutes=5))
    claimed(ledger, "dead")
    monkeypatch.setattr(lanes, "sleep", clock.advance)

    drained = run("lanes", "drain", "triggered", "--why", "upgrade", "--timeout", "30")

    assert drained.exit_code == 1
    assert "not drained after 30 s, under way: 1" in drained.stderr
    (slow,) = [line for line in drained.stdout.splitlines() if line.startswith("slow")]
    (dead,) = [line for line in drained.stdout.splitlines() if line.startswith("dead")]
    assert ("at it" in slow, "gone" in dead) == (True, True)
