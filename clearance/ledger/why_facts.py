"""What a story about one customer is made of: the question, the decision, the calls, what was owed, and his group."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from clearance.decisions.decision import Decision
from clearance.ledger.decisions import Answer
from clearance.ledger.group_facts import Cause, ChunkState, EndedAs, Group
from clearance.obligations import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The vendor's question. `kind` is the lane's; campaign ids are None where the vendor is silent."""

    kind: str
    vendor_id: str
    series_id: str | None
    occurrence_id: str | None
    received_at: datetime
    deadline_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decision that stands. `inputs_digest` is the sha256 of what it was made from."""

    decision: Decision
    inputs_digest: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One call to the vendor. Without `answered_at` no answer came back: it may have arrived.

    Attributes:
        is_certain: False for a call of his group that failed, and may or may not have carried him.
    """

    attempt: int
    sent_at: datetime
    answered_at: datetime | None
    status: int | None
    answer: Answer
    error: str | None
    is_certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What was owed because of it. `reason` says why it was missed or parked, `last_error` what failed last."""

    obligation_id: str
    lane: str
    state: State
    attempts: int
    run_at: datetime
    deadline_at: datetime
    finished_at: datetime | None
    reason: str | None
    last_error: str | None

    def margin_s(self, now: datetime) -> float:
        """Seconds that were left when it ended, or are left now; negative when it was, or is, past its deadline."""
        return (self.deadline_at - (self.finished_at or now)).total_seconds()


class NoCall(StrEnum):
    """Why the calls for a group leave a customer out."""

    REFUSED_IN_V1 = "refused_in_v1"  # a campaign is told of the approved; the others are refused by silence
    TOLD_BEFORE = "told_before"  # the group came again, and the vendor had taken the same answer


@dataclass(frozen=True, slots=True, kw_only=True)
class InGroup:
    """The group that a customer was decided in: a V2 send group or a V1 campaign.

    Attributes:
        chunk: The number of the chunk that he came in; what is submitted, is submitted by chunks.
        chunk_state: Where that chunk stands; None when it is not known any more.
        revision: The one that his chunk was submitted under, else the newest with this generation.
        received_at: When we were first told of what this generation answers.
        deadline_at: Of the revision.
        submitted_at: When the vendor took his chunk; None when it has not.
        no_call: Why his answer goes without a call; None when it needs one.
    """

    group: Group
    generation: int
    revision: int
    cause: Cause
    received_at: datetime
    deadline_at: datetime
    ended_as: EndedAs | None
    chunk: int | None
    chunk_state: ChunkState | None
    submitted_at: datetime | None
    no_call: NoCall | None

    @property
    def asked(self) -> Asked:
        """The vendor's question about all of the group, as the revision says it."""
        campaign = self.group.campaign
        return Asked(
            kind=campaign.lane,
            vendor_id=self.group.vendor_id,
            series_id=campaign.series_id or None,
            occurrence_id=campaign.occurrence_id or None,
            received_at=self.received_at,
            deadline_at=self.deadline_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One question about one customer. `subject` is what decisions, calls and obligations have in common.

    Attributes:
        asked: None for a decision that no notification about this customer alone led to.
        decided: None when nothing was decided, or not yet.
        group: Set when he was decided in a group.
    """

    subject: str
    asked: Asked | None
    decided: Decided | None
    sent: tuple[Sent, ...]
    owed: tuple[Owed, ...]
    group: InGroup | None = None

    @property
    def question(self) -> Asked | None:
        """What was asked: about him alone, or about his group; None where nobody knows."""
        return self.group.asked if self.group else self.asked


def sent_of(row: Row[Any], *, is_certain: bool = True) -> Sent:
    """The call that a row of `approvals` says."""
    return Sent(
        attempt=row.attempt,
        sent_at=row.sent_at,
        answered_at=row.answered_at,
        status=row.status,
        answer=Answer(row.outcome),
        error=row.error,
        is_certain=is_certain,
    )


def owed_of(row: Row[Any]) -> Owed:
    """What was owed, as a row of `obligations` says."""
    return Owed(
        obligation_id=row.id,
        lane=row.lane,
        state=State(row.state),
        attempts=row.attempts,
        run_at=row.run_at,
        deadline_at=row.deadline_at,
        finished_at=row.finished_at,
        reason=row.reason,
        last_error=row.last_error,
    )
