"""Which answers may the vendor have without our knowing? Those of a call that was sent and never answered.

A chunk remembers the revision under which it was sent from that call on; once a call is taken it is submitted. Until
then it is decided and may be sent again. One that is given up like that was not "not sent": whoever reports it says so,
and a group that comes again tells its customers' answers anew.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, func, select, update

from clearance.ledger.decisions import Answer
from clearance.ledger.group_facts import ChunkState
from clearance.ledger.group_obligations import subject_of
from clearance.ledger.portions import portions
from clearance.ledger.submissions import Call, submitted_many
from clearance.ledger.tables import chunks, decisions


def called_many(connection: Connection, items: Sequence[Call]) -> list[int]:
    """As `submissions.submitted_many`; the chunks of a call without an answer remember that they were sent."""
    customers = submitted_many(connection, items)
    for item in sorted(items, key=lambda item: (item.group_id, item.revision)):
        if item.approval is not None and item.approval.answer is Answer.UNKNOWN and item.numbers:
            asked = {"group": item.group_id, "of_generation": item.generation, "numbers": list(item.numbers)}
            connection.execute(_REMEMBER, asked | {"of_revision": item.revision})
    return customers


def unconfirmed(connection: Connection, group_id: str, generation: int) -> int:
    """How many customers were sent and never confirmed, under whichever revision of the generation."""
    found = connection.execute(_COUNT, {"group": group_id, "of_generation": generation})
    customers: int = found.scalar_one() or 0
    return customers


def unconfirmed_before(
    connection: Connection, group_id: str, before_generation: int, customer_ids: Sequence[str]
) -> set[str]:
    """Of these customers those of whom it is not known what the vendor was last told."""
    found: set[str] = set()
    for generation in range(1, before_generation):
        if not unconfirmed(connection, group_id, generation):
            continue
        asked = {"subject": subject_of(group_id, generation), "group": group_id, "of_generation": generation}
        for ids in portions(customer_ids):
            found.update(connection.execute(_SELECT, asked | {"ids": ids}).scalars())
    return found


_IS_UNCONFIRMED = and_(
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
    chunks.c.state != ChunkState.SUBMITTED.value,
    chunks.c.submitted_revision.is_not(None),
)
_REMEMBER = (
    update(chunks)
    .where(
        chunks.c.group_id == bindparam("group"),
        chunks.c.generation == bindparam("of_generation"),
        chunks.c.number.in_(bindparam("numbers", expanding=True)),
        chunks.c.state != ChunkState.SUBMITTED.value,
    )
    .values(submitted_revision=bindparam("of_revision"))
)
_COUNT = select(func.sum(chunks.c.customers)).where(_IS_UNCONFIRMED)
_SELECT = (
    select(decisions.c.customer_id)
    .join(chunks, chunks.c.number == decisions.c.chunk)
    .where(
        decisions.c.subject == bindparam("subject"),
        decisions.c.customer_id.in_(bindparam("ids", expanding=True)),
        _IS_UNCONFIRMED,
    )
)
