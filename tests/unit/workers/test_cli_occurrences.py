"""`clearance occurrences`, as an operator runs it: how many groups of a sending are seen, reviewed and submitted."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clearance.ledger.engine import Ledger
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.told_groups import (
    APPROVED,
    CAMPAIGN,
    DEADLINE,
    MINUTE,
    REFUSED,
    SECOND,
    Work,
    cancel,
    hear,
    submitted_group,
)
from workers.cli import main
from workers.commands import occurrences as command


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(command, "utc_now", clock)
    yield made
    made.close()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["occurrences", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(*arguments: str) -> list[str]:
    """The lines, with what stands in columns brought together."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return [re.sub(r" {2,}", "  ", line.rstrip()) for line in result.stdout.splitlines()]


def facts(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def two_templates(ledger: Ledger) -> None:
    """Of three groups two were told of: the first is submitted, of the second one customer of two is decided."""
    other = replace(CAMPAIGN, template_id="t2", template_name="", channel_name="SMS")
    hear(ledger, "g2", vendor_id="8", campaign=other, order=2, deadline_at=DEADLINE + MINUTE)
    work = Work(ledger=ledger, group_id="g2")
    work.fetch(["C1"], ["C2"])
    work.decide(1, ("C1", REFUSED))
    submitted_group(ledger, "g1", order=1)


def test_the_list_counts_the_groups_of_each_occurrence(ledger: Ledger) -> None:
    two_templates(ledger)
    alone = replace(CAMPAIGN, occurrence_id="333", series_id="")
    hear(ledger, "g3", vendor_id="9", campaign=alone, total_groups=None, deadline_at=DEADLINE + 2 * MINUTE)
    cancel(ledger, vendor_id="9")

    assert told("list") == [
        "occurrence  series  seen  reviewed  submitted  missed  cancelled  last_deadline  left",
        "333  -  1 of ?  0  0  0  1  09:12:00  in 12 min 0 s",
        "222  111  2 of 3  1  1  0  0  09:11:00  in 11 min 0 s",
    ]
    assert [each["occurrence_id"] for each in facts("list", "--last", "1")] == ["333"]


def test_an_occurrence_tells_of_each_group_with_its_template_and_channel(ledger: Ledger) -> None:
    two_templates(ledger)

    assert told("show", "222") == [
        "occurrence 222 of series 111: 2 of 3 groups seen, 1 reviewed, 1 submitted",
        "last deadline 2026-03-02 09:11:00.000 UTC, in 11 min 0 s",
        "9 customers; one in several groups is decided about in each",
        "",
        "order  group  state  template  channel  deadline  left  fetched  decided  approved  submitted",
        "1  7  submitted  Welcome  Email  09:10:00  in 10 min 0 s  4  4  3  4",
        "2  8  open  t2  SMS  09:11:00  in 11 min 0 s  2  1  0  0",
    ]


def test_a_customer_of_two_groups_is_counted_in_each(ledger: Ledger) -> None:
    for name, order, decision in (("g1", 1, APPROVED), ("g2", 2, REFUSED)):
        hear(ledger, name, vendor_id=name, order=order)
        work = Work(ledger=ledger, group_id=name)
        work.fetch(["C1"])
        work.decide(1, ("C1", decision))

    members = facts("show", "222")["groups"]

    assert [(each["decided"], each["approved"]) for each in members] == [(1, 1), (1, 0)]


def test_a_missed_group_is_told_in_the_first_line(ledger: Ledger, clock: ManualClock) -> None:
    hear(ledger)
    Work(ledger=ledger).end(at=DEADLINE + SECOND, is_over=True)
    clock.now = DEADLINE + MINUTE

    first, second, *_ = told("show", "222")

    assert first == "occurrence 222 of series 111: 1 of 3 groups seen, 0 reviewed, 0 submitted, 1 missed"
    assert second == "last deadline 2026-03-02 09:10:00.000 UTC, 1 min 0 s ago"


def test_json_has_the_counts_and_everything_about_each_group(ledger: Ledger) -> None:
    two_templates(ledger)

    page = facts("show", "222")
    members = page.pop("groups")

    assert facts("list") == [page]
    assert page == {
        "occurrence_id": "222",
        "series_id": "111",
        "expected": 3,
        "seen": 2,
        "reviewed": 1,
        "submitted": 1,
        "missed": 0,
        "cancelled": 0,
        "unique_customers": 9,
        "last_deadline_at": "2026-03-02T09:11:00.000+00:00",
    }
    assert [(each["vendor_id"], each["order"], each["is_reviewed"]) for each in members] == [
        ("7", 1, True),
        ("8", 2, False),
    ]


def test_no_occurrences_are_no_error_but_one_that_nobody_told_of_is(ledger: Ledger) -> None:
    hear(ledger, campaign=replace(CAMPAIGN, occurrence_id=""))

    listing, page = run("list"), run("show", "2\x1b[2J")

    assert (listing.exit_code, listing.stdout, listing.stderr) == (0, "", "there are no occurrences\n")
    assert (page.exit_code, page.stdout) == (1, "")
    assert page.stderr == "no group is of occurrence 2\N{REPLACEMENT CHARACTER}[2J\n"
    assert facts("list") == []


def test_what_the_vendor_sent_gives_the_terminal_no_orders(ledger: Ledger) -> None:
    hear(ledger, campaign=replace(CAMPAIGN, channel_name="\x1b[2J", series_id="1\x1b[1m"))

    assert "\x1b" not in run("list").stdout + run("show", "222").stdout


def test_no_customer_is_named(ledger: Ledger) -> None:
    two_templates(ledger)

    for arguments in (("list",), ("list", "--json"), ("show", "222"), ("show", "222", "--json")):
        assert not re.search(r"C[1-4]", run(*arguments).output)
