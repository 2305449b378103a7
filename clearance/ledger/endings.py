"""Who ended a revision, and how? Asked by whoever has to tell, and was not told by the commit that ended it."""

from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select

from clearance.ledger.closing import End, Ended, ended_of
from clearance.ledger.group_facts import EndedAs, group_of
from clearance.ledger.tables import group_revisions, groups


def ended_by(connection: Connection, end: End) -> Ended | None:
    """How the revision ended, if it ended at exactly the moment of this attempt; None if another ended it.

    For who has lost the connection at that commit.
    """
    asked = {"group": end.group_id, "of_revision": end.revision, "ended": end.now}
    row = connection.execute(_SELECT_REVISION, asked).first()
    return None if row is None else _ended(connection, row)


def ended_by_word(connection: Connection, group_id: str, revision: int) -> Ended | None:
    """How the revision was missed, if what the vendor said ended it: a deadline in the past, or a word after its end.

    Whoever closes it finds nothing to end, and tells of whom it missed nevertheless.
    """
    row = connection.execute(_SELECT_BY_WORD, {"group": group_id, "of_revision": revision}).first()
    return None if row is None else _ended(connection, row)


def _ended(connection: Connection, row: Row[Any]) -> Ended:
    group = group_of(connection.execute(_SELECT_GROUP, {"group": row.group_id}).one())
    return ended_of(row, group, EndedAs(row.ended_as))


_SELECT_REVISION = select(group_revisions).where(
    group_revisions.c.group_id == bindparam("group"),
    group_revisions.c.revision == bindparam("of_revision"),
    group_revisions.c.ended_at == bindparam("ended"),
    group_revisions.c.ended_as.in_([EndedAs.SUBMITTED.value, EndedAs.MISSED.value]),
)
_next = group_revisions.alias("next")
_SELECT_BY_WORD = (
    select(group_revisions)
    .outerjoin(
        _next,
        (_next.c.group_id == group_revisions.c.group_id) & (_next.c.revision == bindparam("of_revision") + 1),
    )
    .where(
        group_revisions.c.group_id == bindparam("group"),
        group_revisions.c.revision == bindparam("of_revision"),
        group_revisions.c.ended_as == EndedAs.MISSED.value,
        or_(
            group_revisions.c.ended_at == group_revisions.c.received_at,
            group_revisions.c.ended_at == _next.c.received_at,
        ),
    )
)
_SELECT_GROUP = select(groups).where(groups.c.id == bindparam("group"))
