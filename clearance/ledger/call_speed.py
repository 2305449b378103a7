"""How long does the vendor take over the answers of a group? Measured on the calls that it took last."""

from sqlalchemy import Connection, select, text

from clearance.ledger.decisions import Answer
from clearance.ledger.tables import approvals

_CALLS = 50


def seconds_per_call(connection: Connection) -> float | None:
    """The mean of the last calls that were taken; None when there were none."""
    rows = connection.execute(_SELECT_CALLS).tuples()
    taken = [
        (answered_at - sent_at).total_seconds()
        for sent_at, answered_at, outcome in rows
        if answered_at is not None and outcome == Answer.TAKEN.value
    ]
    return sum(taken) / len(taken) if taken else None


# Ids are sorted by time (clearance/identifiers.py).
_SELECT_CALLS = (
    select(approvals.c.sent_at, approvals.c.answered_at, approvals.c.outcome)
    .where(text("revision IS NOT NULL"))
    .order_by(approvals.c.id.desc())
    .limit(_CALLS)
)
