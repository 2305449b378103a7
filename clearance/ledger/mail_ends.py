"""What became of a batch that was posted: its letters, who is not posted to any more, and what Bloomreach is told.

All of it is one transaction with the end of its obligation. An end whose obligation was taken over meanwhile changes
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, update

from clearance.bloomreach.feedback import Fate, Feedback
from clearance.ledger import mail_batches, mail_letters, mail_split, mail_withheld, obligations
from clearance.ledger.mail_letters import LetterEnd
from clearance.ledger.mail_posting import BatchToPost, Letter
from clearance.ledger.mail_tables import mail_batches as table
from clearance.ledger.obligations import Finish
from clearance.mail_states import BatchState, HeldReason, LetterReason, RecipientState
from clearance.obligations import Retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """Optilyz took the letter."""

    vendor_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Optilyz refused the letter, and said why."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Optilyz answered letter by letter, in the order in which they were sent."""

    results: tuple[Posted | Failed, ...]
    status: int
    vendor_request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """A dry run: all was done but the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingLeft:
    """All of its letters were withheld."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """Certain not to be posted: with a retry the batch is ready again, and that it was begun does not count."""

    error: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A person has to say what became of it."""

    reason: HeldReason
    error: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Refused as a whole, perhaps for one of its letters: its halves are posted on their own."""

    error: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedSingle:
    """Its only letter was refused."""

    error: str
    status: int


End = Answered | Rehearsed | NothingLeft | NotSent | Held | Split | RefusedSingle


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnd:
    """How one attempt to post a batch ended. `feedback`: None to tell Bloomreach nothing."""

    batch: BatchToPost
    end: End
    finish: Finish
    feedback: Feedback | None
    now: datetime


def settle_many(connection: Connection, ends: Sequence[BatchEnd]) -> list[bool]:
    """Record ends. False for one whose obligation was taken over meanwhile: nothing of it is recorded."""
    mail_batches.locked(connection, [end.batch.batch_id for end in ends])
    are_ours = obligations.finish_many(connection, [end.finish for end in ends])
    for item, is_ours in zip(ends, are_ours, strict=True):
        if is_ours:
            mail_withheld.settle(connection, item.batch, feedback=_feedback(item), now=item.now)
            _settle(connection, item)
    return are_ours


def _settle(connection: Connection, item: BatchEnd) -> None:
    match item.end:
        case Answered():
            _answered(connection, item, item.end)
        case Rehearsed():
            _close(connection, item, BatchState.REHEARSED)
            _end_letters(connection, item, LetterEnd(state=RecipientState.REHEARSED))
        case NothingLeft():
            _close(connection, item, BatchState.FAILED, reason=LetterReason.ADDRESS_SUPPRESSED)
        case NotSent(error=error, status=status) if isinstance(item.finish.outcome, Retry):
            values = {"the_id": item.batch.batch_id, "what_failed": error, "code": status}
            connection.execute(_READY_AGAIN, values | {"at": item.finish.outcome.run_at})
        case NotSent(error=error, status=status):
            # Nothing is owed any more, so that nobody would post it: a person must know.
            _hold(connection, item, Held(reason=HeldReason.REFUSED_AS_A_WHOLE, error=error, status=status))
        case Held():
            _hold(connection, item, item.end)
        case Split(error=error, status=status) if len(item.batch.letters) > 1:
            _close(connection, item, BatchState.SPLIT, error=error, status=status)
            mail_split.split(connection, item.batch, item.now)
        case Split(error=error, status=status) | RefusedSingle(error=error, status=status):
            # The request was refused, not the address: a paused automation would suppress all its customers.
            _close(connection, item, BatchState.FAILED, error=error, status=status, failed=1)
            refused = LetterEnd(
                state=RecipientState.FAILED,
                fate=Fate.REFUSED,
                reason=LetterReason.LETTER_REFUSED,
                error=error,
                frees_key=True,
            )
            _end_letters(connection, item, refused)


def _hold(connection: Connection, item: BatchEnd, end: Held) -> None:
    _close(connection, item, BatchState.HELD, reason=end.reason, error=end.error, status=end.status)
    _end_letters(connection, item, LetterEnd(state=RecipientState.HELD, reason=end.reason))


def _answered(connection: Connection, item: BatchEnd, answer: Answered) -> None:
    ends = [
        LetterEnd(state=RecipientState.POSTED, fate=Fate.ENQUEUED, vendor_id=result.vendor_id)
        if isinstance(result, Posted)
        else LetterEnd(
            state=RecipientState.FAILED,
            fate=Fate.FAILED,
            reason=LetterReason.ADDRESS_REFUSED,
            error=result.message,
            frees_key=True,
            suppresses_address=True,
        )
        for result in answer.results
    ]
    failed = sum(end.state is RecipientState.FAILED for end in ends)
    _close(
        connection,
        item,
        BatchState.POSTED,
        status=answer.status,
        posted=len(ends) - failed,
        failed=failed,
        vendor_request_id=answer.vendor_request_id,
    )
    _end_each(connection, item, list(zip(item.batch.letters, ends, strict=True)))


def _end_letters(connection: Connection, item: BatchEnd, end: LetterEnd) -> None:
    _end_each(connection, item, [(letter, end) for letter in item.batch.letters])


def _end_each(connection: Connection, item: BatchEnd, ends: Sequence[tuple[Letter, LetterEnd]]) -> None:
    batch = item.batch
    mail_letters.end(
        connection,
        ends,
        automation_id=batch.automation_id,
        feedback=_feedback(item),
        now=item.now,
        trace_id=batch.trace_id,
    )


def _feedback(item: BatchEnd) -> Feedback | None:
    return None if item.batch.is_dry_run else item.feedback


def _close(
    connection: Connection,
    item: BatchEnd,
    state: BatchState,
    *,
    reason: str | None = None,
    error: str | None = None,
    status: int | None = None,
    posted: int = 0,
    failed: int = 0,
    vendor_request_id: str | None = None,
) -> None:
    values = {
        "to_state": state,
        "why": reason,
        "what_failed": error,
        "code": status,
        "letters_posted": posted,
        "letters_failed": failed,
        "request_id": vendor_request_id,
        "now": item.now,
        "ended_at": None if state is BatchState.HELD else item.now,
    }
    connection.execute(_CLOSE, values | {"the_id": item.batch.batch_id})


_READY_AGAIN = (
    update(table)
    .where(table.c.id == bindparam("the_id"))
    .values(
        state=BatchState.READY.value,
        posts=table.c.posts - 1,
        due_at=bindparam("at"),
        error=bindparam("what_failed"),
        status=bindparam("code"),
    )
)
_CLOSE = (
    update(table)
    .where(table.c.id == bindparam("the_id"))
    .values(
        state=bindparam("to_state"),
        reason=bindparam("why"),
        error=bindparam("what_failed"),
        status=bindparam("code"),
        posted=bindparam("letters_posted"),
        failed=bindparam("letters_failed"),
        vendor_request_id=bindparam("request_id"),
        answered_at=bindparam("now"),
        finished_at=bindparam("ended_at"),
        resolved_as=None,
        resolved_by=None,
        resolved_at=None,
    )
)
