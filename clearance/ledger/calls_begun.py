"""May a call for a group be made now? Then it is written down before the vendor can hear of it.

As one of which the outcome is not known: whoever dies in the middle of it leaves that behind, and the next one knows
what it sends again. Every step may be repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from clearance.ledger.decisions import Answer, NewApproval, record_approvals
from clearance.ledger.group_calls import Call, forget, note_first, remember
from clearance.ledger.group_facts import GroupState
from clearance.ledger.tables import approvals, groups, obligations
from clearance.obligations import Claimed, State

WORKER_GONE = "the worker was gone before an answer came"
"""The error of a call that nobody waits for any more, once another worker has begun one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A call that is about to be made by who holds `claimed`, the obligation to submit its revision."""

    call: Call
    approval: NewApproval
    claimed: Claimed


def begin_many(connection: Connection, items: Sequence[NewCall]) -> list[bool]:
    """Write down calls that are about to be made, as ones of which nothing is known.

    Returns:
        For each, whether it may be made. Not if its revision does not hold any more, or another worker has taken it
        over: then nothing is written.
    """
    in_order = sorted(enumerate(items), key=lambda each: (each[1].call.group_id, each[1].call.revision))
    may_be_made = {position: _begin(connection, item) for position, item in in_order}
    return [may_be_made[position] for position in range(len(items))]


def withdraw_many(connection: Connection, items: Sequence[NewCall]) -> list[None]:
    """Calls that were written down, perhaps, and were not made after all: as if they had never been."""
    for item in sorted(items, key=lambda item: (item.call.group_id, item.call.revision)):
        connection.execute(_DELETE, {"the_id": item.approval.approval_id})
        forget(connection, item.call, item.approval)
    return [None] * len(items)


def _begin(connection: Connection, item: NewCall) -> bool:
    """The group's row first, then its revision and chunks: the order in which it is moved and closed, too."""
    call, approval = item.call, item.approval
    asked = {"group": call.group_id, "of_revision": call.revision, "our_attempt": approval.attempt}
    if connection.execute(_LOCK_GROUP, asked).first() is None:
        return False
    if connection.execute(_SELECT_HELD, asked | {"the_id": item.claimed.obligation_id}).first() is None:
        return False
    connection.execute(_NOTE_GONE, asked | {"gone": WORKER_GONE})
    record_approvals(connection, [approval])
    note_first(connection, call, approval.sent_at)
    remember(connection, call)
    return True


_LOCK_GROUP = (
    select(groups.c.id)
    .where(
        groups.c.id == bindparam("group"),
        groups.c.revision == bindparam("of_revision"),
        groups.c.state == GroupState.OPEN.value,
    )
    .with_for_update()
)
_SELECT_HELD = select(obligations.c.id).where(
    obligations.c.id == bindparam("the_id"),
    obligations.c.attempts == bindparam("our_attempt"),
    obligations.c.state == State.RUNNING.value,
)
_NOTE_GONE = (
    update(approvals)
    .where(
        approvals.c.subject == bindparam("group"),
        approvals.c.outcome == Answer.UNKNOWN.value,
        approvals.c.error.is_(None),
        or_(
            approvals.c.revision < bindparam("of_revision"),
            and_(
                approvals.c.revision == bindparam("of_revision"),
                approvals.c.attempt < bindparam("our_attempt"),
            ),
        ),
    )
    .values(error=bindparam("gone"))
)
_DELETE = delete(approvals).where(
    approvals.c.id == bindparam("the_id"), approvals.c.outcome == Answer.UNKNOWN.value
)
