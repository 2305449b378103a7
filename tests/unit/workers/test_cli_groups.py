"""`clearance groups`, as an operator runs it: listings, the page of one group, and watching it until it ended."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clearance.ledger.decisions import Answer
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
from workers.commands import groups as command


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(command, "utc_now", clock)
    monkeypatch.setattr(command, "sleep", refused_sleep)
    yield made
    made.close()


def refused_sleep(_seconds: float) -> None:
    raise AssertionError("nothing here may wait")


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["groups", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(*arguments: str) -> list[str]:
    """The lines, with what stands in columns brought together."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return [re.sub(r" {2,}", "  ", line.rstrip()) for line in result.stdout.splitlines()]


def facts(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def in_the_middle(ledger: Ledger) -> Work:
    """Two of four fetched customers decided and submitted; a call before that was not answered."""
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1", "C2"], ["C3"], is_all=False)
    work.decide(1, ("C1", APPROVED), ("C2", REFUSED))
    work.call(answer=Answer.UNKNOWN, at=DEADLINE - 40 * SECOND, error="optimove: no answer")
    work.call(1)
    return work


def test_the_list_tells_how_far_each_group_is_and_how_much_time_is_left(ledger: Ledger) -> None:
    in_the_middle(ledger)
    submitted_group(ledger, "g2", vendor_id="8", deadline_at=DEADLINE + MINUTE)

    assert told("list") == [
        "group  api  state  deadline  left  fetched  decided  submitted  of  submit_at  revision",
        "8  v2  submitted  09:11:00  in 11 min 0 s  4  4  4  4  -  1",
        "7  v2  open  09:10:00  in 10 min 0 s  3  2  2  4  09:09:00  1",
    ]


def test_a_deadline_that_is_over_says_since_when(ledger: Ledger, clock: ManualClock) -> None:
    hear(ledger)
    clock.now = DEADLINE + timedelta(days=2, hours=3, seconds=5)

    assert "  2026-03-02 09:10:00  2 d 3 h ago  " in told("list")[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ["3", "2", "1"]),
        (("--last", "1"), ["3"]),
        (("--state", "cancelled"), ["3"]),
        (("--occurrence", "o2"), ["2"]),
        (("--deadline-before", "2026-03-02T09:12:00"), ["1"]),
        (("--deadline-before", "2026-03-02T10:12:00+01:00"), ["1"]),
        (("--deadline-after", "2026-03-02T09:12:00Z"), ["3"]),
        (("--deadline-after", "2026-03-03"), []),
    ],
)
def test_the_list_has_what_is_asked_for(ledger: Ledger, arguments: list[str], expected: list[str]) -> None:
    for number in (1, 2, 3):
        campaign = replace(CAMPAIGN, occurrence_id=f"o{number}")
        late = DEADLINE + number * MINUTE
        hear(ledger, f"g{number}", vendor_id=f"{number}", campaign=campaign, deadline_at=late)
    cancel(ledger, vendor_id="3")

    assert [each["vendor_id"] for each in facts("list", *arguments)] == expected


def test_no_groups_are_no_error(ledger: Ledger) -> None:
    result = run("list")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "there are no such groups\n")
    assert facts("list") == []


@pytest.mark.parametrize(
    "arguments", [("--deadline-before", "tomorrow"), ("--state", "gone"), ("--last", "0")]
)
def test_what_cannot_be_asked_is_refused(arguments: tuple[str, str]) -> None:
    assert run("list", *arguments).exit_code == 2


