"""What the ledger says about notifications, read with SQL beside the running fleet."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, create_engine, func, make_url, select
from sqlalchemy.pool import NullPool

from clearance.ledger.tables import approvals, decisions, notifications, obligations, rejections

UNFINISHED_STATES = ("open", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """One notification with its obligation, its decisions and the calls that were made for it."""

    vendor_id: str
    notification_id: str
    received_at: datetime
    deadline_at: datetime
    state: str
    reason: str | None
    attempts: int
    last_error: str | None
    finished_at: datetime | None
    decisions: tuple[Row[Any], ...]
    approvals: tuple[Row[Any], ...]

    def outcomes(self) -> list[str]:
        """How its calls ended, in the order in which they were sent."""
        return [row.outcome for row in sorted(self.approvals, key=lambda row: row.sent_at)]


class LedgerReader:
    """Reads, never writes. No connection is kept: the database may be killed at any moment."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._engine = create_engine(parsed, poolclass=NullPool)

    def owed(self, vendor_id_prefix: str) -> list[Owed]:
        """Everything about the notifications whose vendor's id begins with the prefix."""
        ours = notifications.c.vendor_id.startswith(vendor_id_prefix)
        subjects = select(notifications.c.id).where(ours)
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(
                    notifications.c.vendor_id,
                    notifications.c.received_at,
                    *(column for column in obligations.c if column.name != "deadline_at"),
                    notifications.c.deadline_at,
                )
                .join(obligations, obligations.c.subject == notifications.c.id)
                .where(ours)
            ).all()
            decided = connection.execute(select(decisions).where(decisions.c.subject.in_(subjects))).all()
            called = connection.execute(select(approvals).where(approvals.c.subject.in_(subjects))).all()
        decisions_by_subject, approvals_by_subject = _by_subject(decided), _by_subject(called)
        return [
            Owed(
                vendor_id=row.vendor_id,
                notification_id=row.subject,
                received_at=row.received_at,
                deadline_at=row.deadline_at,
                state=row.state,
                reason=row.reason,
                attempts=row.attempts,
                last_error=row.last_error,
                finished_at=row.finished_at,
                decisions=tuple(decisions_by_subject[row.subject]),
                approvals=tuple(approvals_by_subject[row.subject]),
            )
            for row in rows
        ]

    def count(self, vendor_id_prefix: str, *states: str) -> int:
        """How many obligations are in one of `states`; without any, all."""
        query = (
            select(func.count())
            .select_from(obligations.join(notifications, obligations.c.subject == notifications.c.id))
            .where(notifications.c.vendor_id.startswith(vendor_id_prefix))
        )
        if states:
            query = query.where(obligations.c.state.in_(states))
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def rejections(self) -> list[Row[Any]]:
        """What was refused, the newest first."""
        with self._engine.connect() as connection:
            return list(connection.execute(select(rejections).order_by(rejections.c.id.desc())))

    def close(self) -> None:
        """Nothing is kept, so nothing is left open."""
        self._engine.dispose()


def _by_subject(rows: Sequence[Row[Any]]) -> dict[str, list[Row[Any]]]:
    rows_by_subject: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        rows_by_subject[row.subject].append(row)
    return rows_by_subject
