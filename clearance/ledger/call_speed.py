"""How long does the vendor take over the answers of a group? Measured on the calls that it took last."""

from sqlalchemy import Connection, select, text

from clearance.ledger.decisions import Answer
from clearance.ledger.tables import approvals

_CALLS = 50
# Most calls of most sites carry few customers and are quick: their mean would promise too much for a full one.
_OF_TEN = 9


def seconds_per_call(connection: Connection) -> float | None:
    """What nine of ten of the last calls that were taken stayed within; None when there were none."""
    rows = connection.execute(_SELECT_TAKEN).tuples()
    taken = sorted((answered_at - sent_at).total_seconds() for sent_at, answered_at in rows)
    return taken[-(-len(taken) * _OF_TEN // 10) - 1] if taken else None


# Ids are sorted by time (clearance/identifiers.py). Those under way and those that failed take nobody's place.
_SELECT_TAKEN = (
    select(approvals.c.sent_at, approvals.c.answered_at)
    .where(
        text("revision IS NOT NULL"),
        approvals.c.outcome == Answer.TAKEN.value,
        approvals.c.answered_at.is_not(None),
    )
    .order_by(approvals.c.id.desc())
    .limit(_CALLS)
)
