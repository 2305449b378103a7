"""What was decided and what was sent: a decision for each customer of a notification or chunk, a row for each call."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from clearance.decisions.decision import Decision
from clearance.ledger.insert_new import insert_new
from clearance.ledger.portions import portions
from clearance.ledger.statement import Asked, Result, Statement, run_together
from clearance.ledger.tables import approvals, decision_inputs, decisions

DecisionKey = tuple[str, int, str]
"""What there is one decision for: subject, chunk (0: no group's) and customer."""

# Every subject of a statement is looked up with every customer of it: few subjects, however many customers.
_SUBJECTS_AT_ONCE = 10


class Answer(StrEnum):
    """What became of an approval call, as far as we know."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # it may have arrived: no answer came back


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """A decision about one customer. `subject` is what was asked: a notification, a send group.

    Attributes:
        inputs: What it was made from (`clearance.decisions.inputs`), to be kept under retention; None for its digest
            alone.
        chunk: The number of the chunk that the customer of a group came in.
    """

    subject: str
    customer_id: str
    decision: Decision
    inputs_digest: str
    decided_at: datetime
    inputs: bytes | None = None
    chunk: int | None = None

    @property
    def key(self) -> DecisionKey:
        """What there is one decision for."""
        return self.subject, self.chunk or 0, self.customer_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApproval:
    """One call that carried approvals to the vendor. `error` never holds personal data; `revision` is a group's."""

    approval_id: str
    subject: str
    attempt: int
    customers: int
    sent_at: datetime
    answered_at: datetime | None
    status: int | None
    answer: Answer
    error: str | None = None
    revision: int | None = None


def record_decisions(connection: Connection, items: Sequence[NewDecision]) -> None:
    """Keep the decisions. The first one of its key stands: a repeat changes nothing."""
    (result,) = run_together(connection, recording(items))
    recorded(connection, items, result)


def recording(items: Sequence[NewDecision]) -> Asked:
    """As `record_decisions`, to be run together with something else; then comes `recorded`."""
    # In one order everywhere: two transactions with the same customers wait for each other in turn, not in a ring.
    return _INSERT_DECISION, [_row(item) for item in sorted(items, key=lambda item: item.key)]


def recorded(connection: Connection, items: Sequence[NewDecision], result: Result) -> None:
    """Keep also what the decisions were made from, where they bring it, and stand."""
    with_inputs = [item for item in items if item.inputs is not None]
    if not with_inputs:
        return
    if result.written == len(items):
        insert_inputs(connection, with_inputs)
    else:
        _keep_inputs(connection, with_inputs, standing(connection, [item.key for item in with_inputs]))


def stand_many(connection: Connection, items: Sequence[NewDecision]) -> list[Decision]:
    """Keep the decisions, and give for each the one that stands: the first of its key.

    Of several processes that decide the same, one is first, and the others are told what it decided.
    """
    (result,) = run_together(connection, recording(items))
    if result.written == len(items):
        insert_inputs(connection, items)
        return [item.decision for item in items]
    found = standing(connection, [item.key for item in items])
    _keep_inputs(connection, items, found)
    return [decision_of(found[item.key]) for item in items]


def decisions_about(connection: Connection, subjects: Sequence[str]) -> dict[str, Decision]:
    """What was decided about each of `subjects`, notifications of one customer each."""
    if not subjects:
        return {}
    rows = connection.execute(_SELECT_ABOUT, {"subjects": list(subjects)})
    return {row.subject: decision_of(row) for row in rows}


def standing(connection: Connection, keys: Iterable[DecisionKey]) -> dict[DecisionKey, Row[Any]]:
    """The rows of the decisions that stand, by key; absent if there is none."""
    customers_by_subject: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for subject, chunk, customer_id in keys:
        customers_by_subject[subject, chunk].append(customer_id)
    rows: list[Row[Any]] = []
    alone = {subject: customers for (subject, chunk), customers in customers_by_subject.items() if not chunk}
    for subjects in portions(alone, _SUBJECTS_AT_ONCE):
        for ids in portions(customer_id for subject in subjects for customer_id in alone[subject]):
            rows += connection.execute(_SELECT_ALONE, {"subjects": subjects, "ids": ids})
    for (subject, chunk), customers in customers_by_subject.items():
        for ids in portions(customers) if chunk else ():
            rows += connection.execute(_SELECT_IN_CHUNK, {"subject": subject, "chunk": chunk, "ids": ids})
    return {(row.subject, row.chunk or 0, row.customer_id): row for row in rows}


def decision_of(row: Row[Any]) -> Decision:
    """The decision that a row of the table says."""
    return Decision(
        approved=row.approved,
        reasons=tuple(json.loads(row.reasons)),
        rules_version=row.rules_version,
        policy=row.policy or "",
    )


def record_approvals(connection: Connection, items: Sequence[NewApproval]) -> None:
    """Keep the calls. A repeat, after a connection was lost at commit, changes nothing."""
    run_together(connection, recording_approvals(items))


def recording_approvals(items: Sequence[NewApproval]) -> Asked:
    """As `record_approvals`, to be run together with something else."""
    return _INSERT_APPROVAL, [
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
            "revision": item.revision,
        }
        for item in items
    ]


