"""What of a group's answers has the vendor to be told, and in which call?

In: chunks that are decided. Out: the answers that the vendor does not know yet, and one call with them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from clearance.ledger import unconfirmed
from clearance.ledger.chunk_bodies import Answers
from clearance.ledger.earlier_answers import submitted_answers
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import Group
from clearance.ledger.submissions import DecidedChunks


class SubmissionCall(Protocol):
    """The answer to a submission, as far as it is read here."""

    @property
    def status(self) -> int:
        """The vendor's HTTP status, 2xx."""


class TakesAnswers(Protocol):
    """Where answers go: `clearance.optimove.scheduled_calls.ScheduledCalls`, or a fake."""

    def submit_v2(
        self, group_id: str, answers: Sequence[tuple[str, bool]], *, timeout_s: float | None = None
    ) -> SubmissionCall:
        """Who of a send group is approved, and who is not."""

    def submit_v1(
        self,
        campaign_id: str,
        approved: Sequence[str],
        at: datetime,
        *,
        withdrawn: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> SubmissionCall:
        """Who of a campaign is approved, and whose approval is taken back."""


def to_be_told(ledger: Ledger, decided: DecidedChunks) -> Answers:
    """What the vendor does not know yet.

    V1 counts whom it never heard of as not approved: it is told of the approved, and of a refusal only if it was, or
    may have been, told of an approval before. Of a group that came again it is told what has changed, and what it may
    not have heard.
    """
    group, answers = decided.group, decided.answers
    if group.generation == 1:
        return [each for each in answers if each[1]] if group.api == "v1" else answers
    asked = [customer_id for customer_id, _ in answers]
    with ledger.read() as connection:
        told = submitted_answers(connection, group.group_id, group.generation, asked)
        doubtful = unconfirmed.unconfirmed_before(connection, group.group_id, group.generation, asked)
    default = False if group.api == "v1" else None
    return [
        (customer_id, approved)
        for customer_id, approved in answers
        if customer_id in doubtful or told.get(customer_id, default) is not approved
    ]


def tell(vendor: TakesAnswers, group: Group, answers: Answers, at: datetime, *, timeout_s: float) -> int:
    """Make the call; the status with which the vendor took it. Raises `RetryLater` or a `Park`."""
    if group.api == "v2":
        return vendor.submit_v2(group.vendor_id, answers, timeout_s=timeout_s).status
    approved = [customer_id for customer_id, is_approved in answers if is_approved]
    withdrawn = [customer_id for customer_id, is_approved in answers if not is_approved]
    call = vendor.submit_v1(group.vendor_id, approved, at, withdrawn=withdrawn, timeout_s=timeout_s)
    return call.status
