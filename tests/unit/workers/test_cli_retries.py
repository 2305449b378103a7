"""`clearance retries ...`, as an operator runs it: what waits, how much time is left, and what is done about it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clearance.ledger import lane_pauses
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.obligations import Lane, MissedReason, Parked
from tests.fakes.clock import START, ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.owed import accept, claimed, finish, notification, obligation, owe, row
from tests.unit.workers.letters import Mail, people
from workers.cli import main
from workers.commands import audit, retries, retries_acts

_WHY = ("--yes", "--why", "key mended")


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LOGNAME", "ada")
    for module in (retries, retries_acts, audit):
        monkeypatch.setattr(module, "utc_now", clock)
    yield made
    made.close()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def facts(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def park(ledger: Ledger, *names: str, deadline_s: float = 3_600) -> None:
    for name in names:
        accept(ledger, notification(name, deadline_at=START + timedelta(seconds=deadline_s)))
        held = claimed(ledger, name)
        finish(ledger, held, Parked(reason="VendorCredentialsRefused", error="optimove: 401 refused"))


def test_nothing_waits_in_an_empty_ledger() -> None:
    assert "nothing waits" in run("retries", "list").stderr
    assert facts("retries", "list") == {"items": [], "counts": []}
    assert run("retries", "show", "nothing").exit_code == 1
    told = run("retries", "replay", "--all-matching")
    assert (told.exit_code, told.stdout) == (1, "nothing is meant by that\n")


def test_what_waits_is_listed_with_the_time_it_has_left_and_counted(
    ledger: Ledger, clock: ManualClock
) -> None:
    park(ledger, "b", "c")
    park(ledger, "a", deadline_s=90)
    owe(
        ledger,
        obligation("missed", deadline_at=START - timedelta(seconds=1), missed=MissedReason.NO_TIME_LEFT),
    )
    clock.advance(30)

    told = run("retries", "list", "--limit", "2").stdout

    assert "in 1 min 0 s" in told
    assert "shown: 2 of 4 (--limit)" in told
    assert "3      triggered  parked  VendorCredentialsRefused" in told
    listed = facts("retries", "list", "--state", "parked")
    assert [(each["id"], each["left_s"]) for each in listed["items"]] == [("a", 60), ("b", 3570), ("c", 3570)]
    assert listed["counts"][0]["items"] == 3
    assert [each["id"] for each in facts("retries", "list", "--lane", "mail")["items"]] == []


def test_in_a_narrow_terminal_the_rest_of_a_row_stands_below_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(ledger, "groups.review:01a200fae458d05fafddcc5ecdc377d5:1:12", deadline_s=90)
    monkeypatch.setenv("COLUMNS", "80")

    lines = run("retries", "list").stdout.splitlines()

    assert lines[0].split() == ["id", "lane", "left"]
    assert lines[1].split("  ") == [
        "groups.review:01a200fae458d05fafddcc5ecdc377d5:1:12",
        "triggered",
        "in 1 min 30 s",
    ]
    assert lines[2] == "  state parked, reason VendorCredentialsRefused, attempts 1, since 09:00:00,"
    assert lines[3] == "    error optimove: 401 refused"
    assert max(len(line) for line in lines) <= 80


def test_into_a_file_nothing_is_folded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    park(ledger, "a")
    monkeypatch.delenv("COLUMNS")

    (line,) = [each for each in run("retries", "list").stdout.splitlines() if each.startswith("a ")]

    assert line.split()[-3:] == ["optimove:", "401", "refused"]


def test_one_is_shown_with_what_can_be_done_about_it(ledger: Ledger, clock: ManualClock) -> None:
    park(ledger, "a", deadline_s=90)

    shown = run("retries", "show", "a")

    assert "last error: optimove: 401 refused" in shown.stdout
    assert "in 1 min 30 s" in shown.stdout
    assert "clearance retries replay a" in shown.stderr
    clock.advance(90)
    assert "nothing can be sent: clearance retries discard a" in run("retries", "show", "a").stderr


def test_a_replay_says_first_what_it_would_do_and_does_it_with_yes(
    ledger: Ledger, clock: ManualClock
) -> None:
    park(ledger, "a", "b", "c")
    park(ledger, "late", deadline_s=5)
    clock.advance(10)

    planned = run("retries", "replay", "--all-matching", "--rate", "2")

    assert planned.stdout == "3 would be sent, 1 are past their deadline\n"
    assert "the last would get its turn in 1.0 s" in planned.stderr
    assert row(ledger, "a").state == "parked"
    assert facts("audit") == []
    done = run("retries", "replay", "--all-matching", "--rate", "2", *_WHY)
    assert done.stdout == "3 will be sent, 1 are past their deadline; the last gets its turn in 1.0 s\n"
    assert {row(ledger, name).state for name in "abc"} == {"open"}
    (kept,) = facts("audit")
    assert (kept["action"], kept["subject"], kept["count"]) == ("retries.replay", "all", 3)
    assert (kept["who"], kept["why"]) == ("ada", "key mended")


def test_a_replay_by_ids_is_told_and_shown_with_who_did_it(ledger: Ledger) -> None:
    park(ledger, "a", "b")

    assert facts("retries", "replay", "a", "x", *_WHY) == {
        "is_done": True,
        "sent": 1,
        "not_on_desk": 1,
        "last_turn_in_s": 0.0,
    }

    assert row(ledger, "b").state == "parked"
    assert "retries.replay by ada" in run("retries", "show", "a").stdout
    assert facts("audit")[0]["subject"] == "a and 1 more"


def test_who_replays_what_a_paused_lane_owes_is_told_that_it_waits(ledger: Ledger) -> None:
    park(ledger, "a")
    pause = LanePause(lane=Lane.TRIGGERED, paused_at=START, paused_by="ada", reason="x")
    with ledger.write() as connection:
        lane_pauses.pause(connection, pause)

    assert "triggered is paused" in run("retries", "replay", "a", *_WHY).stderr


def test_hold_and_discard_say_first_what_they_would_do(ledger: Ledger, clock: ManualClock) -> None:
    park(ledger, "a")
    owe(ledger, obligation("b"))

    assert run("retries", "hold", "b").stdout == "1 would be held\n"
    assert run("retries", "hold", "a", "b", *_WHY).stdout == "1 are held, 1 are parked already\n"
    assert facts("retries", "list", "--state", "held")["items"][0]["reason"] == "HELD_BY_OPERATOR"
    assert run("retries", "discard", "a").stdout == "1 would be discarded\n"
    clock.advance(1)
    assert run("retries", "discard", "--all-matching", "--lane", "triggered", *_WHY).exit_code == 0
    assert facts("retries", "list")["items"] == []
    assert [(each["action"], each["subject"], each["count"]) for each in facts("audit")] == [
        ("retries.discard", "lane=triggered", 2),
        ("retries.hold", "a and 1 more", 1),
    ]


def test_a_held_batch_of_letters_names_the_command_that_decides_about_it(
    ledger: Ledger, clock: ManualClock
) -> None:
    mail = Mail(ledger, clock)
    mail.take(*people("Anna", "Ben", "Carl"))
    batch = mail.held().batch_id

    (listed,) = facts("retries", "list", "--state", "held")["items"]

    assert (listed["id"], listed["lane"], listed["deadline_at"]) == (batch, "mail", None)
    assert listed["next_step"].startswith(f"clearance mail held resolve {batch}")
    assert "need a decision (clearance mail held resolve)" in run("retries", "replay", batch).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a", "--all-matching"),
        ("a", "--lane", "mail"),
        ("a", "--yes"),
        ("a", "--rate", "0"),
        ("--all-matching", "--state", "done"),
    ],
)
def test_a_replay_of_nobody_knows_what_is_refused(arguments: tuple[str, ...]) -> None:
    assert run("retries", "replay", *arguments).exit_code == 2
    assert facts("audit") == []
