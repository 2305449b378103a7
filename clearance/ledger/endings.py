"""Was it this attempt that ended a revision? Asked when a connection was lost at the commit that would have said so."""

from sqlalchemy import Connection, bindparam, select

from clearance.ledger.closing import End, Ended
from clearance.ledger.group_facts import EndedAs, group_of
from clearance.ledger.tables import group_revisions, groups


def ended_by(connection: Connection, end: End) -> Ended | None:
    """How the revision ended, if it ended at exactly the moment of this attempt; None if another ended it."""
    asked = {"group": end.group_id, "of_revision": end.revision, "ended": end.now}
    row = connection.execute(_SELECT_REVISION, asked).first()
    if row is None:
        return None
    group = group_of(connection.execute(_SELECT_GROUP, {"group": end.group_id}).one())
    expected = group.expected_customers if group.fetched_at is None else None
    return Ended(
        group=group,
        ended_as=EndedAs(row.ended_as),
        submitted=row.submitted,
        not_decided=row.not_decided,
        not_sent=row.not_sent,
        not_fetched=max(0, (expected or 0) - group.fetched),
        margin_s=None if row.margin_ms is None else row.margin_ms / 1000,
    )


_SELECT_REVISION = select(group_revisions).where(
    group_revisions.c.group_id == bindparam("group"),
    group_revisions.c.revision == bindparam("of_revision"),
    group_revisions.c.ended_at == bindparam("ended"),
    group_revisions.c.ended_as.in_([EndedAs.SUBMITTED.value, EndedAs.MISSED.value]),
)
_SELECT_GROUP = select(groups).where(groups.c.id == bindparam("group"))
