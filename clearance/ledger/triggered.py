"""What the triggered lane writes in one transaction: a claim with its notification, an end with its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import Connection, bindparam, exists, select, update

from clearance.decisions.decision import Decision
from clearance.ledger import obligations, tables
from clearance.ledger.decisions import (
    NewApproval,
    NewDecision,
    decisions_about,
    recorded,
    recording,
    recording_approvals,
    unconfirmed_subjects,
)
from clearance.ledger.statement import Asked, Statement, run_together
from clearance.obligations import Claimed, Done, State


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedNotification:
    """An obligation to approve a notification, with what the vendor sent.

    Attributes:
        was_unconfirmed: A call of an earlier attempt may have been taken: its answer did not arrive.
        decision: What an earlier attempt decided, which stands; None when none did.
    """

    claimed: Claimed
    body: bytes
    was_unconfirmed: bool
    decision: Decision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How an attempt ended, what was decided in it and which calls it made."""

    finish: obligations.Finish
    decision: NewDecision | None
    approvals: tuple[NewApproval, ...]


def claim_many(
    connection: Connection, requests: Sequence[obligations.ClaimRequest]
) -> list[ClaimedNotification | None]:
    """As `obligations.claim_many`, with the notifications' bodies."""
    rows = obligations.claimed_rows(connection, requests, _CLAIM)
    # Only a repeated attempt can have an earlier one: the usual claim asks nothing more.
    repeated = [row.subject for row in rows if row and row.attempts > 1]
    unconfirmed = unconfirmed_subjects(connection, repeated)
    decided = decisions_about(connection, repeated)
    return [
        ClaimedNotification(
            claimed=obligations.claimed_of(row),
            body=row.body or b"",
            was_unconfirmed=row.subject in unconfirmed,
            decision=decided.get(row.subject),
        )
        if row
        else None
        for row in rows
    ]


def finish_many(connection: Connection, answers: Sequence[Answered]) -> list[bool]:
    """As `obligations.finish_many`; what was decided and sent is recorded whoever holds the obligation now.

    The body of a notification that is done is dropped with it: nothing will read it again.
    """
    decided = [answer.decision for answer in answers if answer.decision]
    finishes = [answer.finish for answer in answers]
    decisions, _, ended, _ = run_together(
        connection,
        recording(decided),
        recording_approvals([approval for answer in answers for approval in answer.approvals]),
        obligations.finishing(finishes),
        _forgetting(finishes),
    )
    recorded(connection, decided, decisions)
    return obligations.finished(connection, finishes, ended)


def _forgetting(finishes: Sequence[obligations.Finish]) -> Asked:
    held = [item.claimed for item in finishes if isinstance(item.outcome, Done)]
    # In one order everywhere: two who end the same wait for each other in turn, not in a ring.
    runs = [{"subject": each.subject, "held": each.obligation_id, "attempt": each.attempt} for each in held]
    return _FORGET_BODY, sorted(runs, key=itemgetter("subject"))


_BODY = select(tables.notifications.c.body).where(tables.notifications.c.id == tables.obligations.c.subject)
_CLAIM = obligations.claiming(_BODY.scalar_subquery().label("body"))
# Of one that is done, and was while we held it.
_FORGET_BODY = Statement(
    update(tables.notifications)
    .where(
        tables.notifications.c.id == bindparam("subject"),
        exists().where(
            tables.obligations.c.id == bindparam("held"),
            tables.obligations.c.attempts == bindparam("attempt"),
            tables.obligations.c.state == State.DONE.value,
        ),
    )
    .values(body=None)
)
