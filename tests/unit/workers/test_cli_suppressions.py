"""`clearance suppressions ...`, as an operator runs it: on a ledger of its own, from files as people make them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clearance.clock import utc_now
from clearance.ledger import suppressions as ledger_lists
from clearance.ledger.engine import Ledger
from tests.fakes.ledgers import new_ledger
from workers.cli import main
from workers.commands import suppressions as commands


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("LOGNAME", "ada")
    yield made
    made.close()


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["suppressions", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def done(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def listed(list_name: str = "vip") -> list[str]:
    return [each["customer_id"] for each in json.loads(done("list", list_name, "--json"))]


def test_customers_are_added_once_and_listed_as_written() -> None:
    assert done("add", "vip", "007", " C1", "C1") == "added 3, changed 0, already there 0\n"
    assert done("add", "vip", "C1", "7", "7") == "added 1, changed 0, already there 1\n"

    assert listed() == [" C1", "007", "7", "C1"]


def test_a_listing_says_who_added_it_why_and_until_when() -> None:
    done("add", "vip", "C1", "--note", "asked by mail", "--until", "2099-12-31")

    (row,) = json.loads(done("list", "vip", "--json"))
    added_at = datetime.fromisoformat(row.pop("added_at"))
    assert abs(utc_now() - added_at) < timedelta(minutes=1)
    assert row == {
        "list": "vip",
        "customer_id": "C1",
        "stands": True,
        "until": "2100-01-01T00:00:00+00:00",
        "note": "asked by mail",
        "added_by": "ada",
    }
    shown = done("list", "vip")
    assert "C1" in shown
    assert "ada" in shown


def test_who_changed_a_list_is_kept_and_what_changed_nothing_is_not(csv_file: Path) -> None:
    done("add", "vip", "C1", "C2")
    done("add", "vip", "C1")
    csv_file.write_text("customer_id\nC2\nC3\n")
    done("import", str(csv_file), "--list", "vip")
    done("remove", "vip", "C1", "C3", "C9", "--why", "asked by mail")
    done("remove", "vip", "C1")

    audit = json.loads(CliRunner().invoke(main, ["audit", "--subject", "vip", "--json"]).stdout)

    told = [(each["action"], each["count"], each["who"], each["why"]) for each in reversed(audit)]
    assert told == [
        ("suppressions.add", 2, "ada", None),
        ("suppressions.import", 1, "ada", None),
        ("suppressions.remove", 2, "ada", "asked by mail"),
    ]


def test_until_is_told_anew_and_the_note_stays_where_none_is_given() -> None:
    done("add", "vip", "C1", "--note", "asked by mail", "--until", "2099-12-31")

    assert done("add", "vip", "C1") == "added 0, changed 1, already there 0\n"

    (row,) = json.loads(done("list", "vip", "--json"))
    assert (row["note"], row["until"]) == ("asked by mail", None)


def test_a_time_with_its_offset_is_kept_in_utc() -> None:
    done("add", "vip", "C1", "--until", "2099-12-31T18:00:00+01:00")

    (row,) = json.loads(done("list", "vip", "--json"))
    assert row["until"] == "2099-12-31T17:00:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "VIP", "C1"), "a list's name is 1 to 64 of a-z, 0-9 and -"),
        (("add", "v" * 65, "C1"), "a list's name"),
        (("add", "vip", ""), "must be 1 to 256 characters"),
        (("add", "vip", "C" * 257), "must be 1 to 256 characters"),
        (("add", "vip", "C\n1"), "must not hold control characters"),
        (("add", "vip", "C1", "--until", "tomorrow"), "must be a day"),
        (("add", "vip", "C1", "--until", "2099-12-31T18:00:00"), "a time with its offset"),
        (("add", "vip", "C1", "--until", "2020-01-01"), "is past already"),
        (("add", "vip", "C1", "--note", "x" * 501), "at most 500 characters"),
        (("add", "vip"), "CUSTOMER"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_added(arguments: tuple[str, ...], told: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert told in result.stderr
    assert listed() == []


def test_a_list_that_nobody_was_on_is_said_to_be_new() -> None:
    """A typo in a list's name would otherwise suppress nobody, and nobody would notice."""
    assert "vip is a new list" in run("add", "vip", "C1").stderr
    assert "new list" not in run("add", "vip", "C2").stderr


