"""`clearance forget`, as an operator runs it: what it says first, what it removes, and what it writes down."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clearance.decisions.decision import Decision
from clearance.errors import LedgerUnavailable
from clearance.ledger import operator_actions, suppressions
from clearance.ledger.decisions import NewDecision, stand_many
from clearance.ledger.engine import Ledger
from clearance.ledger.suppressions import Suppression
from tests.fakes.clock import START
from tests.fakes.ledgers import new_ledger
from tests.fakes.owed import accept, notification
from workers.cli import main

WHO = "C1"


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A decision about the customer, and a suppression."""
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    decided = Decision(approved=True, reasons=(), rules_version="v1")
    with made.write() as connection:
        item = NewDecision(
            subject="n", customer_id=WHO, decision=decided, inputs_digest="d", decided_at=START, inputs=b"{}"
        )
        stand_many(connection, [item])
        no = Suppression(list_name="no", customer_id=WHO, added_at=START, added_by="p")
        suppressions.add_many(connection, [no])
    yield made
    made.close()


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, ["forget", WHO, "--why", "asked by letter", *arguments], input=answer)


def removed(result: Result) -> dict[str, int]:
    return {row["what"]: row["removed"] for row in json.loads(result.stdout) if row["removed"]}


def acted(ledger: Ledger) -> list[tuple[str, int, str | None]]:
    with ledger.read() as connection:
        found = operator_actions.listed(connection)
    assert all(WHO not in action.subject for action in found)
    return [(action.action, action.count, action.why) for action in found]


def test_it_says_what_it_would_remove_and_does_nothing_without_a_yes(ledger: Ledger) -> None:
    result = run(answer="n\n")

    assert result.exit_code == 1
    assert "decisions: 1\n" in result.stderr
    assert "suppressions: 1, kept: without them the customer is written to again" in result.stderr
    assert acted(ledger) == []
    assert removed(run("--json", "--yes")) == {"decisions": 1}


def test_what_was_done_is_written_down_without_the_id_and_a_repeat_finds_nothing(ledger: Ledger) -> None:
    first = run("--json", "--yes", "--suppressions")
    again = run("--json", "--yes", "--suppressions")

    assert (first.exit_code, removed(first)) == (0, {"decisions": 1, "suppressions": 1})
    assert (again.exit_code, removed(again)) == (0, {})
    assert acted(ledger) == [("forget", 2, "asked by letter")]


def test_who_wanted_it_is_on_record_also_when_the_ledger_goes_away_meanwhile(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise LedgerUnavailable("ledger: gone")

    monkeypatch.setattr("clearance.ledger.forget.forget", away)

    assert run("--yes").exit_code == 1
    assert acted(ledger) == [("forget", 1, "asked by letter")]


def test_what_is_still_owed_is_named_and_the_exit_code_says_so(ledger: Ledger) -> None:
    accept(ledger, notification("open"))

    result = run("--json", "--yes")

    assert result.exit_code == 1
    assert "  notification n-open\n" in result.stderr
    assert {row["what"]: row["found"] for row in json.loads(result.stdout)}["still_owed"] == 1


def test_it_wants_to_know_why() -> None:
    assert CliRunner().invoke(main, ["forget", WHO, "--yes"]).exit_code == 2
