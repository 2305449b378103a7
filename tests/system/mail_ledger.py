"""What the ledger says about letters, read with SQL beside the running fleet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, create_engine, func, make_url, select
from sqlalchemy.pool import NullPool

from clearance.ledger.mail_tables import mail_batches, mail_recipients, operator_actions
from clearance.ledger.tables import obligations

_UNFINISHED = ("gathering", "ready", "posting")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    """One recipient as the ledger has it."""

    recipient_id: str
    reference: str
    state: str
    reason: str | None
    batch_id: str | None
    vendor_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One batch as the ledger has it."""

    batch_id: str
    automation_id: str
    state: str
    reason: str | None
    error: str | None
    recipients: int
    posted: int
    failed: int
    due_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None


class MailLedger:
    """Reads. No connection is kept: the database may be killed at any moment."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._engine = create_engine(parsed, poolclass=NullPool)

    def letters(self, automations: Sequence[str]) -> list[LetterRow]:
        """Every recipient of these automations."""
        query = select(mail_recipients).where(mail_recipients.c.automation_id.in_(automations))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(mail_recipients.c.id)).all()
        return [
            LetterRow(
                recipient_id=row.id,
                reference=orjson.loads(row.customer_ids).get("registered", ""),
                state=row.state,
                reason=row.reason,
                batch_id=row.batch_id,
                vendor_id=row.vendor_id,
            )
            for row in rows
        ]

    def batches(self, automations: Sequence[str]) -> list[BatchRow]:
        """Every batch of these automations, in the order in which they were opened."""
        query = select(mail_batches).where(mail_batches.c.automation_id.in_(automations))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(mail_batches.c.id)).all()
        return [
            BatchRow(
                batch_id=row.id,
                automation_id=row.automation_id,
                state=row.state,
                reason=row.reason,
                error=row.error,
                recipients=row.recipients,
                posted=row.posted,
                failed=row.failed,
                due_at=row.due_at,
                sent_at=row.sent_at,
                answered_at=row.answered_at,
            )
            for row in rows
        ]

    def unfinished(self, automations: Sequence[str]) -> dict[str, int]:
        """What is still to be done, in numbers; nothing in it: all of it has ended."""
        ours = mail_batches.c.automation_id.in_(automations)
        queries: dict[str, Any] = {
            "batches": select(func.count())
            .select_from(mail_batches)
            .where(ours, mail_batches.c.state.in_(_UNFINISHED)),
            "letters": select(func.count())
            .select_from(mail_recipients)
            .where(mail_recipients.c.automation_id.in_(automations), mail_recipients.c.state == "queued"),
            "obligations": select(func.count())
            .select_from(obligations.join(mail_batches, obligations.c.subject == mail_batches.c.id))
            .where(ours, obligations.c.state.in_(("open", "running"))),
        }
        with self._engine.connect() as connection:
            counts = {name: connection.execute(query).scalar_one() for name, query in queries.items()}
        return {name: count for name, count in counts.items() if count}

    def actions(self, subject: str) -> list[Row[Any]]:
        """What operators did about this, in order."""
        query = select(operator_actions).where(operator_actions.c.subject == subject)
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(operator_actions.c.id)))

    def close(self) -> None:
        """Nothing is kept, so nothing is left open."""
        self._engine.dispose()
