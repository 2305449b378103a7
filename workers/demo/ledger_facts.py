"""What the ledger says after a demo: counts, decisions and reasons, no customer."""

import json
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, func, select

from clearance.ledger.decisions import Answer
from clearance.ledger.tables import approvals, decisions, notifications, obligations, rejections
from clearance.obligations import Lane, State

_UNFINISHED = (State.OPEN.value, State.RUNNING.value)
_IS_TRIGGERED = obligations.c.lane == Lane.TRIGGERED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision as it was recorded."""

    approved: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """Counts and decisions about notifications, and the reasons of groups' decisions.

    Attributes:
        unexplained: Obligations that ended without a decision and without a reason.
        repeats_explained: Further answers to the same notification that the ledger accounts for: calls whose outcome
            is unknown, and attempts after the first, whose worker may have died after it had sent.
        decisions_by_reason: `APPROVED` for those without a reason; a decision with several counts for each.
        decided_by_request: By the vendor's `request_uid`.
    """

    notifications: int = 0
    unfinished: int = 0
    unexplained: int = 0
    repeats_explained: int = 0
    missed_by_reason: dict[str, int] = field(default_factory=dict)
    parked_by_reason: dict[str, int] = field(default_factory=dict)
    refused_by_reason: dict[str, int] = field(default_factory=dict)
    decisions_by_reason: dict[str, int] = field(default_factory=dict)
    decided_by_request: dict[str, Decided] = field(default_factory=dict)
    group_decisions_by_reason: dict[str, int] = field(default_factory=dict)
    rules_versions: tuple[str, ...] = ()


def unfinished(connection: Connection) -> int:
    """Obligations that are still owed."""
    return _count(connection, obligations.c.state.in_(_UNFINISHED))


def read_facts(connection: Connection) -> LedgerFacts:
    """The whole ledger, summed up."""
    is_decided = (
        select(decisions.c.subject)
        .where(decisions.c.subject == obligations.c.subject, decisions.c.chunk.is_(None))
        .exists()
    )
    unknown = (
        select(func.count())
        .select_from(approvals)
        .where(approvals.c.outcome == Answer.UNKNOWN.value, approvals.c.revision.is_(None))
    )
    repeated = select(func.coalesce(func.sum(obligations.c.attempts - 1), 0)).where(
        obligations.c.attempts > 1, _IS_TRIGGERED
    )
    return LedgerFacts(
        notifications=connection.execute(select(func.count()).select_from(notifications)).scalar_one(),
        unfinished=unfinished(connection),
        unexplained=_count(
            connection,
            _IS_TRIGGERED,
            obligations.c.state.not_in(_UNFINISHED),
            ~is_decided,
            obligations.c.reason.is_(None),
        ),
        repeats_explained=connection.execute(unknown).scalar_one()
        + connection.execute(repeated).scalar_one(),
        missed_by_reason=_reasons(connection, State.MISSED),
        parked_by_reason=_reasons(connection, State.PARKED),
        refused_by_reason=_refused(connection),
        decisions_by_reason=_decisions(connection, decisions.c.chunk.is_(None)),
        group_decisions_by_reason=_decisions(connection, decisions.c.chunk.is_not(None)),
        decided_by_request=_decided(connection),
        rules_versions=tuple(connection.execute(select(decisions.c.rules_version).distinct()).scalars()),
    )


def _count(connection: Connection, *where: object) -> int:
    query = select(func.count()).select_from(obligations).where(*where)  # type: ignore[arg-type]  # conditions of any column
    return connection.execute(query).scalar_one()


def _refused(connection: Connection) -> dict[str, int]:
    query = select(rejections.c.reason, func.count()).group_by(rejections.c.reason)
    return {str(reason): count for reason, count in connection.execute(query).tuples()}


def _reasons(connection: Connection, state: State) -> dict[str, int]:
    query = (
        select(func.coalesce(obligations.c.reason, "UNKNOWN"), func.count())
        .where(obligations.c.state == state.value, _IS_TRIGGERED)
        .group_by(obligations.c.reason)
    )
    return {str(reason): count for reason, count in connection.execute(query).tuples()}


def _decisions(connection: Connection, which: ColumnElement[bool]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    query = select(decisions.c.reasons, func.count()).where(which).group_by(decisions.c.reasons)
    for reasons, count in connection.execute(query).tuples():
        for reason in json.loads(reasons) or ["APPROVED"]:
            counts[reason] += count
    return dict(counts)


def _decided(connection: Connection) -> dict[str, Decided]:
    query = select(notifications.c.vendor_id, decisions.c.approved, decisions.c.reasons).join(
        decisions, (decisions.c.subject == notifications.c.id) & decisions.c.chunk.is_(None)
    )
    return {
        uid: Decided(approved=approved, reasons=tuple(json.loads(reasons)))
        for uid, approved, reasons in connection.execute(query).tuples()
    }