def test_the_page_of_a_group_tells_all_that_is_known(ledger: Ledger) -> None:
    in_the_middle(ledger)

    assert told("show", "7") == [
        "send group 7: open  (g1, revision 1)",
        "series 111, occurrence 222, group 2 of 3, template t1 (Welcome), channel 345 (Email)",
        "deadline 2026-03-02 09:10:00.000 UTC, in 10 min 0 s",
        "submission from 2026-03-02 09:09:00.000 UTC, in 9 min 0 s; nothing is sent after 2026-03-02 09:09:59.000 UTC",
        "fetched  3 of 4 (75%)",
        "decided  2 of 4 (50%)",
        "submitted  2 of 4 (50%)",
        "chunks: 1 fetched (1 customer), 1 submitted (2 customers)",
        "answers: 1 approved, 1 not approved",
        "reasons: NO_CONSENT 1, UNDER_AGE 1",
        "",
        "no.  cause  told  deadline  ended  margin  submitted  not decided  not sent",
        "1  first  09:00:00  09:10:00  -  29.500 s  2  0  0",
        "",
        "sent  no.  attempt  customers  status  outcome  took  error",
        "09:09:30  1  1  2  200  acknowledged  0.500 s  -",
        "09:09:20  1  1  2  -  no answer came back, it may have arrived  -  optimove: no answer",
        "fetch: due in 0.0 s",
        "submit: due in 9 min 0 s",
        "close: due in 10 min 0 s",
    ]


def test_a_group_is_called_by_our_id_too(ledger: Ledger) -> None:
    in_the_middle(ledger)

    assert facts("show", "g1") == facts("show", "7")


def test_the_page_of_a_group_that_was_missed_says_what_was_not_done(
    ledger: Ledger, clock: ManualClock
) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1", "C2"], ["C3"])
    work.decide(2, ("C3", APPROVED))
    work.miss(1, 2)
    work.end(at=DEADLINE + 2 * SECOND, is_over=True)
    clock.now = DEADLINE + 5 * SECOND

    lines = told("show", "7")

    assert lines[0] == "send group 7: missed  (g1, revision 1)"
    assert lines[3] == "ended 2026-03-02 09:10:02.000 UTC, 3.0 s ago"
    assert "the vendor said 4 customers, 3 came" in lines
    assert "answers: 1 approved, 0 not approved" in lines
    assert "missed: 2 not decided in time, 1 not sent in time" in lines
    assert "reasons: NOT_DECIDED_IN_TIME 2" in lines
    assert lines[lines.index("") + 2].endswith("  missed  -  0  2  1")
    assert "no calls yet" in lines


