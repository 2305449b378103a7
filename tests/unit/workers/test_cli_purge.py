"""`clearance purge`, as an operator runs it: what decisions were made from goes in time, and nothing else."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select, update

from clearance.decisions.decision import Decision
from clearance.ledger.decisions import NewDecision, stand_many
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Posted
from clearance.ledger.mail_tables import mail_recipients, track_commands
from clearance.ledger.tables import decision_inputs, decisions, notifications
from clearance.obligations import Missed, MissedReason, Parked
from tests.fakes.clock import START, ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.owed import BUDGET, accept, claimed, finish, notification
from tests.unit.workers.letters import Mail, people
from workers.cli import main
from workers.commands import purge as command

DAY = timedelta(days=1)
MAIL = ("mail_addresses", "mail_keys", "track_commands")


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


def run(*arguments: str, what: str = "decision_inputs") -> dict[str, object]:
    result = CliRunner().invoke(main, ["purge", "--json", *arguments])
    assert result.exit_code == 0, result.output
    (found,) = [each for each in json.loads(result.stdout) if each["what"] == what]
    return dict(found)


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


def test_what_a_notification_said_goes_once_it_is_past_its_deadline_and_was_not_answered(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("missed", "parked", "open", "in_time")
    for name in names:
        accept(ledger, notification(name, deadline_at=START + (DAY if name == "in_time" else BUDGET)))
    ends = {
        "missed": Missed(reason=MissedReason.RETRIES_RAN_OUT, margin_s=-1.0, error="no"),
        "parked": Parked(reason="BUG", error="ValueError"),
        "in_time": Parked(reason="BUG", error="ValueError"),
    }
    for name, end in ends.items():
        assert finish(ledger, claimed(ledger, name), end)
    monkeypatch.setattr(command, "utc_now", lambda: START + 2 * BUDGET)

    assert run("--dry-run", what="notification_bodies")["found"] == 2
    assert run(what="notification_bodies")["removed"] == 2

    with ledger.read() as connection:
        kept = connection.execute(select(notifications).order_by(notifications.c.id)).all()
    assert {each.id: each.body is not None for each in kept} == {
        "n-in_time": True,
        "n-missed": False,
        "n-open": True,
        "n-parked": False,
    }
    assert {each.customer_id for each in kept} == {"C1"}
    assert run(what="notification_bodies")["found"] == 0


def test_letters_stay_and_their_addresses_go_with_what_bloomreach_was_told(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = Mail(ledger, clock)
    (anna,) = mail.take(*people("Anna"))
    clock.advance(30)
    mail.answered(Posted(vendor_id="rcp_1"))
    (ben,) = mail.take(*people("Ben"))  # has not ended, and stays however old it is
    with ledger.write() as connection:
        connection.execute(update(track_commands).values(state="sent", finished_at=clock(), data=None))
    monkeypatch.setattr(command, "utc_now", lambda: START + 31 * DAY)

    assert [run("--dry-run", what=what)["found"] for what in MAIL] == [1, 2, 1]
    result = CliRunner().invoke(main, ["purge"])

    assert "mail_addresses" in result.stdout
    assert [run(what=what)["found"] for what in MAIL] == [0, 0, 0]
    with ledger.read() as connection:
        kept = {each.id: each for each in connection.execute(select(mail_recipients))}
        assert connection.execute(select(func.count()).select_from(track_commands)).scalar_one() == 0
    assert (kept[anna].payload, kept[anna].vendor_id, kept[anna].state) == (None, "rcp_1", "posted")
    assert kept[ben].payload is not None


def test_what_is_younger_than_its_retention_stays(ledger: Ledger, clock: ManualClock) -> None:
    clock.advance((7 * DAY).total_seconds() - 3_600)
    mail = Mail(ledger, clock)
    mail.take(*people("Anna"))
    clock.advance(30)
    mail.answered(Posted(vendor_id="rcp_1"))

    assert [run(what=what)["removed"] for what in MAIL] == [0, 0, 0]
