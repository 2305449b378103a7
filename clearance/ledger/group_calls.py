"""What came of the calls that carry a group's answers?

A call is in the ledger before it is made (`calls_begun`). Afterwards its row gets the outcome, and its chunks are
submitted if the vendor took them. As long as nobody knows, they remember the revision under which they were sent. Every
step may be repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, exists, or_, select, update

from clearance.ledger.decisions import Answer, NewApproval, record_approvals
from clearance.ledger.group_facts import ChunkState
from clearance.ledger.late_answers import correct_end
from clearance.ledger.tables import approvals, chunks, group_revisions, groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call for a group, and the chunks that it carries.

    Attributes:
        approval: None when nothing had to be sent: the vendor knows these answers.
        now: When that was found out, or the call was recorded.
        unsent: Of `numbers` those that no call before has carried without an answer (`submissions.DecidedChunks`).
    """

    group_id: str
    generation: int
    revision: int
    deadline_at: datetime
    approval: NewApproval | None
    now: datetime
    numbers: Sequence[int] = ()
    unsent: Sequence[int] = ()


def called_many(connection: Connection, items: Sequence[Call]) -> list[int]:
    """Write down what came of calls, also of such as were not written down before they were made.

    Returns:
        For each, how many customers are submitted by it that were not before: 0 for a repeat.
    """
    # The group's row before everything else: the order in which it is moved, called for and closed, too.
    for group_id in sorted({item.group_id for item in items}):
        connection.execute(_LOCK_GROUP, {"group": group_id})
    calls = [item.approval for item in items if item.approval]
    record_approvals(connection, calls)
    for call in sorted(calls, key=lambda call: call.approval_id):
        connection.execute(_COMPLETE, _outcome(call))
    in_order = sorted(enumerate(items), key=lambda each: (each[1].group_id, each[1].revision))
    customers = {position: _settle(connection, item) for position, item in in_order}
    return [customers[position] for position in range(len(items))]


def note_first(connection: Connection, item: Call, sent_at: datetime) -> None:
    """The revision keeps when its first call was begun."""
    connection.execute(_NOTE_FIRST, _asked(item) | {"sent": sent_at})


def remember(connection: Connection, item: Call) -> None:
    """The vendor may have these chunks."""
    connection.execute(_REMEMBER, _asked(item))


def forget(connection: Connection, item: Call, call: NewApproval) -> None:
    """The vendor does not have it. Unless another worker has taken over: that one may be sending the same chunks."""
    if item.unsent:
        asked = _asked(item) | {"numbers": list(item.unsent), "our_attempt": call.attempt}
        connection.execute(_FORGET, asked)


def _settle(connection: Connection, item: Call) -> int:
    at = item.now
    if item.approval is not None:
        at = _note(connection, item, item.approval)
        if item.approval.answer is Answer.UNKNOWN:
            remember(connection, item)
            return 0
        if item.approval.answer is Answer.REFUSED:
            forget(connection, item, item.approval)
            return 0
    if not item.numbers:
        return 0
    asked = _asked(item) | {"now": at}
    decided = _submit(connection, asked, ChunkState.DECIDED)
    # Also what was given up meanwhile: the vendor's answer came late, but it took them.
    missed = _submit(connection, asked, ChunkState.MISSED)
    cancelled = _submit(connection, asked, ChunkState.CANCELLED)
    customers = decided + missed + cancelled
    if customers:
        connection.execute(_ADD_SUBMITTED, asked | {"more": customers, "less": missed})
    if missed:
        correct_end(connection, item.group_id, item.revision)
    return customers


def _note(connection: Connection, item: Call, call: NewApproval) -> datetime:
    """When it ended, as far as we know. The revision keeps its first call, and the last one that was taken."""
    asked, at = _asked(item), call.answered_at or call.sent_at
    note_first(connection, item, call.sent_at)
    if call.answer is Answer.TAKEN:
        margin_ms = int((item.deadline_at - at).total_seconds() * 1000)
        connection.execute(_NOTE_TAKEN, asked | {"at": at, "margin": margin_ms})
    return at


def _submit(connection: Connection, asked: Mapping[str, Any], state: ChunkState) -> int:
    return sum(connection.execute(_SUBMIT, {**asked, "was": state}).scalars())


def _asked(item: Call) -> dict[str, Any]:
    return {
        "group": item.group_id,
        "of_generation": item.generation,
        "of_revision": item.revision,
        "numbers": list(item.numbers),
    }


def _outcome(call: NewApproval) -> dict[str, Any]:
    return {
        "the_id": call.approval_id,
        "sent": call.sent_at,
        "answered": call.answered_at,
        "the_status": call.status,
        "the_outcome": call.answer,
        "what_failed": call.error,
    }


_ARE_OF_CALL = (
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of_generation"),
    chunks.c.number.in_(bindparam("numbers", expanding=True)),
)
_IS_REVISION = (
    group_revisions.c.group_id == bindparam("group"),
    group_revisions.c.revision == bindparam("of_revision"),
)
_LOCK_GROUP = select(groups.c.id).where(groups.c.id == bindparam("group")).with_for_update()
_COMPLETE = (
    update(approvals)
    .where(approvals.c.id == bindparam("the_id"), approvals.c.outcome == Answer.UNKNOWN.value)
    .values(
        sent_at=bindparam("sent"),
        answered_at=bindparam("answered"),
        status=bindparam("the_status"),
        outcome=bindparam("the_outcome"),
        error=bindparam("what_failed"),
    )
)
_NOTE_FIRST = (
    update(group_revisions)
    .where(*_IS_REVISION, group_revisions.c.first_call_at.is_(None))
    .values(first_call_at=bindparam("sent"))
)
_NOTE_TAKEN = (
    update(group_revisions)
    .where(
        *_IS_REVISION,
        or_(group_revisions.c.last_call_at.is_(None), group_revisions.c.last_call_at <= bindparam("at")),
    )
    .values(last_call_at=bindparam("at"), margin_ms=bindparam("margin"))
)
_REMEMBER = (
    update(chunks)
    .where(*_ARE_OF_CALL, chunks.c.state != ChunkState.SUBMITTED.value)
    .values(submitted_revision=bindparam("of_revision"))
)
_FORGET = (
    update(chunks)
    .where(
        *_ARE_OF_CALL,
        chunks.c.state != ChunkState.SUBMITTED.value,
        chunks.c.submitted_revision == bindparam("of_revision"),
        ~exists().where(
            approvals.c.subject == bindparam("group"),
            approvals.c.revision == bindparam("of_revision"),
            approvals.c.attempt > bindparam("our_attempt"),
        ),
    )
    .values(submitted_revision=None)
)
_SUBMIT = (
    update(chunks)
    .where(*_ARE_OF_CALL, chunks.c.state == bindparam("was"), chunks.c.decided_at.is_not(None))
    .values(
        state=ChunkState.SUBMITTED.value,
        submitted_at=bindparam("now"),
        submitted_revision=bindparam("of_revision"),
    )
    .returning(chunks.c.customers)
)
_ADD_SUBMITTED = (
    update(group_revisions)
    .where(*_IS_REVISION)
    .values(
        submitted=group_revisions.c.submitted + bindparam("more"),
        not_sent=group_revisions.c.not_sent - bindparam("less"),
    )
)
