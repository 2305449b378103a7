"""`clearance why CUSTOMER` of a customer of groups, as an operator runs it: also what became of his chunk."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clearance.decisions.decision import Decision
from clearance.ledger.decisions import Answer
from clearance.ledger.engine import Ledger
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
from workers.commands import why as command


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setattr(command, "utc_now", lambda: DEADLINE - 10 * SECOND)
    yield made
    made.close()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["why", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(*arguments: str) -> list[str]:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_a_refusal_in_a_group_is_told_from_the_heads_up_to_the_vendors_answer(ledger: Ledger) -> None:
    submitted_group(ledger)

    assert told("C2") == [
        "2026-03-02 09:00:00.000 UTC  send_group, series 111, occurrence 222  (g1:1, 7, revision 1, chunk 1)",
        "  not approved: UNDER_AGE, NO_CONSENT",
        "  decided 2026-03-02 09:01:00.000 UTC, after 60.000 s: policy bonus, rules v1",
        "  sent 2026-03-02 09:09:30.000 UTC in attempt 1, 30.000 s before the deadline:"
        " acknowledged (200), after 0.500 s",
        "  his chunk was submitted 2026-03-02 09:09:30.500 UTC, 29.500 s before the deadline",
        "  review: done, 539.000 s before the deadline, after 1 attempt",
        "  submit: not answered yet, 9.000 s before the deadline, after 0 attempts",
        "",
    ]


def test_who_was_not_decided_in_time_is_told_so(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"])
    work.miss(1)

    lines = told("C1")

    assert lines[1:4] == [
        "  not approved: NOT_DECIDED_IN_TIME",
        "  no rules decided: given up 2026-03-02 09:10:01.000 UTC",
        "  his chunk was not submitted in time; deadline 2026-03-02 09:10:00.000 UTC",
    ]


def test_a_call_that_may_have_carried_him_is_told_as_such(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"])
    work.decide(1, ("C1", APPROVED))
    work.call(answer=Answer.UNKNOWN, error="optimove: no answer")

    lines = told("C1")

    assert lines[3].startswith("  perhaps sent 2026-03-02 09:09:30.000 UTC in attempt 1, 30.000 s before")
    assert lines[3].endswith("no answer came back, it may have arrived: optimove: no answer")
    assert lines[4].startswith("  his chunk is decided, and not submitted yet; deadline")


def test_a_group_that_was_taken_back_says_that_nothing_was_submitted(ledger: Ledger) -> None:
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1"])
    work.decide(1, ("C1", APPROVED))
    cancel(ledger)

    assert "  his chunk was not submitted: the group was taken back, or came again" in told("C1")[3]


def test_json_tells_the_group_too(ledger: Ledger) -> None:
    submitted_group(ledger)

    (story,) = json.loads(run("C1", "--json", "--campaign", "7").stdout)

    assert (story["subject"], story["kind"], story["vendor_id"]) == ("g1:1", CAMPAIGN.lane, "7")
    assert story["deadline_at"] == "2026-03-02T09:10:00.000+00:00"
    assert story["group"] == {
        "group_id": "g1",
        "api": "v2",
        "state": "submitted",
        "order": 2,
        "total_groups": 3,
        "revision": 1,
        "generation": 1,
        "cause": "first",
        "ended_as": "submitted",
        "chunk": 1,
        "chunk_state": "submitted",
        "submitted_at": "2026-03-02T09:09:30.500+00:00",
        "no_call": None,
    }
    assert [call["is_certain"] for call in story["submissions"]] == [True]


@pytest.mark.parametrize(("customer", "is_told"), [("C1", True), ("C2", False)])
def test_a_v1_campaign_is_told_of_the_approved_only(ledger: Ledger, customer: str, is_told: bool) -> None:
    submitted_group(ledger, api="v1")

    lines = told(customer)

    assert any("  sent " in line for line in lines) is is_told
    assert any(line.endswith("; a V1 campaign is told of the approved only") for line in lines) is not is_told


@pytest.mark.parametrize(("again", "is_told"), [(APPROVED, False), (REFUSED, True)])
def test_an_answer_that_did_not_change_is_in_no_second_call(
    ledger: Ledger, again: Decision, is_told: bool
) -> None:
    submitted_group(ledger)
    hear(ledger, deadline_at=DEADLINE + MINUTE, at=DEADLINE)
    work = Work(ledger=ledger, generation=2, revision=2)
    work.fetch(["C1"], at=DEADLINE)
    work.decide(1, ("C1", again), at=DEADLINE + SECOND)
    work.call(1, at=DEADLINE + 2 * SECOND)

    newer, older = json.loads(run("C1", "--json").stdout)

    assert len(newer["submissions"]) == is_told
    assert (newer["group"]["no_call"] is None) is is_told
    assert (len(older["submissions"]), older["group"]["no_call"]) == (1, None)
