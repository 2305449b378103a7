"""Which answers may the vendor have without our knowing? Those of a call that was begun and never answered.

A chunk remembers the revision under which it was sent from the moment before (`group_calls`); once a call is taken it
is submitted. Until then it is decided and may be sent again. One that is given up like that was not "not sent": whoever
reports it says so, and a group that comes again tells its customers' answers anew.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, func, select

from clearance.ledger.group_facts import ChunkState
from clearance.ledger.group_obligations import subject_of
from clearance.ledger.portions import portions
from clearance.ledger.tables import chunks, decisions, group_revisions


def unconfirmed(connection: Connection, group_id: str, revision: int) -> int:
    """How many customers were sent and never confirmed, under whichever revision of this one's generation."""
    found = connection.execute(_COUNT, {"group": group_id, "of_revision": revision})
    customers: int = found.scalar_one() or 0
    return customers


def unconfirmed_before(
    connection: Connection, group_id: str, before_generation: int, customer_ids: Sequence[str]
) -> set[str]:
    """Of these customers those of whom it is not known what the vendor was last told."""
    found: set[str] = set()
    for generation in range(1, before_generation):
        asked = {"subject": subject_of(group_id, generation), "group": group_id, "of_generation": generation}
        if connection.execute(_SELECT_ANY, asked).first() is None:
            continue
        for ids in portions(customer_ids):
            found.update(connection.execute(_SELECT, asked | {"ids": ids}).scalars())
    return found


_IS_UNSETTLED = and_(chunks.c.state != ChunkState.SUBMITTED.value, chunks.c.submitted_revision.is_not(None))
_IS_UNCONFIRMED = and_(
    chunks.c.group_id == bindparam("group"), chunks.c.generation == bindparam("of_generation"), _IS_UNSETTLED
)
_COUNT = (
    select(func.sum(chunks.c.customers))
    .join(
        group_revisions,
        and_(
            group_revisions.c.group_id == chunks.c.group_id,
            group_revisions.c.generation == chunks.c.generation,
        ),
    )
    .where(
        group_revisions.c.group_id == bindparam("group"),
        group_revisions.c.revision == bindparam("of_revision"),
        _IS_UNSETTLED,
    )
)
_SELECT_ANY = select(chunks.c.number).where(_IS_UNCONFIRMED).limit(1)
_SELECT = (
    select(decisions.c.customer_id)
    .join(chunks, chunks.c.number == decisions.c.chunk)
    .where(
        decisions.c.subject == bindparam("subject"),
        decisions.c.customer_id.in_(bindparam("ids", expanding=True)),
        _IS_UNCONFIRMED,
    )
)
