"""The verdict after every fault: was each acknowledged notification answered in time, or missed for a true reason?

`judge` waits until the ledger owes nothing that was played in this test, and then holds against each other what the
vendor saw (the sandbox's report), what the ledger says, and which processes are left. It fails with everything that is
wrong at once. What a true reason is stands in `_UNTRUE_BY_REASON`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.system.fleet import APPROVED_COUNTRY, Fleet
from tests.system.ledger_reader import UNFINISHED_STATES, Owed
from tests.system.processes import NotInTimeError, until

Expected = Callable[[Mapping[str, Any], Owed], str]
IN_TIME = ("approved", "rejected")
_ACCEPTED = 202
_SHOWN_PROBLEMS = 12
# The setting's default; the fleet does not change it.
_SEND_MARGIN = timedelta(milliseconds=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of the notifications that were acknowledged.

    Attributes:
        accepted: Distinct notifications that got a 202.
        answered: Of them, those that the vendor counts as answered in time.
        missed: Of them, by reason, those that the ledger has as missed.
        parked: Of them, by reason, those that wait for a person.
        calls: Approval calls that the ledger has.
        slowest_s: From a notification's sending to the vendor's taking its answer, the longest.
        owed: All of them, as the ledger has them.
    """

    accepted: int
    answered: int
    missed: Counter[str]
    parked: Counter[str]
    calls: int
    slowest_s: float
    owed: tuple[Owed, ...]

    @property
    def all_answered(self) -> bool:
        """Whether nothing had to be recorded as missed or parked."""
        return self.answered == self.accepted


def by_country(row: Mapping[str, Any], _owed: Owed) -> str:
    """What rules.toml says to a notification."""
    return "approved" if row["personalization"]["country"] == APPROVED_COUNTRY else "rejected"


def judge(fleet: Fleet, *, settle_s: float = 25.0, expected: Expected = by_country) -> Verdict:
    """The verdict on everything that was played since the test began; `expected` is the right answer to one.

    Raises:
        AssertionError: With everything that does not hold, and the ends of all logs.
    """
    report = fleet.report(detail=True)
    rows = report["notifications"]
    prefix = rows[0]["request_uid"][:-12]
    problems = _settle(fleet, prefix, settle_s)
    report = fleet.report(detail=True)
    owed_by_id = {owed.vendor_id: owed for owed in fleet.ledger.owed(prefix)}
    row_by_id = {row["request_uid"]: row for row in report["notifications"] if row["kind"] != "duplicate"}
    accepted = {row["request_uid"] for row in report["notifications"] if row["status"] == _ACCEPTED}
    problems += [f"{uid}: acknowledged, and not in the ledger" for uid in accepted - owed_by_id.keys()]
    for uid, owed in owed_by_id.items():
        problems += [f"{uid}: {told}" for told in _untrue(fleet, row_by_id[uid], owed, expected)]
    # First, because whatever else is wrong may follow from it.
    problems = fleet.lost() + problems
    verdict = _summed(accepted, row_by_id, owed_by_id)
    fleet.note(
        f"verdict: accepted {verdict.accepted}, answered in time {verdict.answered}, missed {dict(verdict.missed)}, "
        f"parked {dict(verdict.parked)}, calls {verdict.calls}, slowest {verdict.slowest_s:.3f} s, "
        f"acknowledged at most after {report['acknowledge_ms']['max']} ms, seed {fleet.seed}"
    )
    if problems:
        shown = "\n".join(problems[:_SHOWN_PROBLEMS])
        raise AssertionError(f"{len(problems)} problems (seed {fleet.seed}):\n{shown}\n{fleet.tails()}")
    return verdict


def taken_over_s(fleet: Fleet, verdict: Verdict, killed_at: float) -> float:
    """How long after a worker's death (epoch seconds) the last of what it held was answered by another.

    Raises:
        AssertionError: It held nothing.
    """
    # An attempt that was claimed and never written down died with its worker.
    taken_over = [owed for owed in verdict.owed if min(row.attempt for row in owed.approvals) > 1]
    assert taken_over, "the killed worker held nothing: the test has shown nothing"
    last = max(row.answered_at for owed in taken_over for row in owed.approvals if row.answered_at)
    last_s = float(last.timestamp() - killed_at)
    fleet.note(f"{len(taken_over)} taken over, the last answered {last_s:.2f} s after the kill")
    return last_s


def _settle(fleet: Fleet, prefix: str, settle_s: float) -> list[str]:
    try:
        until(
            lambda: fleet.ledger.count(prefix, *UNFINISHED_STATES) == 0,
            "nothing is owed any more",
            timeout_s=settle_s,
            every_s=0.1,
        )
    except NotInTimeError as error:
        return [str(error)]
    return []


