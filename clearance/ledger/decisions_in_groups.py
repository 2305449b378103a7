"""Where is a customer among the decisions of groups?

They are kept by chunk, because that is how they are written. So one customer is looked up in every chunk that there
ever was, one step in an index each; and many customers of one group in a single pass over its decisions.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, String, and_, bindparam, cast, select

from clearance.ledger.group_obligations import subject_of
from clearance.ledger.portions import portions
from clearance.ledger.tables import chunks, decisions

# Fewer passes, and still fewer values than SQLite takes.
_IDS_AT_ONCE = 20_000


def about(connection: Connection, customer_id: str, *, most: int | None = None) -> Sequence[Row[Any]]:
    """The decisions about one customer in whichever group, the newest first."""
    return connection.execute(_ABOUT.limit(most), {"customer_id": customer_id}).all()


def among(
    connection: Connection,
    group_id: str,
    generation: int,
    customer_ids: Sequence[str],
    of_chunks: ColumnElement[bool],
) -> Iterator[Row[Any]]:
    """Of these customers those who are in such chunks of a generation: `customer_id` and `approved`.

    Costs a look at every decision of the generation, if there is such a chunk.
    """
    asked = {"subject": subject_of(group_id, generation), "group": group_id, "of_generation": generation}
    if connection.execute(_ANY.where(of_chunks), asked).first() is None:
        return
    for ids in portions(customer_ids, _IDS_AT_ONCE):
        yield from connection.execute(_AMONG.where(of_chunks), asked | {"ids": ids})


_SUBJECT = chunks.c.group_id + ":" + cast(chunks.c.generation, String)
_ABOUT = (
    select(decisions)
    .join(chunks, and_(decisions.c.subject == _SUBJECT, decisions.c.chunk == chunks.c.number))
    .where(decisions.c.customer_id == bindparam("customer_id"))
    .order_by(decisions.c.decided_at.desc(), decisions.c.subject.desc())
)
_OF_GENERATION = (
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
)
_ANY = select(chunks.c.number).where(*_OF_GENERATION).limit(1)
_AMONG = (
    select(decisions.c.customer_id, decisions.c.approved)
    .join(chunks, chunks.c.number == decisions.c.chunk)
    .where(
        *_OF_GENERATION,
        decisions.c.subject == bindparam("subject"),
        # As an expression, for which there is no index: each customer in each chunk would be a step of its own.
        (decisions.c.customer_id + "").in_(bindparam("ids", expanding=True)),
    )
)