def test_customers_are_removed_and_those_who_were_not_there_are_named() -> None:
    done("add", "vip", "C1", "C2")
    done("add", "other", "C1")

    result = run("remove", "vip", "C1", "C9", "C1")

    assert result.exit_code == 0
    assert result.stdout == "removed 1\n"
    assert result.stderr == "not on vip: C9\n"
    assert listed() == ["C2"]
    assert listed("other") == ["C1"]


def test_without_a_list_the_lists_are_counted(ledger: Ledger) -> None:
    done("add", "vip", "C1", "C2", "--until", "2099-12-31")
    done("add", "other", "C1")
    expired = ledger_lists.Suppression(
        list_name="vip",
        customer_id="C3",
        added_at=utc_now(),
        added_by="ada",
        until=datetime(2026, 1, 1, tzinfo=UTC),
    )
    with ledger.write() as connection:
        ledger_lists.add_many(connection, [expired])

    assert json.loads(done("list", "--json")) == [
        {"list": "other", "customers": 1, "expired": 0},
        {"list": "vip", "customers": 2, "expired": 1},
    ]
    stands = {each["customer_id"]: each["stands"] for each in json.loads(done("list", "vip", "--json"))}
    assert stands == {"C1": True, "C2": True, "C3": False}


def test_a_customers_lists_are_found() -> None:
    done("add", "vip", "C1", "C2")
    done("add", "other", "C1")

    of_c1 = json.loads(done("list", "--customer", "C1", "--json"))
    assert [(each["list"], each["customer_id"]) for each in of_c1] == [("other", "C1"), ("vip", "C1")]
    assert len(json.loads(done("list", "vip", "--customer", "C1", "--json"))) == 1
    assert json.loads(done("list", "vip", "--customer", "C", "--json")) == []


def test_a_long_list_is_told_in_pages() -> None:
    done("add", "vip", *(f"C{number}" for number in range(5)))

    first = run("list", "vip", "--limit", "2", "--json")
    assert [each["customer_id"] for each in json.loads(first.stdout)] == ["C0", "C1"]
    assert first.stderr == "there are more: --after 'C1'\n"
    last = run("list", "vip", "--limit", "3", "--after", "C1", "--json")
    assert [each["customer_id"] for each in json.loads(last.stdout)] == ["C2", "C3", "C4"]
    assert last.stderr == ""


def test_a_file_is_imported_and_a_repeat_changes_nothing(csv_file: Path) -> None:
    csv_file.write_text('customer_id,note,until\n007,,\n"C,2",asked by mail,2099-12-31\n\nC3,,2020-01-01\n')

    assert done("import", str(csv_file), "--list", "vip") == "added 3, changed 0, already there 0\n"
    before = done("list", "vip", "--json")
    assert done("import", str(csv_file), "--list", "vip") == "added 0, changed 0, already there 3\n"

    assert done("list", "vip", "--json") == before
    rows = {each["customer_id"]: each for each in json.loads(before)}
    assert list(rows) == ["007", "C,2", "C3"]
    assert rows["C,2"]["note"] == "asked by mail"
    assert rows["C3"]["stands"] is False


def test_a_file_of_a_spreadsheet_program_is_read(csv_file: Path) -> None:
    csv_file.write_bytes("\ufeffcustomer_id,note\r\nMüller,x\r\n".encode())

    done("import", str(csv_file), "--list", "vip")

    assert listed() == ["Müller"]


