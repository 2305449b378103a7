"""`clearance mail ...`, as an operator runs it: what became of letters, without their addresses; what is held."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Failed, Posted, Split
from clearance.mail_states import HeldReason
from tests.fakes import mail_owed
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import new_ledger
from tests.unit.workers.letters import AUTOMATION, Mail, people, recipient
from workers.cli import main
from workers.commands import mail as command
from workers.commands import mail_feedback, mail_held, mail_status

ANNA, BEN, CLEO, DORA = people("Anna", "Ben", "Cleo", "Dora")


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("CLEARANCE_BROKER_URL", "amqp://127.0.0.1:1/")  # no Redis, so nothing to connect to
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("LOGNAME", "ada")
    for module in (command, mail_feedback, mail_held, mail_status):
        monkeypatch.setattr(module, "utc_now", clock)
    yield made
    made.close()


@pytest.fixture
def mail(ledger: Ledger, clock: ManualClock) -> Mail:
    return Mail(ledger, clock)


def run(*arguments: str, answer: str = "") -> Result:
    result = CliRunner().invoke(main, arguments, input=answer)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(*arguments: str) -> str:
    """What is printed, with what stands in columns brought together."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return re.sub(r" {2,}", "  ", result.stdout)


def facts(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def states() -> dict[str, str]:
    """The state of each letter, by its id."""
    return {each["recipient_id"]: each["state"] for each in facts("mail", "list")}


@pytest.mark.parametrize(
    "arguments",
    [
        ("mail", "list"),
        ("mail", "batches"),
        ("mail", "held", "list"),
        ("mail", "failed", "list"),
        ("mail", "feedback", "list"),
        ("mail", "feedback", "list", "--state", "parked"),
    ],
)
def test_a_listing_with_nothing_in_it_says_so_and_is_an_empty_list_for_scripts(
    arguments: tuple[str, ...],
) -> None:
    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (0, "")
    assert re.search(r"there are no|no batch is held|no letter has|told nothing|no command is", result.stderr)
    assert facts(*arguments) == []


def test_letters_are_listed_newest_first_by_automation_state_and_time(mail: Mail, clock: ManualClock) -> None:
    anna, ben = mail.take(ANNA, BEN)
    clock.advance(60)
    (cleo,) = mail.take(CLEO, automation="other")
    clock.advance(60)
    mail.answered(Posted(vendor_id="rcp_1"), Failed(message="unknown street"))

    assert next(each["recipient_id"] for each in facts("mail", "list")) == cleo
    assert set(states()) == {anna, ben, cleo}
    listed = facts("mail", "list", "--automation", AUTOMATION, "--state", "failed")
    assert [(each["recipient_id"], each["reason"]) for each in listed] == [(ben, "ADDRESS_REFUSED")]
    since = facts("mail", "list", "--since", "2026-03-02T09:00:30")
    assert [each["recipient_id"] for each in since] == [cleo]
    assert "2 min 0 s ago" in told("mail", "list", "--state", "posted")


def test_a_page_names_where_the_next_one_begins(mail: Mail) -> None:
    mail.take(ANNA, BEN, CLEO)

    first = run("mail", "list", "--limit", "2", "--json")
    last = json.loads(first.stdout)[-1]["recipient_id"]

    assert f"--before {last}" in first.stderr
    rest = facts("mail", "list", "--limit", "2", "--before", last)
    assert {each["recipient_id"] for each in json.loads(first.stdout) + rest} == set(states())
    assert len(rest) == 1


def test_ids_in_a_narrow_terminal_are_whole(mail: Mail, monkeypatch: pytest.MonkeyPatch) -> None:
    (anna,) = mail.take(ANNA)
    monkeypatch.setenv("COLUMNS", "100")

    assert anna in told("mail", "list")


@pytest.mark.parametrize(
    "arguments",
    [("mail", "list"), ("mail", "batches"), ("mail", "show"), ("mail", "status"), ("mail", "held", "list")],
)
def test_no_address_is_shown_unless_it_is_asked_for(mail: Mail, arguments: tuple[str, ...]) -> None:
    (anna,) = mail.take(ANNA)
    named = (*arguments, anna) if arguments[-1] == "show" else arguments

    assert "Annaweg" not in run(*named).output
    assert "Annaweg" not in run(*named, "--json").output


def test_the_story_of_a_letter_goes_from_its_receipt_to_what_bloomreach_is_told(
    mail: Mail, clock: ManualClock
) -> None:
    anna, ben = mail.take(ANNA, BEN)
    clock.advance(30)
    batch = mail.answered(Posted(vendor_id="rcp_1"), Failed(message="unknown street"))

    posted, failed = told("mail", "show", anna), told("mail", "show", ben, "--address")

    assert f"letter {anna} of automation {AUTOMATION}: posted" in posted
    assert "customer: registered anna@example.com" in posted
    assert "received 2026-03-02 09:00:00.000 UTC (30.3 s ago), trace t-q" in posted
    assert f"batch {batch.batch_id}, letter 1 of 2: sent" in posted
    assert "answered after 0.300 s with 200, request req-1" in posted
    assert "Optilyz' id is rcp_1" in posted
    assert "Bloomreach, customers/events: open since" in posted
    assert "ADDRESS_REFUSED: unknown street" in failed
    assert "Bloomreach, customers: open since" in failed
    assert "address1: Benweg 1" in failed
    assert facts("mail", "show", ben, "--address")["address"]["city"] == "Berlin"


def test_the_story_of_a_letter_says_where_it_waits_was_cut_and_was_split_from(
    mail: Mail, ledger: Ledger, clock: ManualClock
) -> None:
    anna, *_ = mail.take(ANNA, BEN)
    assert "gathering, leaves in 30.0 s" in told("mail", "show", anna)
    mail.take(CLEO)
    assert "ready, leaves when a slot is free" in told("mail", "show", anna)
    whole = mail_owed.begun(ledger, now=clock())
    assert f"batch {whole.batch_id}, letter 1 of 3: sent" in told("mail", "show", anna)
    assert mail_owed.settle(ledger, whole, Split(error="refused", status=422), now=clock.advance(1))
    assert f"split from batch {whole.batch_id}, of 3: sent" in told("mail", "show", anna)
    assert "not posted yet" in told("mail", "show", anna)

    part = next(each for each in facts("mail", "show", anna)["batches"] if each["state"] == "ready")
    while mail.held().batch_id != part["batch_id"]:
        pass

    cut = told("mail", "show", anna)
    assert f"batch {part['batch_id']}, letter 1 of {part['letters']}: sent" in cut
    assert "ended without an answer after 20.000 s" in cut
    assert f"clearance mail held resolve {part['batch_id']}" in cut
    run("mail", "held", "resolve", part["batch_id"], "--posted", "--yes", "--why", "x")
    assert "ada said so" in told("mail", "show", anna)


def test_a_letter_that_is_not_known_is_an_error_for_scripts() -> None:
    result = run("mail", "show", "nobody")

    assert (result.exit_code, result.stderr) == (1, "no letter is called nobody\n")


def test_batches_are_listed_with_what_was_posted_and_what_failed(mail: Mail, clock: ManualClock) -> None:
    mail.take(ANNA, BEN)
    clock.advance(30)
    mail.answered(Posted(vendor_id="rcp_1"), Failed(message="unknown street"))
    mail.take(CLEO)

    gathering, posted = facts("mail", "batches")

    assert (gathering["state"], gathering["letters"]) == ("gathering", 1)
    assert (posted["state"], posted["posted"], posted["failed"]) == ("posted", 1, 1)
    assert [each["state"] for each in facts("mail", "batches", "--state", "gathering")] == ["gathering"]
    assert facts("mail", "batches", "--automation", "other") == []


def test_the_status_counts_by_automation_and_state_and_tells_what_waits_for_whom(
    mail: Mail, clock: ManualClock
) -> None:
    mail.take(ANNA, BEN, CLEO)
    mail.held()
    mail.take(DORA, automation="other")
    mail.take(DORA, automation="other", is_dry_run=True)
    clock.advance(5)
    run("lanes", "pause", "mail", "--why", "wrong print")

    status = facts("mail", "status")
    shown = told("mail", "status")

    assert (status["waiting"], status["oldest_waiting_s"]) == (1, 5.0)
    assert (status["held_batches"], status["held_letters"]) == (1, 3)
    assert (status["slots_in_use"], status["slots"]) == (None, 2)
    assert [(each["lane"], each["why"]) for each in status["paused"]] == [("mail", "wrong print")]
    counted = {(each["automation_id"], each["is_dry_run"]): each["letters"] for each in status["automations"]}
    assert counted[AUTOMATION, False]["held"] == 3
    assert counted["other", False]["queued"] == counted["other", True]["queued"] == 1
    assert "PAUSED: mail" in shown
    assert "letters waiting: 1, the oldest received 5.0 s ago" in shown
    assert "batches held: 1, letters in them: 3, the oldest since 5.0 s ago" in shown
    assert "requests under way: not known (no Redis, or it does not answer), of 2 at most" in shown
    assert "DRY RUN" not in shown


def test_a_deployment_that_posts_nothing_says_so_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARANCE_MAIL_DRY_RUN", "true")

    assert told("mail", "status").startswith("DRY RUN: no letter is posted")
    assert facts("mail", "status")["is_dry_run"] is True


def test_a_held_batch_is_listed_with_what_it_means_and_the_way_out(mail: Mail, clock: ManualClock) -> None:
    mail.take(ANNA, BEN, CLEO)
    batch = mail.held()
    clock.advance(3_600)

    shown = run("mail", "held", "list")

    (held,) = facts("mail", "held", "list")
    assert (held["batch_id"], held["letters"], held["held_s"]) == (batch.batch_id, 3, 3_600.0)
    assert "Optilyz may have the letters" in held["meaning"]
    assert batch.batch_id in shown.stdout
    assert "MAY_HAVE_ARRIVED" in shown.stdout
    assert "clearance mail held resolve ID" in shown.stderr


@pytest.mark.parametrize(
    ("how", "letters", "batch_state", "risk"),
    [
        ("--posted", "posted", "posted", "if Optilyz does not have them, they are never printed"),
        (
            "--repost",
            "queued",
            "ready",
            "if Optilyz has them, they are printed and paid for twice",
        ),
        ("--drop", "dropped", "dropped", "if Optilyz has them, they are printed all the same"),
    ],
)
def test_a_person_decides_about_a_held_batch_after_hearing_what_it_risks(
    mail: Mail, how: str, letters: str, batch_state: str, risk: str
) -> None:
    mail.take(ANNA, BEN, CLEO)
    batch_id = mail.held().batch_id

    result = run("mail", "held", "resolve", batch_id, how, "--why", "asked Optilyz", answer="y\n")

    assert result.exit_code == 0, result.output
    assert f"batch {batch_id} of automation {AUTOMATION}, letters: 3" in result.stderr
    assert f"risk: {risk}" in result.stderr
    assert set(states().values()) == {letters}
    assert [each["state"] for each in facts("mail", "batches")] == [batch_state]
    (action,) = facts("audit", "--subject", batch_id)
    assert (action["who"], action["count"], action["why"]) == ("ada", 3, "asked Optilyz")
    assert how.strip("-") in action["action"]


def test_nothing_happens_until_the_operator_says_yes(mail: Mail) -> None:
    mail.take(ANNA, BEN, CLEO)
    batch_id = mail.held().batch_id

    for answer in ("n\n", ""):
        result = run("mail", "held", "resolve", batch_id, "--repost", "--why", "x", answer=answer)
        assert result.exit_code == 1

    assert set(states().values()) == {"held"}
    assert facts("audit") == []


def test_a_batch_is_resolved_once_and_the_second_operator_is_told_by_whom(mail: Mail) -> None:
    mail.take(ANNA, BEN, CLEO)
    batch_id = mail.held().batch_id
    resolve = ("mail", "held", "resolve", batch_id, "--yes", "--why", "x")

    assert json.loads(run(*resolve, "--drop", "--json").stdout)["letters"] == 3
    second = run(*resolve, "--repost")

    assert second.exit_code == 1
    assert "ada resolved it as drop" in second.stderr
    assert set(states().values()) == {"dropped"}


def test_what_was_certainly_not_posted_is_not_said_to_be_printed_twice(mail: Mail) -> None:
    mail.take(ANNA, BEN, CLEO)
    batch_id = mail.held(HeldReason.AUTOMATION_UNKNOWN).batch_id

    result = run("mail", "held", "resolve", batch_id, "--repost", "--why", "x", answer="n\n")

    assert "none is printed twice" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("unknown", "--drop", "--why", "x"), 1, "no batch is called unknown"),
        (("unknown", "--why", "x"), 2, "--posted, --repost or --drop"),
        (("unknown", "--drop"), 2, "--why"),
        (("unknown", "--drop", "--why", " "), 2, "must be 1 to 500 characters"),
    ],
)
def test_what_cannot_be_resolved_is_said(arguments: tuple[str, ...], code: int, words: str) -> None:
    result = run("mail", "held", "resolve", *arguments)

    assert result.exit_code == code
    assert words in result.stderr


