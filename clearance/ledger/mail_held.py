"""What a person says about a held batch: its letters were posted, are to be posted, or are dropped."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from clearance.bloomreach.feedback import Fate, Feedback
from clearance.identifiers import new_id
from clearance.ledger import mail_batches, mail_letters, mail_posting, obligations, operator_actions
from clearance.ledger.mail_letters import LetterEnd
from clearance.ledger.mail_tables import mail_batches as table
from clearance.ledger.operator_actions import OperatorAction
from clearance.ledger.tables import obligations as owed
from clearance.mail_states import BatchState, LetterReason, RecipientState, Resolution
from clearance.obligations import Obligation

ACTION = "mail.held_resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What became of the wish.

    Attributes:
        is_resolved: False when there was nothing to resolve: unknown, or not held (any more).
        state: The batch's state now; None for an unknown batch.
        recipients: How many letters were changed.
        resolved_as, resolved_by: What the last resolution of this batch was, and whose; None if there was none.
        due: What is owed now and may be published at once; a guardian does it as well.
    """

    is_resolved: bool
    state: BatchState | None
    recipients: int = 0
    resolved_as: str | None = None
    resolved_by: str | None = None
    due: tuple[Obligation, ...] = ()


def resolve(
    connection: Connection,
    batch_id: str,
    *,
    how: Resolution,
    who: str,
    why: str | None,
    now: datetime,
    feedback: Feedback | None,
) -> Resolved:
    """Resolve a held batch, and record who did. Of two operators at once, one does; the other is told what was done."""
    batch = mail_batches.locked(connection, [batch_id]).get(batch_id)
    if batch is None:
        return Resolved(is_resolved=False, state=None)
    if batch.state != BatchState.HELD:
        return Resolved(
            is_resolved=False,
            state=BatchState(batch.state),
            resolved_as=batch.resolved_as,
            resolved_by=batch.resolved_by,
        )
    letters = mail_posting.letters(connection, [batch_id])[batch_id]
    state, end = _END_BY_RESOLUTION[how]
    values = {
        "the_id": batch_id,
        "to_state": state,
        "letters_posted": len(letters) if how is Resolution.POSTED else 0,
        "how": how,
        "who": who,
        "now": now,
        "due_at": now if how is Resolution.REPOST else batch.due_at,
        "ended_at": None if how is Resolution.REPOST else now,
    }
    connection.execute(_RESOLVE, values)
    due = _post_again(connection, batch, now) if how is Resolution.REPOST else ()
    told = mail_letters.end(
        connection,
        [(letter, end) for letter in letters],
        automation_id=batch.automation_id,
        feedback=None if batch.is_dry_run else feedback,
        now=now,
        trace_id=batch.trace_id,
    )
    action = OperatorAction(
        action_id=new_id(now),
        at=now,
        who=who,
        action=f"{ACTION}_{how}",
        subject=batch_id,
        count=len(letters),
        why=why,
    )
    operator_actions.record(connection, action)
    return Resolved(
        is_resolved=True,
        state=state,
        recipients=len(letters),
        resolved_as=how,
        resolved_by=who,
        due=(*due, *told),
    )


def _post_again(connection: Connection, batch: Row[Any], now: datetime) -> tuple[Obligation, ...]:
    """Owe it anew: what it was owed as has ended."""
    turn = connection.execute(_COUNT_OWED, {"subject": batch.id}).scalar_one() + 1
    obligation = mail_batches.owed(batch.id, now=now, due_at=now, trace_id=batch.trace_id, turn=turn)
    obligations.add_many(connection, [obligation])
    return (obligation,)


_END_BY_RESOLUTION = {
    Resolution.POSTED: (BatchState.POSTED, LetterEnd(state=RecipientState.POSTED, fate=Fate.ENQUEUED)),
    Resolution.REPOST: (BatchState.READY, LetterEnd(state=RecipientState.QUEUED)),
    Resolution.DROP: (
        BatchState.DROPPED,
        LetterEnd(
            state=RecipientState.DROPPED, fate=Fate.REFUSED, reason=LetterReason.DROPPED, frees_key=True
        ),
    ),
}
_RESOLVE = (
    update(table)
    .where(table.c.id == bindparam("the_id"))
    .values(
        state=bindparam("to_state"),
        posted=bindparam("letters_posted"),
        due_at=bindparam("due_at"),
        finished_at=bindparam("ended_at"),
        resolved_as=bindparam("how"),
        resolved_by=bindparam("who"),
        resolved_at=bindparam("now"),
    )
)
_COUNT_OWED = select(func.count()).select_from(owed).where(owed.c.subject == bindparam("subject"))
