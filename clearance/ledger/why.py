"""What happened to one customer, and why: every question about him, what was decided, sent and answered.

Out: stories, newest first, from the ledger alone. A story is there as soon as the question is acknowledged, also when
nothing was ever decided: it was missed before, it is parked, or there is still time. What it costs grows with what is
told, not with what the ledger holds.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, exists, or_, select

from clearance.decisions.decision import Decision
from clearance.ledger.decisions import Answer, decision_of
from clearance.ledger.tables import approvals, decisions, notifications, obligations
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
    """One call to the vendor. Without `answered_at` no answer came back: it may have arrived."""

    attempt: int
    sent_at: datetime
    answered_at: datetime | None
    status: int | None
    answer: Answer
    error: str | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One question about one customer. `subject` is what decisions, calls and obligations have in common.

    Attributes:
        asked: None for a decision that no notification about this customer alone led to.
        decided: None when nothing was decided, or not yet.
    """

    subject: str
    asked: Asked | None
    decided: Decided | None
    sent: tuple[Sent, ...]
    owed: tuple[Owed, ...]


def stories(
    connection: Connection, customer_id: str, *, campaign_id: str | None = None, last: int
) -> list[Story]:
    """The newest `last` stories about a customer, newest first.

    Args:
        campaign_id: Only those of this series or occurrence.
    """
    asked = connection.execute(
        _of_campaign(_ASKED, campaign_id), {"customer_id": customer_id, "last": last}
    ).all()
    alone = () if campaign_id else _decided_alone(connection, customer_id, last)
    subjects = [row.id for row in asked]
    decided = {row.subject: row for row in alone}
    if subjects:
        found = connection.execute(_DECIDED, {"customer_id": customer_id, "subjects": subjects})
        decided |= {row.subject: row for row in found}
    began = {row.id: row.received_at for row in asked} | {row.subject: row.decided_at for row in alone}
    newest = sorted(began, key=lambda subject: (began[subject], subject), reverse=True)[:last]
    asked_by_subject = {row.id: _asked(row) for row in asked}
    sent, owed = _sent(connection, newest), _owed(connection, newest)
    return [
        Story(
            subject=subject,
            asked=asked_by_subject.get(subject),
            decided=_decided(decided[subject]) if subject in decided else None,
            sent=tuple(sent[subject]),
            owed=tuple(owed[subject]),
        )
        for subject in newest
    ]


def _of_campaign(statement: Select[Any], campaign_id: str | None) -> Select[Any]:
    if campaign_id is None:
        return statement
    columns = (notifications.c.series_id, notifications.c.occurrence_id)
    return statement.where(or_(*(column == campaign_id for column in columns)))


def _decided_alone(connection: Connection, customer_id: str, last: int) -> Sequence[Row[Any]]:
    return connection.execute(_DECIDED_ALONE, {"customer_id": customer_id, "last": last}).all()


def _sent(connection: Connection, subjects: Sequence[str]) -> defaultdict[str, list[Sent]]:
    by_subject: defaultdict[str, list[Sent]] = defaultdict(list)
    for row in connection.execute(_SENT, {"subjects": list(subjects)}) if subjects else ():
        by_subject[row.subject].append(
            Sent(
                attempt=row.attempt,
                sent_at=row.sent_at,
                answered_at=row.answered_at,
                status=row.status,
                answer=Answer(row.outcome),
                error=row.error,
            )
        )
    return by_subject


def _owed(connection: Connection, subjects: Sequence[str]) -> defaultdict[str, list[Owed]]:
    by_subject: defaultdict[str, list[Owed]] = defaultdict(list)
    for row in connection.execute(_OWED, {"subjects": list(subjects)}) if subjects else ():
        by_subject[row.subject].append(
            Owed(
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
        )
    return by_subject


def _asked(row: Row[Any]) -> Asked:
    return Asked(
        kind=row.kind,
        vendor_id=row.vendor_id,
        series_id=row.series_id,
        occurrence_id=row.occurrence_id,
        received_at=row.received_at,
        deadline_at=row.deadline_at,
    )


def _decided(row: Row[Any]) -> Decided:
    return Decided(decision=decision_of(row), inputs_digest=row.inputs_digest, decided_at=row.decided_at)


_ASKED = (
    select(*(column for column in notifications.c if column.name != "body"))
    .where(notifications.c.customer_id == bindparam("customer_id"))
    .order_by(notifications.c.id.desc())
    .limit(bindparam("last"))
)
_DECIDED = select(decisions).where(
    and_(
        decisions.c.customer_id == bindparam("customer_id"),
        decisions.c.subject.in_(bindparam("subjects", expanding=True)),
    )
)
_DECIDED_ALONE = (
    select(decisions)
    .where(
        decisions.c.customer_id == bindparam("customer_id"),
        ~exists().where(notifications.c.id == decisions.c.subject),
    )
    .order_by(decisions.c.decided_at.desc(), decisions.c.subject.desc())
    .limit(bindparam("last"))
)
_SENT = (
    select(approvals)
    .where(approvals.c.subject.in_(bindparam("subjects", expanding=True)))
    .order_by(approvals.c.sent_at, approvals.c.id)
)
_OWED = (
    select(obligations)
    .where(obligations.c.subject.in_(bindparam("subjects", expanding=True)))
    .order_by(obligations.c.created_at, obligations.c.id)
)
