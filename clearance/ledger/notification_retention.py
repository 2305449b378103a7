"""Which notifications are emptied though nobody answered them: those missed, parked or held, once past their deadline.

Nothing will read them again: what is past its deadline is not sent. That they came, for whom, and what became of them
stays. What was answered was emptied then.
"""

from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, text, update

from clearance.ledger.tables import ON_DESK, notifications, obligations
from clearance.obligations import State

_PORTION = 5_000


def count_over(connection: Connection, before: datetime) -> int:
    """How many had a deadline before that moment, and are not empty."""
    found: int = connection.execute(_COUNT, {"before": before}).scalar_one()
    return found


def purge(connection: Connection, before: datetime, *, portion: int = _PORTION) -> int:
    """Empty those with a deadline before that moment, at most `portion` of them.

    Returns:
        How many: repeat, each time in a transaction of its own, until it is 0.
    """
    return connection.execute(_PURGE, {"before": before, "portion": portion}).rowcount


_OVER = (
    select(notifications.c.id)
    .join(obligations, obligations.c.subject == notifications.c.id)
    .where(
        # The desk's own condition, so that its index is used.
        text(f"({ON_DESK.text})"),
        obligations.c.state.in_([State.MISSED.value, State.PARKED.value]),
        obligations.c.deadline_at < bindparam("before"),
        notifications.c.body.is_not(None),
    )
)
_COUNT = select(func.count()).select_from(_OVER.subquery())
_PURGE = (
    update(notifications).where(notifications.c.id.in_(_OVER.limit(bindparam("portion")))).values(body=None)
)