def test_who_never_came_is_counted_by_what_the_vendor_had_said(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"], is_all=False)
    assert facts("show", "7")["not_fetched_in_time"] == 0  # there is still time

    work.miss(1)
    work.end(at=DEADLINE + SECOND, is_over=True)

    assert "missed: 3 not fetched in time, 1 not decided in time" in told("show", "7")
    page = facts("show", "7")
    counts = [page[f"not_{step}_in_time"] for step in ("fetched", "decided", "sent")]
    assert counts == [3, 1, 0]


def test_json_has_everything(ledger: Ledger) -> None:
    in_the_middle(ledger)

    page = facts("show", "7")

    assert (page["group_id"], page["state"], page["left_s"], page["is_reviewed"]) == (
        "g1",
        "open",
        600.0,
        False,
    )
    assert (page["fetched"], page["decided"], page["approved"], page["submitted"]) == (3, 2, 1, 2)
    assert page["submit_at"] == "2026-03-02T09:09:00.000+00:00"
    assert page["chunks"] == {
        "fetched": {"count": 1, "customers": 1},
        "submitted": {"count": 1, "customers": 2},
    }
    assert page["revisions"][0]["margin_s"] == 29.5
    assert [call["outcome"] for call in page["calls"]] == ["taken", "unknown"]
    assert [owed["step"] for owed in page["obligations"]] == ["fetch", "submit", "close"]


def test_no_customer_is_named(ledger: Ledger) -> None:
    in_the_middle(ledger)

    for arguments in (("list",), ("list", "--json"), ("show", "7"), ("show", "7", "--json")):
        assert not re.search(r"C[1-4]", run(*arguments).output)


def test_a_group_that_nobody_told_of_is_an_error(ledger: Ledger) -> None:
    result = run("show", "9\x1b[2J")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "no group is called 9\N{REPLACEMENT CHARACTER}[2J\n"


def test_a_name_of_two_groups_is_answered_with_both_ids(ledger: Ledger) -> None:
    hear(ledger, "g1")
    hear(ledger, "g2", api="v1")

    result = run("show", "7")

    assert result.exit_code == 2
    assert "7 may be each of g2 (v1), g1 (v2)" in result.stderr


def test_what_the_vendor_sent_gives_the_terminal_no_orders(ledger: Ledger) -> None:
    campaign = replace(CAMPAIGN, template_name="[red]\x1b[2J", occurrence_id="\x1b[1m")
    hear(ledger, vendor_id="7\x1b]0;x", campaign=campaign)

    assert "\x1b" not in run("list").stdout + run("show", "g1").stdout
    assert "[red]" in run("show", "g1").stdout


class Meanwhile:
    """A sleep in which an hour of a group's life may pass: each takes the next of `steps`, then it is Ctrl-C."""

    def __init__(self, clock: ManualClock, *steps: Callable[[], None]) -> None:
        self._clock, self._steps = clock, list(steps)

    def __call__(self, seconds: float) -> None:
        self._clock.advance(seconds)
        if not self._steps:
            raise KeyboardInterrupt
        self._steps.pop(0)()


def test_watching_ends_with_the_group(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = in_the_middle(ledger)

    def decide() -> None:
        work.decide(2, ("C3", APPROVED))

    def end() -> None:
        work.miss(2)
        work.end(at=DEADLINE + SECOND, is_over=True)

    monkeypatch.setattr(command, "sleep", Meanwhile(clock, lambda: None, decide, end))

    lines = told("show", "7", "--watch")

    assert lines[:4] == [
        "2026-03-02 09:00:00.000 UTC  open  deadline in 10 min 0 s  fetched 3, decided 2, submitted 2 of 4",
        "2026-03-02 09:00:02.000 UTC  open  deadline in 9 min 58 s  fetched 3, decided 3, submitted 2 of 4",
        "2026-03-02 09:00:03.000 UTC  missed  deadline in 9 min 57 s  fetched 3, decided 3, submitted 2 of 4",
        "",
    ]
    assert lines[4] == "send group 7: missed  (g1, revision 1)"


def test_ctrl_c_while_watching_is_no_failure(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear(ledger)
    monkeypatch.setattr(command, "sleep", Meanwhile(clock))

    assert len(told("show", "7", "--watch")) == 1


def test_watching_for_scripts_gives_an_object_a_line_whenever_something_moved(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    steps = (lambda: None, lambda: work.fetch(["C1"], is_all=False), lambda: None)
    monkeypatch.setattr(command, "sleep", Meanwhile(clock, *steps))

    lines = told("show", "7", "--watch", "--json")

    assert [json.loads(line)["fetched"] for line in lines] == [0, 1]


def test_watching_gives_up_when_nobody_records_how_it_ended(ledger: Ledger, clock: ManualClock) -> None:
    hear(ledger)
    clock.now = DEADLINE + 61 * SECOND

    result = run("show", "7", "--watch")

    assert result.exit_code == 0
    assert "nobody has recorded how it ended" in result.stderr


@pytest.mark.parametrize(
    ("left_s", "told_as"),
    [(0, "in 0.0 s"), (59.94, "in 59.9 s"), (59.96, "in 59 s"), (-0.5, "0.5 s ago"), (3_600, "in 1 h 0 min")],
)
def test_time_that_is_left_is_told_in_its_two_largest_units(left_s: float, told_as: str) -> None:
    from workers.commands.countdown import countdown

    now: datetime = DEADLINE
    assert countdown(now + timedelta(seconds=left_s), now) == told_as
