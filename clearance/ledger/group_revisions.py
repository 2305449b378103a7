"""What the vendor said of a group, one row each time it said something new, and how each ended."""

from datetime import datetime

from sqlalchemy import BigInteger, Connection, bindparam, func, select, update

from clearance.ledger.group_facts import Cause, ChunkState, EndedAs, Group, GroupState
from clearance.ledger.insert_new import insert_new
from clearance.ledger.tables import chunks, group_revisions


def add_revision(connection: Connection, group: Group, cause: Cause, received_at: datetime) -> None:
    """Note the revision that the group is at."""
    connection.execute(
        _INSERT,
        {
            "group_id": group.group_id,
            "revision": group.revision,
            "told_at": group.told_at,
            "received_at": received_at,
            "deadline_at": group.deadline_at,
            "submit_at": group.submit_at,
            "generation": group.generation,
            "cause": cause,
            "ended_as": None,
            "ended_at": None,
            "first_call_at": None,
            "last_call_at": None,
            "margin_ms": None,
            "submitted": 0,
            "not_decided": 0,
            "not_sent": 0,
        },
    )


def end_revision(
    connection: Connection, group: Group, ended_as: EndedAs, now: datetime, *, margin_s: float | None = None
) -> bool:
    """End the revision that the group is at; False when it had ended. `margin_s` counts if there was no call."""
    margin_ms = None if margin_s is None else round(margin_s * 1000)
    asked = {"group": group.group_id, "of_revision": group.revision, "ended": ended_as, "now": now}
    return connection.execute(_END, asked | {"margin": margin_ms}).rowcount == 1


def has_ended(connection: Connection, group: Group, now: datetime) -> bool:
    """Whether the revision that the group is at has ended, be it written down yet or not.

    By whichever clock: who has begun to give its chunks up has found the deadline over.
    """
    if group.state is not GroupState.OPEN or group.deadline_at <= now:
        return True
    asked = {"group": group.group_id, "of_generation": group.generation}
    return connection.execute(_SELECT_MISSED, asked).first() is not None


def settle_chunks(connection: Connection, group: Group, state: ChunkState) -> None:
    """Of chunks that nobody will work on any more, forget what the vendor said. Missed ones are counted."""
    asked = {"group": group.group_id, "of_generation": group.generation, "of_revision": group.revision}
    if state is ChunkState.MISSED:
        left = {row.state: row.customers for row in connection.execute(_COUNT_LEFT, asked)}
        counts = {
            "undecided": left.get(ChunkState.FETCHED, 0),
            "unsent": left.get(ChunkState.DECIDED, 0),
        }
        connection.execute(_ADD_MISSED, asked | counts)
    connection.execute(_SETTLE, asked | {"settled": state})


_INSERT = insert_new(group_revisions)
_END = (
    update(group_revisions)
    .where(
        group_revisions.c.group_id == bindparam("group"),
        group_revisions.c.revision == bindparam("of_revision"),
        group_revisions.c.ended_as.is_(None),
    )
    .values(
        ended_as=bindparam("ended"),
        ended_at=bindparam("now"),
        margin_ms=func.coalesce(group_revisions.c.margin_ms, bindparam("margin", type_=BigInteger)),
    )
)
_SELECT_MISSED = (
    select(chunks.c.number)
    .where(
        chunks.c.group_id == bindparam("group"),
        chunks.c.generation == bindparam("of_generation"),
        chunks.c.state == ChunkState.MISSED.value,
    )
    .limit(1)
)
_LEFT = (
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
    chunks.c.state.in_([ChunkState.FETCHED.value, ChunkState.DECIDED.value]),
)
_COUNT_LEFT = (
    select(chunks.c.state, func.sum(chunks.c.customers).label("customers"))
    .where(*_LEFT)
    .group_by(chunks.c.state)
)
_ADD_MISSED = (
    update(group_revisions)
    .where(
        group_revisions.c.group_id == bindparam("group"),
        group_revisions.c.revision == bindparam("of_revision"),
    )
    .values(
        not_decided=group_revisions.c.not_decided + bindparam("undecided"),
        not_sent=group_revisions.c.not_sent + bindparam("unsent"),
    )
)
_SETTLE = update(chunks).where(*_LEFT).values(state=bindparam("settled"), body=None, answers=None)