def test_a_batch_that_is_not_held_is_left_alone(mail: Mail) -> None:
    mail.take(ANNA)
    (batch,) = facts("mail", "batches")

    result = run("mail", "held", "resolve", batch["batch_id"], "--drop", "--yes", "--why", "x")

    assert result.exit_code == 1
    assert "is gathering, not held" in result.stderr
    assert set(states().values()) == {"queued"}


def test_what_bloomreach_is_told_is_counted_by_state_and_listed_without_whom_it_is_about(
    mail: Mail, clock: ManualClock
) -> None:
    (anna,) = mail.take(ANNA)
    clock.advance(30)
    mail.answered(Failed(message="unknown street"))
    clock.advance(10)

    (count,) = facts("mail", "feedback", "list")
    listed = facts("mail", "feedback", "list", "--state", "open")

    assert (count["state"], count["commands"]) == ("open", 2)
    assert "10.0 s ago" in told("mail", "feedback", "list")
    assert {each["about"] for each in listed} == {anna}
    assert sorted(each["name"] for each in listed) == ["customers", "customers/events"]
    assert "anna@example.com" not in run("mail", "feedback", "list", "--state", "open").output


def test_a_terminals_control_characters_in_what_optilyz_said_have_no_effect(
    mail: Mail, clock: ManualClock
) -> None:
    (dora,) = mail.take(recipient("Dora"))
    clock.advance(30)
    mail.answered(Failed(message="\x1b[2Jgone"))

    assert "\x1b" not in run("mail", "show", dora).output
    assert "\x1b" not in run("mail", "failed", "list").output
