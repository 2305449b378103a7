"""What the ledger says of letters after a demo: how many stand where, and which customers' are held."""

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import Connection

from clearance.ledger import mail_reads
from clearance.mail_states import HeldReason, RecipientState

_ALL = 10_000
_REGISTERED = "registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLetters:
    """One batch that waits for a person, and whose letters are in it."""

    batch_id: str
    reason: str
    customers: frozenset[str]

    @property
    def had_a_killed_worker(self) -> bool:
        """Whether its worker disappeared with it."""
        return self.reason == HeldReason.WORKER_LOST


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """Letters by state; by reason where they were not posted; and those that are held.

    Attributes:
        unexplained: Letters that were refused, failed or are held, and nobody can say why.
        refused_addresses: Customers whose address the vendor refused.
    """

    by_state: dict[str, int] = field(default_factory=dict)
    by_reason: dict[str, int] = field(default_factory=dict)
    unexplained: int = 0
    held: tuple[HeldLetters, ...] = ()
    refused_addresses: frozenset[str] = frozenset()


def read_mail(connection: Connection) -> MailFacts:
    """All letters, summed up."""
    letters = mail_reads.recipients(connection, limit=_ALL)
    held = tuple(
        HeldLetters(
            batch_id=batch.batch_id,
            reason=batch.reason or "",
            customers=frozenset(
                letter.customer_ids[_REGISTERED] for letter in mail_reads.letters(connection, batch.batch_id)
            ),
        )
        for batch in mail_reads.held(connection)
    )
    reason_by_batch = {batch.batch_id: batch.reason for batch in held}
    by_state: Counter[str] = Counter(letter.state for letter in letters)
    by_reason: Counter[str] = Counter()
    for letter in letters:
        if letter.state in (RecipientState.POSTED, RecipientState.QUEUED):
            continue
        reason = letter.reason or reason_by_batch.get(letter.batch_id or "")
        by_reason[f"{letter.state}: {reason}" if reason else ""] += 1
    unexplained = by_reason.pop("", 0)
    return MailFacts(
        by_state={str(state): count for state, count in by_state.items()},
        by_reason=dict(by_reason),
        unexplained=unexplained,
        held=held,
        refused_addresses=frozenset(
            letter.customer_ids[_REGISTERED] for letter in letters if letter.state is RecipientState.FAILED
        ),
    )
