"""No statement of a notification's life may read a whole table: its cost would grow with everything ever accepted."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from clearance.ledger import due, migrate, notifications, obligations, triggered
from clearance.ledger.engine import Ledger, open_ledger
from clearance.obligations import Done, ObligationId, Retry
from tests.fakes.clock import START
from tests.fakes.owed import HEDGE_AFTER, LEASE, notification

Statements = list[tuple[str, Any]]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Ledger, Statements]]:
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

    yield ledger, statements
    ledger.close()


def test_no_statement_in_the_life_of_a_notification_reads_a_whole_table(
    watched: tuple[Ledger, Statements],
) -> None:
    ledger, statements = watched
    live_through_everything(ledger)
    assert len(statements) > 10

    with ledger.read() as connection:
        plans = {
            statement: [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            for statement, parameters in statements
            if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        }
    scans = {
        statement: step
        for statement, steps in plans.items()
        for step in steps
        if step.startswith("SCAN") and "CONSTANT" not in step and "USING" not in step
    }
    assert scans == {}


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