def unconfirmed_subjects(connection: Connection, subjects: Sequence[str]) -> set[str]:
    """Of `subjects`, those with a call that may have arrived: no answer came back."""
    if not subjects:
        return set()
    return set(connection.execute(_SELECT_UNCONFIRMED, {"subjects": list(subjects)}).scalars())


def _row(item: NewDecision) -> dict[str, object]:
    return {
        "subject": item.subject,
        "customer_id": item.customer_id,
        "approved": item.decision.approved,
        "reasons": json.dumps(item.decision.reasons),
        "rules_version": item.decision.rules_version,
        "inputs_digest": item.inputs_digest,
        "decided_at": item.decided_at,
        "policy": item.decision.policy,
        "chunk": item.chunk,
    }


def _keep_inputs(
    connection: Connection, items: Sequence[NewDecision], found: Mapping[DecisionKey, Row[Any]]
) -> None:
    """What is kept must be what the decision that stands was made from."""
    insert_inputs(connection, (item for item in items if found[item.key].inputs_digest == item.inputs_digest))


def insert_inputs(connection: Connection, items: Iterable[NewDecision]) -> None:
    """Keep what decisions were made from, where they bring it; they must be those that stand."""
    with_inputs = sorted((item for item in items if item.inputs is not None), key=lambda item: item.key)
    rows = [
        {
            "subject": item.subject,
            "customer_id": item.customer_id,
            "inputs": item.inputs,
            "recorded_at": item.decided_at,
            "chunk": item.chunk,
        }
        for item in with_inputs
    ]
    _INSERT_INPUTS.write(connection, rows)


_SELECT_UNCONFIRMED = (
    select(approvals.c.subject)
    .where(
        approvals.c.subject.in_(bindparam("subjects", expanding=True)),
        approvals.c.outcome == Answer.UNKNOWN.value,
    )
    .distinct()
)
_SELECT_ABOUT = select(decisions).where(
    decisions.c.subject.in_(bindparam("subjects", expanding=True)), decisions.c.chunk.is_(None)
)
_SELECT_ALONE = select(decisions).where(
    decisions.c.subject.in_(bindparam("subjects", expanding=True)),
    decisions.c.customer_id.in_(bindparam("ids", expanding=True)),
    decisions.c.chunk.is_(None),
)
_SELECT_IN_CHUNK = select(decisions).where(
    decisions.c.subject == bindparam("subject"),
    decisions.c.chunk == bindparam("chunk"),
    decisions.c.customer_id.in_(bindparam("ids", expanding=True)),
)
_INSERT_INPUTS = Statement(insert_new(decision_inputs))
_INSERT_DECISION = Statement(insert_new(decisions))
_INSERT_APPROVAL = Statement(insert_new(approvals))
