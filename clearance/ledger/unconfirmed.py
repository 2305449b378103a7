"""Which answers may the vendor have without our knowing? Those of a call that was begun and never answered.

A chunk remembers the revision under which it was sent from the moment before (`group_calls`); once a call is taken it
is submitted. Until then it is decided and may be sent again. One that is given up like that was not "not sent": whoever
reports it says so, and a group that comes again tells its customers' answers anew.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, func, select

from clearance.ledger.decisions_in_groups import among
from clearance.ledger.group_facts import ChunkState
from clearance.ledger.tables import chunks, group_revisions


def unconfirmed(connection: Connection, group_id: str, revision: int) -> int:
    """How many customers were sent and never confirmed, under whichever revision of this one's generation."""
    found = connection.execute(_COUNT, {"group": group_id, "of_revision": revision})
    customers: int = found.scalar_one() or 0
    return customers


def unconfirmed_before(
    connection: Connection, group_id: str, before_generation: int, customer_ids: Sequence[str]
) -> set[str]:
    """Of these customers those of whom it is not known what the vendor was last told."""
    return {
        row.customer_id
        for generation in range(1, before_generation)
        for row in among(connection, group_id, generation, customer_ids, _IS_UNSETTLED)
    }


_IS_UNSETTLED = and_(chunks.c.state != ChunkState.SUBMITTED.value, chunks.c.submitted_revision.is_not(None))
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
