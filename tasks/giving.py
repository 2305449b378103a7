"""How is a call made that gives a group's answers? With what is written down of it before, and after.

In: a call that has to be made. Out: what became of it, in the ledger together with its chunks: as one of unknown
outcome before the vendor hears of it, and with its outcome afterwards, however long the ledger is away.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from clearance.errors import ClearanceError, LedgerUnavailable, VendorUnavailable
from clearance.identifiers import new_id
from clearance.ledger import calls_begun, group_calls
from clearance.ledger.calls_begun import NewCall
from clearance.ledger.chunk_bodies import Answers
from clearance.ledger.decisions import Answer, NewApproval
from clearance.ledger.group_calls import Call
from clearance.ledger.group_facts import Group
from clearance.ledger.submissions import DecidedChunks
from clearance.obligations import Claimed
from clearance.optimove.http import VENDOR
from tasks.answers import TakesAnswers, tell
from tasks.base import Services

log = structlog.get_logger()

_LEDGER_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What became of a call; `error` when the vendor did not take it, as far as we know."""

    answer: Answer
    error: ClearanceError | None


def call_of(
    decided: DecidedChunks, claimed: Claimed, revision: int, answers: Answers, sent_at: datetime
) -> NewCall:
    """The call that is about to be made with these answers; until it is answered, its outcome is unknown."""
    approval = NewApproval(
        approval_id=new_id(sent_at),
        subject=decided.group.group_id,
        attempt=claimed.attempt,
        customers=len(answers),
        sent_at=sent_at,
        answered_at=None,
        status=None,
        answer=Answer.UNKNOWN,
        revision=revision,
    )
    return NewCall(call=_call(decided, revision, approval, sent_at), approval=approval, claimed=claimed)


def begin(services: Services, new: NewCall) -> bool:
    """Write a call down before it is made; whether it may be. Raises `LedgerUnavailable`: it may be written or not."""
    return services.commits.submit(calls_begun.begin_many, new).result()


def withdraw(services: Services, new: NewCall) -> None:
    """A call that was begun is not made after all. Raises `LedgerUnavailable`."""
    services.commits.submit(calls_begun.withdraw_many, new).result()


def give(
    services: Services,
    vendor: TakesAnswers,
    new: NewCall,
    group: Group,
    answers: Answers,
    *,
    timeout_s: float,
) -> Given:
    """Make a call that was begun, by the group's deadline, and write down what came of it."""
    sent_at = services.clock()
    left_s = (group.deadline_at - sent_at).total_seconds()
    # Until the vendor has answered: also what is recorded if the call ends in a bug.
    status, answer, error = None, Answer.UNKNOWN, None
    try:
        status = tell(vendor, group, answers, sent_at, timeout_s=min(timeout_s, left_s))
        answer = Answer.TAKEN
    except ClearanceError as failed:
        status, error = getattr(failed, "status", None), failed
        is_unknown = isinstance(failed, VendorUnavailable) and failed.is_unconfirmed
        answer = Answer.UNKNOWN if is_unknown else Answer.REFUSED
    finally:
        ended_at = services.clock()
        approval = replace(
            new.approval,
            sent_at=sent_at,
            answered_at=ended_at if status is not None else None,
            status=status,
            answer=answer,
            error=None if error is None else str(error),
        )
        _tell(services, approval, took_s=(ended_at - sent_at).total_seconds(), left_s=left_s)
        record(services, replace(new.call, approval=approval, now=ended_at))
    return Given(answer=answer, error=error)


def record(services: Services, call: Call) -> None:
    """Write down what came of a call. Waits for a ledger that is away."""
    while True:
        try:
            services.commits.submit(group_calls.called_many, call).result()
        except LedgerUnavailable as error:
            log.warning("call.not_recorded_yet", group=call.group_id, error=str(error))
            services.pause(_LEDGER_PAUSE_S * (0.5 + services.jitter()))
        else:
            return


def record_none(services: Services, decided: DecidedChunks, revision: int) -> None:
    """Write down that these chunks need no call: the vendor knows what they say. Waits as `record` does."""
    record(services, _call(decided, revision, None, services.clock()))


def _tell(services: Services, call: NewApproval, *, took_s: float, left_s: float) -> None:
    metrics, outcome = services.metrics, call.answer.value
    metrics.observe(
        "vendor_call_seconds",
        took_s,
        vendor=VENDOR,
        call="group_approvals",
        outcome=outcome,
        status=call.status or "none",
    )
    metrics.observe("submission_margin_seconds", left_s, lane="submit")
    log.info(
        "group.called",
        group=call.subject,
        customers=call.customers,
        outcome=call.answer,
        margin_s=round(left_s, 3),
    )


def _call(decided: DecidedChunks, revision: int, approval: NewApproval | None, now: datetime) -> Call:
    group = decided.group
    return Call(
        group_id=group.group_id,
        generation=group.generation,
        revision=revision,
        deadline_at=group.deadline_at,
        approval=approval,
        now=now,
        numbers=decided.numbers,
        unsent=decided.unsent,
    )
