"""What happened to one customer in groups: which group and chunk, the calls that may have carried him, what was owed.

A call carries whole chunks, and the ledger keeps no list of who was in it. The vendor took his chunk at the moment that
the chunk was submitted at: that call is his for certain. One that failed after he was decided may have carried him. An
answer that the vendor need not be told is in no call.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, or_, select

from clearance.ledger import group_obligations as owed_by_groups
from clearance.ledger.decisions import Answer
from clearance.ledger.earlier_answers import submitted_answers
from clearance.ledger.group_details import obligation_id
from clearance.ledger.group_facts import Cause, ChunkState, EndedAs, Group, group_of
from clearance.ledger.portions import portions
from clearance.ledger.tables import approvals, chunks, group_revisions, groups, obligations
from clearance.ledger.why_facts import InGroup, NoCall, Owed, Sent, owed_of, sent_of

_MOST_CALLS = 10


def groups_of(connection: Connection, decided: Iterable[Row[Any]]) -> dict[str, InGroup]:
    """Of rows of `decisions` those about groups, by subject."""
    rows = {row.subject: row for row in decided if ":" in row.subject}
    numbers_by_subject = {subject: owed_by_groups.numbers_of(subject) for subject in rows}
    group_by_id: dict[str, Group] = {}
    revisions_by_id: dict[str, list[Row[Any]]] = {}
    for ids in portions(group_id for group_id, _ in numbers_by_subject.values()):
        found = connection.execute(_SELECT_GROUPS, {"ids": ids})
        group_by_id |= {row.id: group_of(row) for row in found}
        for row in connection.execute(_SELECT_REVISIONS, {"ids": ids}):
            revisions_by_id.setdefault(row.group_id, []).append(row)
    return {
        subject: _in_group(
            connection, group_by_id[group_id], generation, rows[subject], revisions_by_id[group_id]
        )
        for subject, (group_id, (generation,)) in numbers_by_subject.items()
        if group_id in group_by_id
    }


def calls_in_groups(
    connection: Connection, in_groups: Mapping[str, InGroup], decided: Mapping[str, Row[Any]]
) -> dict[str, list[Sent]]:
    """By subject, the calls that carried him, or may have; the newest few, in the order in which they were made."""
    return {
        subject: _calls(connection, each, decided[subject].decided_at)
        for subject, each in in_groups.items()
        if each.no_call is None
    }


def owed_in_groups(connection: Connection, in_groups: Mapping[str, InGroup]) -> dict[str, list[Owed]]:
    """By subject, what was owed for him: to review his chunk, and to submit it."""
    ids_by_subject = {subject: _owed_ids(each) for subject, each in in_groups.items()}
    owed_by_id: dict[str, Owed] = {}
    for ids in portions(each for together in ids_by_subject.values() for each in together):
        owed_by_id |= {row.id: owed_of(row) for row in connection.execute(_SELECT_OWED, {"ids": ids})}
    return {
        subject: [owed_by_id[each] for each in ids if each in owed_by_id]
        for subject, ids in ids_by_subject.items()
    }


def _in_group(
    connection: Connection,
    group: Group,
    generation: int,
    decided: Row[Any],
    revisions: Sequence[Row[Any]],
) -> InGroup:
    number = decided.chunk
    asked = {"group": group.group_id, "of_generation": generation, "the_number": number}
    chunk = connection.execute(_SELECT_CHUNK, asked).first() if number is not None else None
    under = chunk.submitted_revision if chunk else None
    of_generation = [row for row in revisions if row.generation == generation]
    revision = next((row for row in of_generation if row.revision == under), of_generation[-1])
    return InGroup(
        group=group,
        generation=generation,
        revision=revision.revision,
        cause=Cause(revision.cause),
        received_at=of_generation[0].received_at,
        deadline_at=revision.deadline_at,
        ended_as=EndedAs(revision.ended_as) if revision.ended_as else None,
        chunk=number,
        chunk_state=ChunkState(chunk.state) if chunk else None,
        submitted_at=chunk.submitted_at if chunk else None,
        no_call=_no_call(connection, group, generation, decided),
    )


def _no_call(connection: Connection, group: Group, generation: int, decided: Row[Any]) -> NoCall | None:
    """As whoever submits leaves out what the vendor need not be told."""
    told = submitted_answers(connection, group.group_id, generation, [decided.customer_id])
    if told.get(decided.customer_id) is decided.approved:
        return NoCall.TOLD_BEFORE
    return NoCall.REFUSED_IN_V1 if group.api == "v1" and not decided.approved else None


def _calls(connection: Connection, in_group: InGroup, decided_at: datetime) -> list[Sent]:
    asked = {
        "group": in_group.group.group_id,
        "to_revision": in_group.revision,
        "since": decided_at,
        "taken_at": in_group.submitted_at or in_group.deadline_at,
        "most": _MOST_CALLS,
    }
    rows = connection.execute(_SELECT_CALLS, asked).all()
    is_submitted = in_group.submitted_at is not None
    return [
        sent_of(row, is_certain=row.outcome == Answer.TAKEN)
        for row in reversed(rows)
        if row.outcome != Answer.TAKEN or is_submitted
    ]


def _owed_ids(in_group: InGroup) -> list[str]:
    group_id = in_group.group.group_id
    submit = obligation_id(owed_by_groups.SUBMIT, group_id, in_group.revision)
    if in_group.chunk is None:
        return [submit]
    review = obligation_id(owed_by_groups.REVIEW, group_id, in_group.generation, in_group.chunk)
    return [review, submit]


_SELECT_GROUPS = select(groups).where(groups.c.id.in_(bindparam("ids", expanding=True)))
_SELECT_REVISIONS = (
    select(group_revisions)
    .where(group_revisions.c.group_id.in_(bindparam("ids", expanding=True)))
    .order_by(group_revisions.c.revision)
)
_SELECT_CHUNK = select(chunks.c.state, chunks.c.submitted_at, chunks.c.submitted_revision).where(
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
    chunks.c.number == bindparam("the_number"),
)
_SELECT_CALLS = (
    select(approvals)
    .where(
        approvals.c.subject == bindparam("group"),
        approvals.c.revision <= bindparam("to_revision"),
        approvals.c.sent_at >= bindparam("since"),
        approvals.c.sent_at <= bindparam("taken_at"),
        or_(
            approvals.c.outcome != Answer.TAKEN.value,
            func.coalesce(approvals.c.answered_at, approvals.c.sent_at) == bindparam("taken_at"),
        ),
    )
    .order_by(approvals.c.sent_at.desc(), approvals.c.id.desc())
    .limit(bindparam("most"))
)
_SELECT_OWED = select(obligations).where(obligations.c.id.in_(bindparam("ids", expanding=True)))
