"""What an end means for a letter: its row, its keys, its address, and what Bloomreach is told.

Everything here runs inside the transaction that changes the batch, after its row is locked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, update

from clearance.bloomreach.feedback import Fate, Feedback, LetterOutcome
from clearance.ledger import address_suppressions, mail_keys, track_outbox
from clearance.ledger.address_suppressions import AddressSuppression, customer_keys
from clearance.ledger.mail_posting import Letter
from clearance.ledger.mail_tables import mail_recipients
from clearance.mail_states import RecipientState
from clearance.obligations import Obligation

_BY_OPTILYZ = "optilyz"
_NOT_ENDED = frozenset({RecipientState.QUEUED, RecipientState.HELD})
# A batch and a position in it; or in none.
Place = tuple[str, int] | tuple[None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterEnd:
    """What became of a letter.

    Attributes:
        fate: What Bloomreach is told; None to tell it nothing.
        frees_key: It was not posted: the same letter is a new one.
        suppresses_address: It is not posted to this address again.
    """

    state: RecipientState
    fate: Fate | None = None
    vendor_id: str | None = None
    reason: str | None = None
    error: str | None = None
    frees_key: bool = False
    suppresses_address: bool = False


def end(
    connection: Connection,
    ends: Sequence[tuple[Letter, LetterEnd]],
    *,
    automation_id: str,
    feedback: Feedback | None,
    now: datetime,
    trace_id: str,
) -> tuple[Obligation, ...]:
    """Write what became of them; what is owed to Bloomreach for it."""
    rows = [_row(letter, each, now) for letter, each in ends]
    connection.execute(_END, sorted(rows, key=lambda row: str(row["the_id"])))
    mail_keys.free(connection, [letter.recipient_id for letter, each in ends if each.frees_key])
    refused = [(letter, each) for letter, each in ends if each.suppresses_address]
    address_suppressions.add_many(
        connection,
        [suppression for letter, each in refused for suppression in _suppressions(letter, each, now)],
    )
    if feedback is None:
        return ()
    commands = [
        command
        for letter, each in ends
        if each.fate is not None
        for command in feedback.commands(_outcome(letter, each, each.fate, automation_id, now))
    ]
    return track_outbox.add(connection, commands, now=now, trace_id=trace_id) if commands else ()


def move(connection: Connection, places: Mapping[str, Place]) -> None:
    """Put letters elsewhere: by recipient, its place."""
    rows = [
        {"the_id": recipient_id, "to_batch": batch_id, "to_position": position}
        for recipient_id, (batch_id, position) in sorted(places.items())
    ]
    connection.execute(_MOVE, rows)


def _row(letter: Letter, each: LetterEnd, now: datetime) -> dict[str, object]:
    return {
        "the_id": letter.recipient_id,
        "to_state": each.state,
        "vendor": each.vendor_id,
        "why": each.reason,
        "what_failed": each.error,
        "ended_at": None if each.state in _NOT_ENDED else now,
    }


def _suppressions(letter: Letter, each: LetterEnd, now: datetime) -> list[AddressSuppression]:
    return [
        AddressSuppression(
            customer_key=key,
            address_key=letter.address_key,
            reason=each.reason or each.state,
            added_at=now,
            added_by=_BY_OPTILYZ,
            recipient_id=letter.recipient_id,
        )
        for key in customer_keys(letter.customer_ids)
    ]


def _outcome(letter: Letter, each: LetterEnd, fate: Fate, automation_id: str, now: datetime) -> LetterOutcome:
    return LetterOutcome(
        recipient_id=letter.recipient_id,
        automation_id=automation_id,
        customer_ids=letter.customer_ids,
        campaign=letter.campaign,
        what=fate,
        message=each.error,
        at=now,
        reason=each.reason,
    )


_END = (
    update(mail_recipients)
    .where(mail_recipients.c.id == bindparam("the_id"))
    .values(
        state=bindparam("to_state"),
        vendor_id=bindparam("vendor"),
        reason=bindparam("why"),
        error=bindparam("what_failed"),
        finished_at=bindparam("ended_at"),
    )
)
_MOVE = (
    update(mail_recipients)
    .where(mail_recipients.c.id == bindparam("the_id"))
    .values(batch_id=bindparam("to_batch"), position=bindparam("to_position"))
)
