"""How does a worker hold what is owed for a group, and say that its customers are all fetched?

A fetch ends in the transaction that makes its generation complete. Once it is known how many they are, the group may
have to be submitted earlier; never later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, bindparam, select, update

from clearance.ledger import group_obligations as owed
from clearance.ledger import obligations
from clearance.ledger.group_facts import Group, group_of
from clearance.ledger.tables import group_revisions, groups
from clearance.obligations import Claimed, Done


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedGroup:
    """An obligation to fetch, to submit or to close, and the group as it is now.

    Attributes:
        number: The generation that is to be fetched, or the revision that is to be submitted or closed.
    """

    claimed: Claimed
    group: Group
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """How a fetch ended. If it is done, every customer of the generation is stored.

    Attributes:
        margin: How long before the deadline to submit, now that it is known how many they are; only a longer one
            counts. Of the deadline that holds when this is written, which may not be the one of the fetch.
    """

    finish: obligations.Finish
    group_id: str
    generation: int
    margin: timedelta
    eta_window: timedelta


def claim_many(
    connection: Connection, requests: Sequence[obligations.ClaimRequest]
) -> list[ClaimedGroup | None]:
    """As `obligations.claim_many`, with the groups."""
    claims = obligations.claim_many(connection, requests)
    numbers_by_subject = {claimed.subject: owed.numbers_of(claimed.subject) for claimed in claims if claimed}
    ids = sorted({group_id for group_id, _ in numbers_by_subject.values()})
    rows = connection.execute(_SELECT, {"ids": ids}) if ids else ()
    group_by_id = {row.id: group_of(row) for row in rows}
    held: list[ClaimedGroup | None] = []
    for claimed in claims:
        if claimed is None:
            held.append(None)
            continue
        group_id, (number,) = numbers_by_subject[claimed.subject]
        held.append(ClaimedGroup(claimed=claimed, group=group_by_id[group_id], number=number))
    return held


def fetched_many(connection: Connection, items: Sequence[Fetched]) -> list[bool]:
    """As `obligations.finish_many`; a generation that was fetched is known to be complete from now on."""
    for item in sorted(items, key=lambda item: item.group_id):
        if isinstance(item.finish.outcome, Done):
            _complete(connection, item)
    return obligations.finish_many(connection, [item.finish for item in items])


def _complete(connection: Connection, item: Fetched) -> None:
    now = item.finish.now
    asked = {"the_group": item.group_id, "of_generation": item.generation, "now": now}
    group = connection.execute(_COMPLETE, asked).first()
    if group is None or item.margin <= group.deadline_at - group.submit_at:
        return
    submit_at = group.deadline_at - item.margin
    connection.execute(_HASTEN, {"the_group": item.group_id, "at": submit_at})
    connection.execute(_HASTEN_REVISION, {"group": item.group_id, "number": group.revision, "at": submit_at})
    owed.hasten_submit(
        connection,
        item.group_id,
        group.revision,
        now=now,
        run_at=submit_at,
        eta_window=item.eta_window,
    )


_SELECT = select(groups).where(groups.c.id.in_(bindparam("ids", expanding=True)))
_COMPLETE = (
    update(groups)
    .where(
        groups.c.id == bindparam("the_group"),
        groups.c.generation == bindparam("of_generation"),
        groups.c.fetched_at.is_(None),
    )
    .values(fetched_at=bindparam("now"))
    .returning(groups.c.revision, groups.c.deadline_at, groups.c.submit_at)
)
_HASTEN = update(groups).where(groups.c.id == bindparam("the_group")).values(submit_at=bindparam("at"))
_HASTEN_REVISION = (
    update(group_revisions)
    .where(
        group_revisions.c.group_id == bindparam("group"), group_revisions.c.revision == bindparam("number")
    )
    .values(submit_at=bindparam("at"))
)
