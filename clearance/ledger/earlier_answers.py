"""What was a group's customer last told to the vendor? So that an answer which has not changed is not sent again."""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, select

from clearance.ledger.group_facts import ChunkState
from clearance.ledger.group_obligations import subject_of
from clearance.ledger.portions import portions
from clearance.ledger.tables import chunks, decisions


def submitted_answers(
    connection: Connection, group_id: str, before_generation: int, customer_ids: Sequence[str]
) -> dict[str, bool]:
    """For each customer the last answer that the vendor took in an earlier generation; absent if there was none.

    Costs what is asked, times the generations that there were.
    """
    found: dict[str, bool] = {}
    for generation in range(before_generation - 1, 0, -1):
        asked = {"subject": subject_of(group_id, generation), "group": group_id, "of_generation": generation}
        for ids in portions(set(customer_ids) - found.keys()):
            rows = connection.execute(_SELECT_SUBMITTED, asked | {"ids": ids})
            found |= {row.customer_id: row.approved for row in rows}
    return found


_OF_GENERATION = and_(
    chunks.c.group_id == bindparam("group"), chunks.c.generation == bindparam("of_generation")
)
_SELECT_SUBMITTED = (
    select(decisions.c.customer_id, decisions.c.approved)
    .join(chunks, chunks.c.number == decisions.c.chunk)
    .where(
        decisions.c.subject == bindparam("subject"),
        decisions.c.customer_id.in_(bindparam("ids", expanding=True)),
        _OF_GENERATION,
        chunks.c.state == ChunkState.SUBMITTED.value,
    )
)
