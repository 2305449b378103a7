"""Which addresses are forgotten: those of letters that have ended, once retention is over.

With the address goes what Optilyz said of it, which may quote it. That there was a letter, and what became of it,
stays.
"""

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, select, update

from clearance.ledger.mail_tables import HAS_ADDRESS, mail_keys, mail_recipients

_PORTION = 1_000


def count_older(connection: Connection, before: datetime) -> int:
    """How many letters ended before that moment and still have their address."""
    found: int = connection.execute(_COUNT_OLDER, {"before": before}).scalar_one()
    return found


def purge(connection: Connection, before: datetime, *, portion: int = _PORTION) -> int:
    """Empty the addresses of letters that ended before that moment, the oldest first, at most `portion` of them.

    Returns:
        How many: repeat, each time in a transaction of its own, until it is 0.
    """
    return connection.execute(_PURGE, {"before": before, "portion": portion}).rowcount


def count_keys(connection: Connection, now: datetime) -> int:
    """How many dedupe keys have a window that is over."""
    found: int = connection.execute(_COUNT_KEYS, {"now": now}).scalar_one()
    return found


def purge_keys(connection: Connection, now: datetime, *, portion: int = _PORTION) -> int:
    """Forget the dedupe keys whose window is over, at most `portion` of them; how many. Repeat until it is 0."""
    return connection.execute(_PURGE_KEYS, {"now": now, "portion": portion}).rowcount


# What has not ended has no such time, and no time is before a moment.
_IS_OLDER = mail_recipients.c.finished_at < bindparam("before")
_COUNT_OLDER = select(func.count()).select_from(mail_recipients).where(HAS_ADDRESS, _IS_OLDER)
_PURGE = (
    update(mail_recipients)
    .where(
        mail_recipients.c.id.in_(
            select(mail_recipients.c.id)
            .where(HAS_ADDRESS, _IS_OLDER)
            .order_by(mail_recipients.c.finished_at)
            .limit(bindparam("portion"))
        )
    )
    .values(payload=None, error=None)
)
_COUNT_KEYS = select(func.count()).select_from(mail_keys).where(mail_keys.c.until <= bindparam("now"))
# Skipped: a key that is being taken over at this moment is needed.
_PURGE_KEYS = delete(mail_keys).where(
    mail_keys.c.dedupe_key.in_(
        select(mail_keys.c.dedupe_key)
        .where(mail_keys.c.until <= bindparam("now"))
        .order_by(mail_keys.c.until)
        .limit(bindparam("portion"))
        .with_for_update(skip_locked=True)
    )
)