BAD = (
    "customer_id,note,until\n"
    "C1,,\n"
    ",,\n"
    "C2,,someday\n"
    "C3,\n"
    '"C\n4",,\n'
    f"{'C' * 257},,\n"
    f"C5,{'n' * 501},\n"
    "C6,,\n"
    'C7,"quote" behind,\n'
    "C8,,\n"
)
BAD_LINES = {
    3: "customer_id: must be 1 to 256 characters",
    4: "until: must be a day",
    5: "has 2 columns, and the header has 3",
    6: "customer_id: must not hold control characters",
    8: "customer_id: must be 1 to 256 characters",
    9: "note: must be at most 500 characters",
    11: "is no CSV",
}


def test_every_bad_line_is_told_with_its_number_and_nothing_is_imported(csv_file: Path) -> None:
    csv_file.write_text(BAD)

    result = run("import", str(csv_file), "--list", "vip")

    assert result.exit_code == 1
    *problems, summary = result.stderr.splitlines()
    assert summary == "nothing imported: 7 bad, 3 good"
    assert len(problems) == len(BAD_LINES)
    for problem, (line, told) in zip(problems, BAD_LINES.items(), strict=True):
        assert problem.startswith(f"{csv_file}:{line}: {told}")
    assert listed() == []


def test_bad_lines_are_skipped_when_that_is_wanted(csv_file: Path) -> None:
    csv_file.write_text(BAD)

    result = run("import", str(csv_file), "--list", "vip", "--skip-bad")

    assert result.exit_code == 0
    assert result.stdout == "added 3, changed 0, already there 0, skipped 7 bad\n"
    assert listed() == ["C1", "C6", "C8"]


def test_a_line_that_is_not_utf_8_is_a_bad_line(csv_file: Path) -> None:
    csv_file.write_bytes("customer_id\nC1\nMüller\n".encode("latin-1"))

    result = run("import", str(csv_file), "--list", "vip")

    assert result.exit_code == 1
    assert f"{csv_file}:3: customer_id: is not UTF-8" in result.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the first line must name the columns"),
        ("C1\nC2\n", "the first line must name the columns"),
        ("customer_id,untill\nC1,2099-12-31\n", "a column that means nothing here"),
        ("customer_id,note,note\nC1,,\n", "a column stands there twice"),
        ('"customer_id\n', "is no CSV"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--skip-bad",)])
def test_a_file_without_a_right_header_is_never_imported(
    csv_file: Path, content: str, told: str, options: tuple[str, ...]
) -> None:
    csv_file.write_text(content)

    result = run("import", str(csv_file), "--list", "vip", *options)

    assert result.exit_code == 1
    assert f"{csv_file}:1: {told}" in result.stderr
    assert listed() == []


def test_ids_with_spaces_around_them_are_kept_and_pointed_out(csv_file: Path) -> None:
    csv_file.write_text("customer_id\n C1\nC2 \nC3\n")

    result = run("import", str(csv_file), "--list", "vip")

    assert "2 customer ids begin or end with a space: they are kept as written" in result.stderr
    assert listed() == [" C1", "C2 ", "C3"]


def test_a_long_file_goes_in_portion_by_portion_and_says_so(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_PORTION", 10)
    monkeypatch.setattr(commands, "_TOLD_EVERY", 2)
    csv_file.write_text("customer_id\n" + "".join(f"C{number:03}\n" for number in range(45)))

    result = run("import", str(csv_file), "--list", "vip")

    assert result.stdout == "added 45, changed 0, already there 0\n"
    assert [line for line in result.stderr.splitlines() if line.endswith(" of 45")] == [
        "20 of 45",
        "40 of 45",
    ]
    assert len(listed()) == 45


def test_the_last_line_about_a_customer_counts(csv_file: Path) -> None:
    csv_file.write_text("customer_id,until\nC1,2020-01-01\nC1,\n")

    assert done("import", str(csv_file), "--list", "vip") == "added 1, changed 1, already there 0\n"

    (row,) = json.loads(done("list", "vip", "--json"))
    assert row["stands"] is True


def test_a_ledger_that_is_not_migrated_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'other.db'}")

    result = run("add", "vip", "C1")

    assert result.exit_code == 1
    assert "`clearance db upgrade`" in result.stderr
