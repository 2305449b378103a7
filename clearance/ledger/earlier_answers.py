"""What was a group's customer last told to the vendor? So that an answer which has not changed is not sent again."""

from collections.abc import Sequence

from sqlalchemy import Connection

from clearance.ledger.decisions_in_groups import among
from clearance.ledger.group_facts import ChunkState
from clearance.ledger.tables import chunks


def submitted_answers(
    connection: Connection, group_id: str, before_generation: int, customer_ids: Sequence[str]
) -> dict[str, bool]:
    """For each customer the last answer that the vendor took in an earlier generation; absent if there was none.

    Costs a pass over what was decided in each generation.
    """
    found: dict[str, bool] = {}
    for generation in range(before_generation - 1, 0, -1):
        left = [customer_id for customer_id in customer_ids if customer_id not in found]
        rows = among(connection, group_id, generation, left, _IS_SUBMITTED)
        found |= {row.customer_id: row.approved for row in rows}
    return found


_IS_SUBMITTED = chunks.c.state == ChunkState.SUBMITTED.value
