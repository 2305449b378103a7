"""What the ledger says about scheduled groups, read with SQL beside the running fleet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, create_engine, insert, make_url, select
from sqlalchemy.pool import NullPool

from clearance.ledger.tables import (
    approvals,
    chunks,
    decisions,
    group_revisions,
    groups,
    obligations,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Everything about one group; chunks and decisions are those of its newest generation."""

    group: Row[Any]
    revisions: Sequence[Row[Any]]
    chunks: Sequence[Row[Any]]
    decisions: Sequence[Row[Any]]
    approvals: Sequence[Row[Any]]
    obligations: Sequence[Row[Any]]


class GroupsLedger:
    """Reads. No connection is kept: the database may be killed at any moment."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._engine = create_engine(parsed, poolclass=NullPool)

    def find(self, api: str, vendor_id: str) -> Row[Any] | None:
        """One group as it is now; None: nobody has told of it."""
        query = select(groups).where(groups.c.api == api, groups.c.vendor_id == vendor_id)
        with self._engine.connect() as connection:
            return connection.execute(query).first()

    def read(self, api: str, vendor_id: str) -> Recorded:
        """Everything about a group that is known."""
        group = self.find(api, vendor_id)
        assert group is not None, f"{api} {vendor_id} is not in the ledger"
        of_generation = (chunks.c.group_id == group.id, chunks.c.generation == group.generation)
        without_body = [column for column in chunks.c if column.name not in ("body", "answers")]
        queries = {
            "revisions": select(group_revisions)
            .where(group_revisions.c.group_id == group.id)
            .order_by(group_revisions.c.revision),
            "chunks": select(*without_body).where(*of_generation).order_by(chunks.c.number),
            "decisions": select(
                decisions.c.customer_id, decisions.c.approved, decisions.c.reasons, decisions.c.chunk
            ).where(decisions.c.subject == f"{group.id}:{group.generation}"),
            "approvals": select(approvals)
            .where(approvals.c.subject == group.id)
            .order_by(approvals.c.sent_at),
            "obligations": select(obligations).where(obligations.c.subject.startswith(f"{group.id}:")),
        }
        with self._engine.connect() as connection:
            found = {name: connection.execute(query).all() for name, query in queries.items()}
        return Recorded(group=group, **found)

    def first_call_late_s(self, api: str) -> dict[str, float]:
        """By vendor's id, how long after `submit_at` the first approval of each group was sent."""
        query = (
            select(groups.c.vendor_id, groups.c.submit_at, approvals.c.sent_at)
            .join(approvals, approvals.c.subject == groups.c.id)
            .where(groups.c.api == api)
            .order_by(approvals.c.sent_at.desc())
        )
        with self._engine.connect() as connection:
            # The earliest comes last, and stays.
            return {
                vendor_id: (sent_at - submit_at).total_seconds()
                for vendor_id, submit_at, sent_at in connection.execute(query).tuples()
            }

    def owe(self, rows: Sequence[dict[str, object]]) -> None:
        """Write obligations that wait: the only thing that a test puts in."""
        with self._engine.begin() as connection:
            connection.execute(insert(obligations), rows)

    def close(self) -> None:
        """Nothing is kept, so nothing is left open."""
        self._engine.dispose()
