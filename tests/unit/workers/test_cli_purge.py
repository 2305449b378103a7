"""`clearance purge`, as an operator runs it: what decisions were made from goes in time, and nothing else."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from clearance.decisions.decision import Decision
from clearance.ledger.decisions import NewDecision, stand_many
from clearance.ledger.engine import Ledger
from clearance.ledger.tables import decision_inputs, decisions
from tests.fakes.clock import START
from tests.fakes.ledgers import new_ledger
from workers.cli import main
from workers.commands import purge as command

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """2,500 decisions that are too old, more than goes at once, and five that are just not."""
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("CLEARANCE_INPUTS_RETENTION_DAYS", "7")
    monkeypatch.setattr(command, "utc_now", lambda: START + 7 * DAY)
    with made.write() as connection:
        old = [_decision(f"old-{number}", days=-1) for number in range(2500)]
        young = [_decision(f"young-{number}", days=0) for number in range(5)]
        stand_many(connection, old + young)
    yield made
    made.close()


def _decision(customer_id: str, *, days: int) -> NewDecision:
    return NewDecision(
        subject="group",
        customer_id=customer_id,
        decision=Decision(approved=True, reasons=(), rules_version="v1"),
        inputs_digest="d",
        decided_at=START + days * DAY,
        inputs=b"{}",
    )


def run(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(main, ["purge", "--json", *arguments])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def counts(ledger: Ledger) -> tuple[int, int]:
    """How many decisions there are, and how many inputs."""
    with ledger.read() as connection:
        return (
            connection.execute(select(func.count()).select_from(decisions)).scalar_one(),
            connection.execute(select(func.count()).select_from(decision_inputs)).scalar_one(),
        )


def test_what_is_older_than_retention_goes_and_the_decisions_stay(ledger: Ledger) -> None:
    assert run() == {
        "what": "decision_inputs",
        "older_than": "2026-03-02T09:00:00+00:00",
        "found": 2500,
        "removed": 2500,
    }
    assert counts(ledger) == (2505, 5)
    assert run()["removed"] == 0


def test_a_dry_run_counts_and_removes_nothing(ledger: Ledger) -> None:
    told = run("--dry-run")

    assert (told["found"], told["removed"]) == (2500, 0)
    assert counts(ledger) == (2505, 2505)
