"""`clearance mail failed ...`, `clearance suppressions addresses ...`: whose address to check, and who gets nothing."""

import csv
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Failed, Posted
from tests.fakes.clock import START, ManualClock
from tests.fakes.ledgers import new_ledger
from tests.unit.workers.letters import AUTOMATION, Mail, people, recipient, with_street
from workers.cli import main
from workers.commands.mail_csv import harmless

ANNA, BEN = people("Anna", "Ben")
REFUSAL = "zipCode: required"


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("LOGNAME", "ada")
    yield made
    made.close()


@pytest.fixture
def mail(ledger: Ledger, clock: ManualClock) -> Mail:
    return Mail(ledger, clock)


@pytest.fixture
def failed(mail: Mail, clock: ManualClock) -> str:
    """The id of Ben's letter, which Optilyz refused; Anna's was posted, and somebody was refused at the door."""
    _, ben, _ = mail.take(ANNA, BEN, REFUSAL)
    clock.advance(30)
    mail.answered(Posted(vendor_id="rcp_1"), Failed(message="unknown street"))
    return ben


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def facts(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def exported(*arguments: str) -> list[dict[str, str]]:
    result = run("mail", "failed", "export", "--csv", *arguments)
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_what_failed_is_listed_with_the_reason_and_without_the_address(failed: str) -> None:
    listed = facts("mail", "failed", "list")

    assert [(each["state"], each["reason"], each["error"]) for each in listed] == [
        ("failed", "ADDRESS_REFUSED", "unknown street"),
        ("refused", "ADDRESS_INCOMPLETE", REFUSAL),
    ]
    assert failed in run("mail", "failed", "list").stdout
    assert "Benweg" not in run("mail", "failed", "list").output


def test_the_export_has_the_address_the_customer_and_the_reason(failed: str) -> None:
    ben, refused = exported()

    assert (ben["recipient_id"], ben["automation_id"], ben["state"]) == (failed, AUTOMATION, "failed")
    assert (ben["reason"], ben["error"]) == ("ADDRESS_REFUSED", "unknown street")
    assert (ben["customer_registered"], ben["customer_cookie"]) == ("ben@example.com", "")
    assert (ben["fullName"], ben["address1"], ben["zipCode"]) == ("Ben", "Benweg 1", "10115")
    assert ben["failed_at"].startswith("2026-03-02T09:00:30.3")
    assert (refused["error"], refused["address1"]) == (REFUSAL, "")
    assert not [name for name in ben if name.startswith("individualisation")]


def test_the_export_can_be_of_one_automation_or_from_a_time_on(failed: str) -> None:
    assert failed
    assert exported("--automation", "other") == []
    assert exported("--since", "2026-03-02T09:00:01") == []
    assert len(exported("--since", START.isoformat(), "--automation", AUTOMATION)) == 2


def test_an_id_of_a_kind_that_the_settings_do_not_name_any_more_is_not_lost(
    failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARANCE_OPTILYZ_ID_FIELDS", "individualisation9=loyalty")

    ben, _ = exported()

    assert failed
    assert (ben["customer_loyalty"], ben["customer_other"]) == ("", "registered=ben@example.com")


def test_a_file_of_addresses_is_for_its_owner_alone_and_replaces_none(failed: str, tmp_path: Path) -> None:
    path = tmp_path / "failed.csv"

    first = run("mail", "failed", "export", "--output", str(path))
    second = run("mail", "failed", "export", "--output", str(path))

    assert (first.exit_code, second.exit_code) == (0, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "exported 2 letters, 1 without an address" in first.stderr
    assert "is not overwritten" in second.stderr
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    assert rows[0]["recipient_id"] == failed


def test_an_export_is_in_the_audit_with_how_many_and_without_whom(failed: str) -> None:
    assert failed
    exported()

    (action,) = facts("audit")

    assert (action["who"], action["action"], action["subject"]) == ("ada", "mail.failed.export", "all")
    assert action["count"] == 2


@pytest.mark.parametrize("cell", ["=1+1", "+49", "-1", "@x", "\t=1", "\r=1", " =1", "\uff1d1"])
def test_no_cell_is_a_formula_to_a_spreadsheet(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "Anna", "5-7", "a=b", "'=1"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert harmless(cell) == cell


def test_an_address_that_begins_like_a_formula_is_exported_harmlessly(mail: Mail, clock: ManualClock) -> None:
    mail.take(recipient("Ben", city="=cmd|'/C calc'!A0"))
    clock.advance(30)
    mail.answered(Failed(message="@unknown"))

    (ben,) = exported()

    assert (ben["city"], ben["error"]) == ("'=cmd|'/C calc'!A0", "'@unknown")


def test_a_refused_address_is_suppressed_for_its_customer_and_can_be_cleared(failed: str, mail: Mail) -> None:
    (entry,) = facts("suppressions", "addresses", "list")
    assert (entry["customer"], entry["recipient_id"]) == ("registered:ben@example.com", failed)
    assert (entry["reason"], entry["error"]) == ("ADDRESS_REFUSED", "unknown street")
    (again,) = mail.take(recipient("Ben", individualisation3="other"))
    assert facts("mail", "show", again)["state"] == "suppressed"

    cleared = run("suppressions", "addresses", "clear", "--recipient", failed, "--why", "was right")

    assert cleared.stdout == "cleared 1\n"
    assert facts("suppressions", "addresses", "list") == []
    (once_more,) = mail.take(recipient("Ben", individualisation3="third"))
    assert facts("mail", "show", once_more)["state"] == "queued"
    (action,) = facts("audit", "--subject", failed)
    assert (action["action"], action["why"]) == ("suppressions.addresses.clear", "was right")


def test_a_person_suppresses_an_address_and_a_new_one_is_posted_to(mail: Mail) -> None:
    (anna,) = mail.take(ANNA)

    assert run("suppressions", "addresses", "add", anna, "--why", "returned").stdout == "suppressed 1\n"
    assert "it was already" in run("suppressions", "addresses", "add", anna).stdout

    (there,) = mail.take(recipient("Anna", individualisation3="x"))
    (moved,) = mail.take(with_street(ANNA, "Neuweg 2"))
    assert facts("mail", "show", there)["state"] == "suppressed"
    assert facts("mail", "show", moved)["state"] == "queued"
    assert [each["why"] for each in facts("audit", "--subject", anna)] == ["returned"]


def test_addresses_are_listed_and_cleared_by_customer(failed: str) -> None:
    ben = "registered:ben@example.com"
    assert failed
    assert len(facts("suppressions", "addresses", "list", "--customer", ben)) == 1
    assert facts("suppressions", "addresses", "list", "--customer", "registered:anna@example.com") == []
    assert (
        "clearance suppressions addresses list"
        in run("suppressions", "list", "--customer", "ben@example.com").stderr
    )

    assert run("suppressions", "addresses", "clear", "--customer", ben).stdout == "cleared 1\n"
    assert run("suppressions", "addresses", "clear", "--customer", ben).stdout == "cleared 0\n"
    assert len(facts("audit")) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("add", "nobody"), 1, "no letter with an address is called nobody"),
        (("clear",), 2, "either --customer or --recipient"),
        (("clear", "--customer", "registered:a1", "--recipient", "x"), 2, "either --customer or --recipient"),
        (("clear", "--customer", "anna"), 2, "must be KIND:ID"),
        (("clear", "--customer", "registered:--"), 2, "no customer can have this id"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], code: int, words: str) -> None:
    result = run("suppressions", "addresses", *arguments)

    assert result.exit_code == code
    assert words in result.stderr