def _untrue(fleet: Fleet, row: Mapping[str, Any], owed: Owed, expected: Expected) -> list[str]:
    """What the ledger says of one notification and is not so."""
    problems = []
    if owed.state in UNFINISHED_STATES:
        problems.append(f"still {owed.state}, attempts {owed.attempts}, last error {owed.last_error}")
    if len(owed.decisions) > 1:
        problems.append(f"{len(owed.decisions)} decisions")
    if row["answer"] == "late":
        problems.append(f"answered too late, recorded as {owed.state} {owed.reason}")
    if row["answer"] in IN_TIME and row["kind"] == "valid":
        right = expected(row, owed)
        if row["answer"] != right:
            problems.append(f"{row['answer']}, where the rules say {right}")
    if owed.state == "done":
        problems += _untrue_done(row, owed)
    if owed.state == "missed":
        told = _UNTRUE_BY_REASON[str(owed.reason)](fleet, row, owed)
        problems += [f"missed as {owed.reason}, and {told}"] if told else []
    return problems


def _untrue_done(row: Mapping[str, Any], owed: Owed) -> list[str]:
    problems = []
    if row["answer"] not in IN_TIME:
        problems.append(f"done in the ledger, {row['answer']} for the vendor")
    if "taken" not in owed.outcomes():
        problems.append(f"done without a call that was taken: {owed.outcomes()}")
    if [decision.approved for decision in owed.decisions] != [row["answer"] == "approved"]:
        problems.append(f"{row['answer']}, and decided {[item.approved for item in owed.decisions]}")
    return problems


# Why a reason is not true; an empty text when it is.


def _past_on_arrival(_: Fleet, row: Mapping[str, Any], owed: Owed) -> str:
    if owed.attempts or owed.approvals or row["answer"] in IN_TIME:
        return f"it was worked: {owed.attempts} attempts, {owed.outcomes()}, {row['answer']}"
    return "" if owed.received_at + _SEND_MARGIN >= owed.deadline_at else "it came in time"


def _not_started(_: Fleet, row: Mapping[str, Any], owed: Owed) -> str:
    if owed.attempts or owed.approvals or row["answer"] in IN_TIME:
        return f"it was: {owed.attempts} attempts, {owed.outcomes()}, {row['answer']}"
    return _ended_before(owed, owed.deadline_at)


def _retries_ran_out(_: Fleet, row: Mapping[str, Any], owed: Owed) -> str:
    if not owed.attempts or not owed.last_error:
        return f"there was no failed attempt: {owed.attempts}, {owed.last_error}"
    if set(owed.outcomes()) - {"refused"} or row["answer"] in IN_TIME:
        return f"the vendor may have it: {owed.outcomes()}, {row['answer']}"
    return ""


def _abandoned(fleet: Fleet, _: Mapping[str, Any], owed: Owed) -> str:
    if not any(name.startswith("worker") for name in fleet.disturbed):
        return f"no worker was disturbed: {fleet.disturbed}"
    # Found by the guardian after the deadline, or by the next worker when it was too late to send.
    since = owed.deadline_at - _SEND_MARGIN if owed.attempts > 1 else owed.deadline_at
    return _ended_before(owed, since) if owed.attempts else "it was never claimed"


def _sent_unconfirmed(_: Fleet, row: Mapping[str, Any], owed: Owed) -> str:
    if "unknown" not in owed.outcomes():
        return f"no call is without an answer: {owed.outcomes()}"
    return "the vendor's answer arrived" if "taken" in owed.outcomes() else ""


def _no_time_left(_: Fleet, row: Mapping[str, Any], owed: Owed) -> str:
    if not owed.attempts or owed.approvals or row["answer"] in IN_TIME:
        return f"{owed.attempts} attempts, {owed.outcomes()}, {row['answer']}"
    return _ended_before(owed, owed.deadline_at - _SEND_MARGIN)


def _ended_before(owed: Owed, since: datetime) -> str:
    assert owed.finished_at is not None
    return "" if owed.finished_at >= since else "there was time"


_UNTRUE_BY_REASON: dict[str, Callable[[Fleet, Mapping[str, Any], Owed], str]] = {
    "PAST_ON_ARRIVAL": _past_on_arrival,
    "NOT_STARTED_IN_TIME": _not_started,
    "RETRIES_RAN_OUT": _retries_ran_out,
    "ABANDONED": _abandoned,
    "SENT_UNCONFIRMED": _sent_unconfirmed,
    "NO_TIME_LEFT": _no_time_left,
}


def _summed(
    accepted: set[str], row_by_id: Mapping[str, Mapping[str, Any]], owed_by_id: Mapping[str, Owed]
) -> Verdict:
    owed = [owed_by_id[uid] for uid in accepted if uid in owed_by_id]
    answered = [row_by_id[uid] for uid in accepted if row_by_id[uid]["answer"] in IN_TIME]
    return Verdict(
        accepted=len(accepted),
        answered=len(answered),
        missed=Counter(str(item.reason) for item in owed if item.state == "missed"),
        parked=Counter(str(item.reason) for item in owed if item.state == "parked"),
        calls=sum(len(item.approvals) for item in owed),
        slowest_s=max((row["notification_to_approval_ms"] for row in answered), default=0.0) / 1000,
        owed=tuple(owed),
    )
