"""How the decisions about a chunk's customers are written: in bulk, and together with what the chunk says of them."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import orjson
from sqlalchemy import Connection, bindparam, select, update

from clearance.decisions.decision import Decision
from clearance.ledger.chunk_bodies import dump_answers
from clearance.ledger.decisions import NewDecision
from clearance.ledger.decisions_in_bulk import stand_in_bulk
from clearance.ledger.group_facts import ChunkState
from clearance.ledger.tables import chunks


def decide(
    connection: Connection,
    group_id: str,
    generation: int,
    number: int,
    decisions: Sequence[NewDecision],
    *,
    now: datetime,
) -> None:
    """Keep the decisions, drop the body, and note the answers that stand. A chunk that was decided stays as it is."""
    key = {"the_group": group_id, "of_generation": generation, "the_number": number}
    # Locked first: who closes the group takes the same lock, so that one of us decides about its customers.
    if connection.execute(_LOCK, key).scalar() != ChunkState.FETCHED:
        return
    standing = stand_in_bulk(connection, decisions)
    answers = [(item.customer_id, stands.approved) for item, stands in zip(decisions, standing, strict=True)]
    asked = {
        "answered": dump_answers(answers),
        "approvals": sum(approved for _, approved in answers),
        "why": orjson.dumps(_refusals(standing)).decode(),
        "now": now,
    }
    connection.execute(_DECIDE, key | asked)


def _refusals(standing: Sequence[Decision]) -> Counter[str]:
    """How many were not approved, by reason; one with several counts for each."""
    count_by_reasons = Counter(decision.reasons for decision in standing if not decision.approved)
    count_by_reason: Counter[str] = Counter()
    for reasons, count in count_by_reasons.items():
        count_by_reason.update(dict.fromkeys(reasons, count))
    return count_by_reason


_IS_IT = (
    chunks.c.group_id == bindparam("the_group"),
    chunks.c.generation == bindparam("of_generation"),
    chunks.c.number == bindparam("the_number"),
)
_LOCK = select(chunks.c.state).where(*_IS_IT).with_for_update()
_DECIDE = (
    update(chunks)
    .where(*_IS_IT)
    .values(
        state=ChunkState.DECIDED.value,
        approved=bindparam("approvals"),
        decided_at=bindparam("now"),
        reasons=bindparam("why"),
        answers=bindparam("answered"),
        body=None,
    )
)
