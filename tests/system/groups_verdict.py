"""The verdict on scheduled groups: was every customer answered as the rules say before the deadline, or truly missed?

`judge_groups` waits until each group has ended, and then holds against each other what the vendor got, customer by
customer, and what the ledger says. It fails with everything that is wrong at once. The rules are said again here, in
Python, over what the sandbox has served: nothing of the product decides what is right.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.system.groups_fleet import STOP_MARGIN_S, V1, GroupsFleet, Told
from tests.system.groups_ledger import Recorded
from tests.system.processes import NotInTimeError, until

_PAGE = 10_000
_SHOWN_PROBLEMS = 12
_ENDED = ("submitted", "missed", "cancelled")
_COUNTRIES = ("DE", "AT", "NL")
_LEAST_DEPOSIT = 50.0
# Two clocks are compared nowhere; this is for the time between reading ours and the request's arrival.
_ON_THE_WAY = timedelta(seconds=0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupVerdict:
    """What came of one group, in customers.

    Attributes:
        answered: Those that the vendor has an answer for; with V1, for the approved only.
        missed: By reason, those that the ledger has as not answered in time.
        twice: Those whom the vendor was told the same again within one revision.
        changed: Those whom a later revision told something else.
        margin_s: What was left when the last call was answered; None when there was no call.
    """

    state: str
    revisions: tuple[str, ...]
    customers: int
    approved: int
    answered: int
    missed: Counter[str]
    twice: int
    changed: int
    calls: int
    margin_s: float | None
    recorded: Recorded = field(repr=False)

    @property
    def all_answered(self) -> bool:
        """Whether nothing had to be recorded as missed."""
        return self.state == "submitted" and not self.missed


def approves(attributes: Mapping[str, object]) -> bool:
    """What rules_groups.toml says to a customer; what is missing or malformed refuses."""
    country, excluded = attributes.get("country"), attributes.get("self_excluded")
    deposits = attributes.get("total_deposits")
    if excluded != "false" or country not in _COUNTRIES or not isinstance(deposits, str):
        return False
    try:
        return float(deposits) >= _LEAST_DEPOSIT
    except ValueError:
        return False


def judge_groups(
    here: GroupsFleet, told: Iterable[Told], *, settle_s: float = 15.0, suppressed: Iterable[str] = ()
) -> list[GroupVerdict]:
    """The verdict on these groups, in their order.

    Args:
        settle_s: How long after its deadline a group may take to end.
        suppressed: Whom the rules refuse besides, because an operator has said so.

    Raises:
        AssertionError: With everything that does not hold, and the ends of all logs.
    """
    problems: list[str] = []
    verdicts = []
    refused = frozenset(suppressed)
    for each in told:
        problems += _settle(here, each, settle_s)
        verdict, found = _judge(here, each, refused)
        verdicts.append(verdict)
        problems += [f"{each.vendor_id}: {problem}" for problem in found]
        here.fleet.note(
            f"group {each.vendor_id}: {verdict.state} as {', '.join(verdict.revisions)}; "
            f"{verdict.customers} customers, approved {verdict.approved}, answered {verdict.answered}, "
            f"missed {dict(verdict.missed)}, twice {verdict.twice}, changed {verdict.changed}, calls {verdict.calls}, "
            f"margin {verdict.margin_s} s, seed {here.fleet.seed}"
        )
    # First, because whatever else is wrong may follow from it.
    problems = here.fleet.lost() + problems
    if problems:
        shown = "\n".join(problems[:_SHOWN_PROBLEMS])
        raise AssertionError(
            f"{len(problems)} problems (seed {here.fleet.seed}):\n{shown}\n{here.fleet.tails()}"
        )
    return verdicts


def wait_over(here: GroupsFleet, told: Iterable[Told]) -> None:
    """Wait until the deadlines of these groups are past, and check that nothing came after them."""
    for each in told:
        deadline_s = here.seen(each)["deadline_at_ms"] / 1000
        until(lambda at=deadline_s: time.time() > at + 0.5, "the deadline is over", timeout_s=90)  # type: ignore[misc]  # mypy does not infer a lambda's default
        seen = here.seen(each)
        assert (seen["late_answers"], seen["late_calls"]) == (0, 0), f"{each.vendor_id}: {seen}"


def _settle(here: GroupsFleet, told: Told, settle_s: float) -> list[str]:
    left_s = here.seen(told)["deadline_at_ms"] / 1000 - time.time()
    try:
        here.wait_state(told, *_ENDED, timeout_s=max(left_s, 0.0) + settle_s)
        # The last call is recorded by then, and what it came to a moment later.
        until(lambda: not _is_at_it(here, told), "nobody is at it", timeout_s=settle_s, every_s=0.1)
    except NotInTimeError as error:
        return [str(error)]
    return []


def _is_at_it(here: GroupsFleet, told: Told) -> bool:
    recorded = here.groups.read(told.api, told.vendor_id)
    return any(row.state == "running" for row in recorded.obligations)


def _judge(here: GroupsFleet, told: Told, refused: frozenset[str]) -> tuple[GroupVerdict, list[str]]:
    seen, recorded = here.seen(told), here.groups.read(told.api, told.vendor_id)
    rows = list(_answers(here, told, seen["customers"]))
    state_by_chunk = {row.number: row.state for row in recorded.chunks}
    decision_by_customer = {row.customer_id: row for row in recorded.decisions}
    missed: Counter[str] = Counter()
    problems = []
    for row in rows:
        customer_id = row["customer_id"]
        decision = decision_by_customer.get(customer_id)
        reason, problem = _customer(
            told,
            row,
            decision,
            state_by_chunk,
            is_right=approves(row["attributes"]) and customer_id not in refused,
        )
        if reason:
            missed[reason] += 1
        if problem:
            problems.append(f"{customer_id}: {problem}")
    if recorded.group.state == "cancelled":
        # Nobody is owed an answer; what was sent before is judged above.
        missed.clear()
    problems += _sent_in_vain(seen, recorded)
    problems += _sums(told, seen, recorded, missed)
    answered = sum(row["answer"] in ("approved", "rejected") for row in rows)
    margin_ms = recorded.revisions[-1].margin_ms
    verdict = GroupVerdict(
        state=recorded.group.state,
        revisions=tuple(f"{row.cause}:{row.ended_as}" for row in recorded.revisions),
        customers=len(rows),
        approved=sum(row["answer"] == "approved" for row in rows),
        answered=answered,
        missed=missed,
        twice=seen["twice"],
        changed=seen["changed"],
        calls=seen["calls"],
        margin_s=None if margin_ms is None else margin_ms / 1000,
        recorded=recorded,
    )
    return verdict, problems


def _customer(
    told: Told,
    row: Mapping[str, Any],
    decision: Any,
    state_by_chunk: Mapping[int, str],
    *,
    is_right: bool,
) -> tuple[str, str]:
    """Why a customer was missed, if so, and what does not hold; both empty when all is well."""
    answer = row["answer"]
    if answer in ("approved", "rejected"):
        right = "approved" if is_right else "rejected"
        return "", "" if answer == right else f"{answer}, where the rules say {right}"
    if answer == "late":
        return "", "answered too late"
    if decision is None:
        return "NOT_FETCHED_IN_TIME", ""
    if json.loads(decision.reasons) == ["NOT_DECIDED_IN_TIME"]:
        return "NOT_DECIDED_IN_TIME", "" if state_by_chunk[
            decision.chunk
        ] == "missed" else "its chunk is not missed"
    is_unsent = state_by_chunk[decision.chunk] != "submitted"
    if decision.approved != is_right and not (is_unsent and _had_no_time_to_ask(decision)):
        return "", f"decided {decision.approved}, where the rules say {is_right}: {decision.reasons}"
    if not is_unsent:
        # With V1, silence is the answer to who is not approved.
        is_told_by_silence = told.api == V1 and not is_right
        return "", "" if is_told_by_silence else "submitted in the ledger, unanswered for the vendor"
    return "NOT_SENT_IN_TIME", ""


def _had_no_time_to_ask(decision: Any) -> bool:
    """Denied by default at the brink of the hard stop: a true reason, of an answer that nobody was sent."""
    reasons = json.loads(decision.reasons)
    return not decision.approved and all(each.startswith("CHECK_FAILED:") for each in reasons)


def _answers(here: GroupsFleet, told: Told, customers: int) -> Iterable[Mapping[str, Any]]:
    for offset in range(0, customers, _PAGE):
        asked = f"{told.path}/answers?attributes=1&limit={_PAGE}&offset={offset}"
        yield from here.fleet.call("GET", asked)["answers"]


def _sent_in_vain(seen: Mapping[str, Any], recorded: Recorded) -> list[str]:
    """What the vendor got and should not have got."""
    problems = [
        f"{name}: {seen[name]}"
        for name in ("late_answers", "late_calls", "unknown", "reversed", "answers_after_cancel")
        if seen[name]
    ]
    # Written down before it is made: also the call whose worker was killed in it, as one of unknown outcome.
    unknown = sum(row.customers for row in recorded.approvals if row.outcome == "unknown")
    if seen["twice"] > unknown:
        problems.append(f"twice: {seen['twice']}, in calls of unknown outcome: {unknown}")
    if seen["calls"] > len(recorded.approvals):
        problems.append(f"the vendor got {seen['calls']} calls, the ledger has {len(recorded.approvals)}")
    by_revision = {row.revision: row for row in recorded.revisions}
    for call in recorded.approvals:
        hard_stop_at = by_revision[call.revision].deadline_at - timedelta(seconds=STOP_MARGIN_S)
        if call.sent_at > hard_stop_at + _ON_THE_WAY:
            problems.append(f"a call of revision {call.revision} at {call.sent_at}, after {hard_stop_at}")
    return problems


def _sums(told: Told, seen: Mapping[str, Any], recorded: Recorded, missed: Counter[str]) -> list[str]:
    """Counts of the ledger that do not add up."""
    problems = []
    group, last = recorded.group, recorded.revisions[-1]
    stored = sum(row.customers for row in recorded.chunks)
    if stored != group.fetched or len(recorded.chunks) != group.chunk_count:
        problems.append(
            f"{stored} in {len(recorded.chunks)} chunks, the group says {group.fetched} in {group.chunk_count}"
        )
    if group.fetched_at is not None and stored != seen["customers"]:
        problems.append(f"{stored} of {seen['customers']} customers stored")
    if any(row.ended_as is None for row in recorded.revisions):
        problems.append(f"revisions that have not ended: {[row.ended_as for row in recorded.revisions]}")
    if group.state == "cancelled" or last.ended_as == "cancelled":
        return problems
    submitted = sum(row.customers for row in recorded.chunks if row.state == "submitted")
    of_generation = [row for row in recorded.revisions if row.generation == group.generation]
    if sum(row.submitted for row in of_generation) != submitted:
        problems.append(f"{submitted} submitted, revisions say {[row.submitted for row in of_generation]}")
    expected = {"NOT_DECIDED_IN_TIME": last.not_decided}
    if told.api != V1:
        expected["NOT_SENT_IN_TIME"] = last.not_sent
    for reason, customers in expected.items():
        if missed[reason] != customers:
            problems.append(f"{missed[reason]} {reason}, the revision says {customers}")
    state = "missed" if missed or group.fetched_at is None else "submitted"
    if group.state != state and told.api != V1:
        problems.append(f"{group.state} in the ledger, {state} by what the vendor has: {dict(missed)}")
    return problems
