"""What was decided and what was sent: one decision a subject and customer, one row an approval call."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, bindparam, select

from clearance.decisions.decision import Decision
from clearance.ledger.insert_new import insert_new
from clearance.ledger.tables import approvals, decisions


class Answer(StrEnum):
    """What became of an approval call, as far as we know."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # it may have arrived: no answer came back


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """A decision about one customer. `subject` is what was asked: a notification, a send group."""

    subject: str
    customer_id: str
    decision: Decision
    inputs_digest: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApproval:
    """One call that carried approvals to the vendor. `error` never holds personal data."""

    approval_id: str
    subject: str
    attempt: int
    customers: int
    sent_at: datetime
    answered_at: datetime | None
    status: int | None
    answer: Answer
    error: str | None = None


def record_decisions(connection: Connection, items: Sequence[NewDecision]) -> None:
    """Keep the decisions. The first one about a subject and customer stands: a repeat changes nothing."""
    if not items:
        return
    # In one order everywhere: two transactions with the same customers wait for each other in turn, not in a ring.
    in_order = sorted(items, key=lambda item: (item.subject, item.customer_id))
    rows = [
        {
            "subject": item.subject,
            "customer_id": item.customer_id,
            "approved": item.decision.approved,
            "reasons": json.dumps(item.decision.reasons),
            "rules_version": item.decision.rules_version,
            "inputs_digest": item.inputs_digest,
            "decided_at": item.decided_at,
        }
        for item in in_order
    ]
    connection.execute(_INSERT_DECISION, rows)


def record_approvals(connection: Connection, items: Sequence[NewApproval]) -> None:
    """Keep the calls. A repeat, after a connection was lost at commit, changes nothing."""
    if not items:
        return
    rows = [
        {
            "id": item.approval_id,
            "subject": item.subject,
            "attempt": item.attempt,
            "customers": item.customers,
            "sent_at": item.sent_at,
            "answered_at": item.answered_at,
            "status": item.status,
            "outcome": item.answer,
            "error": item.error,
        }
        for item in items
    ]
    connection.execute(_INSERT_APPROVAL, rows)


def unconfirmed_subjects(connection: Connection, subjects: Sequence[str]) -> set[str]:
    """Of `subjects`, those with a call that may have arrived: no answer came back."""
    if not subjects:
        return set()
    return set(connection.execute(_SELECT_UNCONFIRMED, {"subjects": list(subjects)}).scalars())


_SELECT_UNCONFIRMED = (
    select(approvals.c.subject)
    .where(
        approvals.c.subject.in_(bindparam("subjects", expanding=True)),
        approvals.c.outcome == Answer.UNKNOWN.value,
    )
    .distinct()
)
_INSERT_DECISION = insert_new(decisions)
_INSERT_APPROVAL = insert_new(approvals)
