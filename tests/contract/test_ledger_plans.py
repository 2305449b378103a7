"""No statement of a notification's life may read a whole table: its cost would grow with everything ever accepted."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Dialect, event

from clearance.decisions.decision import Decision
from clearance.ledger import (
    due,
    inputs,
    migrate,
    notifications,
    obligations,
    rule_sets,
    suppressions,
    triggered,
    why,
)
from clearance.ledger.decisions import NewDecision, stand_many
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.statement import Statement
from clearance.obligations import Done, ObligationId, Retry
from tests.fakes.clock import START
from tests.fakes.owed import HEDGE_AFTER, LEASE, notification

Statements = list[tuple[str, Any]]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ledger, Statements]]:
    """A SQLite ledger, and every statement that it runs with its parameters."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", timeout_s=5)
    migrate.upgrade(ledger)
    statements: Statements = []
    engine = ledger._engine

    @event.listens_for(engine, "before_cursor_execute")
    def _note(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        statements.append((statement, parameters[0] if many else parameters))

    call = Statement.call

    def _noted(self: Statement, dialect: Dialect, runs: Any) -> Any:
        called = call(self, dialect, runs)
        statements.extend((called.compiled.text, values) for values in called.values[:1])
        return called

    # Those that the driver is given straight SQLAlchemy does not see.
    monkeypatch.setattr(Statement, "call", _noted)
    yield ledger, statements
    ledger.close()


def test_no_statement_in_the_life_of_a_notification_reads_a_whole_table(
    watched: tuple[Ledger, Statements],
) -> None:
    ledger, statements = watched
    live_through_everything(ledger)
    assert len(statements) > 12

    assert whole_tables_read(ledger, statements) == {}


def test_neither_does_what_workers_and_operators_ask_about_one_customer_or_portion(
    watched: tuple[Ledger, Statements],
) -> None:
    ledger, statements = watched
    with ledger.write() as connection:
        notifications.accept_many(connection, [notification("a")])
        statements.clear()
        stand_many(connection, [decision("C1"), decision("C1")])  # twice: the second is told what stands
        suppressions.add_many(connection, [suppression("C1"), suppression("C1")])
        lookup = suppressions.Lookup(list_name="customers", customer_ids=["C1", "C2"], now=START)
        assert suppressions.find_many(connection, [lookup]) == [{"C1"}]
        assert suppressions.listed(connection, "customers", after="C0", limit=10)
        assert suppressions.of_customer(connection, "C1")
        assert suppressions.is_known(connection, "customers")
        assert suppressions.remove_many(connection, "customers", ["C1"])
        assert why.stories(connection, "C1", last=10)
        assert why.stories(connection, "C1", campaign_id="111", last=10) == []
        assert rule_sets.text_of(connection, "v1") is None
        assert rule_sets.newest_reload(connection) == 0
    assert list(inputs.kept(ledger, START, START + timedelta(days=1)))
    with ledger.write() as connection:
        assert inputs.count_older(connection, START + timedelta(days=1)) == 1
        assert inputs.purge(connection, START + timedelta(days=1)) == 1
    assert len(statements) > 15

    assert whole_tables_read(ledger, statements) == {}
    sorting = [
        "USE TEMP B-TREE" in step
        for step in plan_of(ledger, statements, "FROM decision_inputs WHERE (decision_inputs.recorded_at")
    ]
    assert sorting, "the portions of kept inputs were not read"
    assert not any(sorting)


def plan_of(ledger: Ledger, statements: Statements, containing: str) -> list[str]:
    """The steps of the statements that contain this text."""
    plans = plans_of(
        ledger, [(text, given) for text, given in statements if containing in " ".join(text.split())]
    )
    return [step for steps in plans.values() for step in steps]


def whole_tables_read(ledger: Ledger, statements: Statements) -> dict[str, str]:
    """The statements that read one from its beginning to its end, with that step."""
    return {
        statement: step
        for statement, steps in plans_of(ledger, statements).items()
        for step in steps
        if step.startswith("SCAN") and "CONSTANT" not in step and "USING" not in step
    }


def plans_of(ledger: Ledger, statements: Statements) -> dict[str, list[str]]:
    """The steps that SQLite plans for each."""
    with ledger.read() as connection:
        return {
            statement: [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            for statement, parameters in statements
            if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        }


def decision(customer_id: str) -> NewDecision:
    """One with its inputs, about the notification `a`."""
    decided = Decision(approved=True, reasons=(), rules_version="v1")
    return NewDecision(
        subject="n-a",
        customer_id=customer_id,
        decision=decided,
        inputs_digest="d",
        decided_at=START,
        inputs=b"{}",
    )


def suppression(customer_id: str) -> suppressions.Suppression:
    """One for good."""
    return suppressions.Suppression(
        list_name="customers", customer_id=customer_id, added_at=START, added_by="ada"
    )


def live_through_everything(ledger: Ledger) -> None:
    """Accepted, twice; claimed; renewed; one done, one retried; published again; missed."""
    items = [notification(name) for name in ("a", "b", "c")]
    with ledger.write() as connection:
        notifications.accept_many(connection, items)
        notifications.accept_many(connection, [notification("again", vendor_id="v-a")])
        requests = [
            obligations.ClaimRequest(obligation_id=ObligationId(name), now=START, lease_until=START + LEASE)
            for name in ("a", "b")
        ]
        held = [claim.claimed for claim in triggered.claim_many(connection, requests) if claim]
        obligations.renew_many(connection, [(claimed, START + LEASE) for claimed in held])
        outcomes = [
            Done(),
            Retry(run_at=START + timedelta(seconds=1), reason="VendorUnavailable", error="500"),
        ]
        triggered.finish_many(
            connection,
            [
                triggered.Answered(
                    finish=obligations.Finish(claimed=claimed, outcome=outcome, now=START),
                    decision=None,
                    approvals=(),
                )
                for claimed, outcome in zip(held, outcomes, strict=True)
            ],
        )
        later = START + timedelta(seconds=2)
        assert due.is_any_due(connection, later)
        taken = due.take_due(connection, later, 10, HEDGE_AFTER)
        due.put_back(connection, [item.obligation_id for item in taken], later)
        over = START + timedelta(minutes=1)
        assert due.is_any_overdue(connection, over)
        assert due.take_overdue(connection, over, 10)
