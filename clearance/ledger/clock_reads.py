"""What do other clocks say? The database server's own, and Optimove's as far as it signed it."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from clearance.ledger.tables import UtcDateTime, notifications

# Enough to have one with little travel in it.
_SAMPLES = 100


def server_time(connection: Connection) -> datetime | None:
    """By the clock of PostgreSQL's host; None for an embedded ledger, which has this host's."""
    if connection.dialect.name != "postgresql":
        return None
    found: datetime = connection.execute(_SERVER_TIME).scalar_one()
    return found


def signed_offset(connection: Connection, since: datetime) -> timedelta | None:
    """How far our clock is ahead of Optimove's, by the notifications that were received since then.

    The smallest difference has the least travel in it. Negative when Optimove's is ahead; None without a notification.
    """
    newest = [row for row in connection.execute(_NEWEST) if row.signed_at and row.received_at >= since]
    return min((row.received_at - row.signed_at for row in newest), default=None)


_SERVER_TIME = select(func.clock_timestamp(type_=UtcDateTime))
# The newest, by their ids, which are sorted by time.
_NEWEST = (
    select(notifications.c.signed_at, notifications.c.received_at)
    .order_by(notifications.c.id.desc())
    .limit(_SAMPLES)
)
