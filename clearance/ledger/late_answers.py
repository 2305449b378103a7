"""What if the vendor's answer comes when the books are closed already? Then nobody was missed after all."""

from sqlalchemy import Connection, bindparam, exists, update

from clearance.ledger.group_facts import EndedAs, GroupState
from clearance.ledger.tables import group_revisions, groups


def correct_end(connection: Connection, group_id: str, revision: int) -> None:
    """A revision that ended as missed was submitted, if by now its counts say so; its group as well."""
    asked = {"group": group_id, "of_revision": revision}
    connection.execute(_TURN_REVISION, asked)
    connection.execute(_TURN_GROUP, asked)


_IS_REVISION = (
    group_revisions.c.group_id == bindparam("group"),
    group_revisions.c.revision == bindparam("of_revision"),
)
_TURN_REVISION = (
    update(group_revisions)
    .where(
        *_IS_REVISION,
        group_revisions.c.ended_as == EndedAs.MISSED.value,
        group_revisions.c.not_decided == 0,
        group_revisions.c.not_sent == 0,
        exists().where(groups.c.id == bindparam("group"), groups.c.fetched_at.is_not(None)),
    )
    .values(ended_as=EndedAs.SUBMITTED.value)
)
_TURN_GROUP = (
    update(groups)
    .where(
        groups.c.id == bindparam("group"),
        groups.c.revision == bindparam("of_revision"),
        groups.c.state == GroupState.MISSED.value,
        exists().where(*_IS_REVISION, group_revisions.c.ended_as == EndedAs.SUBMITTED.value),
    )
    .values(state=GroupState.SUBMITTED.value)
)
