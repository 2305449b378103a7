"""Which promises did a demo keep? Judged from what the sandbox counted and what the ledger says, and from nothing else.

In: facts of both sides. Out: the report as it is written to `report.json`. Pure: every judgement can be tested by
handing it a fact that breaks it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.demo.expected import PROMOTION_FAILED, is_asked_about, is_right
from workers.demo.groups import PlayedGroup
from workers.demo.ledger_facts import LedgerFacts

# A signature that is wrong is refused as such; a malformed body as the kind of malformed that it is.
_REFUSALS = {"bad_signature": {"401"}, "malformed": {"400", "413", "422"}}
_PAST = "PAST_ON_ARRIVAL"
# What must not happen to any customer of a group.
_NEVER = ("unanswered", "late", "twice", "reversed", "late_calls")
_SHOWN_AS = {"p999": "p99.9"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Something that must hold whatever happens. `measured` says by which numbers."""

    name: str
    held: bool
    measured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFacts:
    """What was seen.

    Attributes:
        sandbox: The sandbox's report, with details.
        ledger: What the ledger says.
        duplicates_recognised: By ingest's own count.
        groups: The send groups, the one that was moved last.
        restarts_by_name: How often each process was started again.
        killed: The worker that was killed; `replaced_after_s` None: it never came back.
        killed_at_end: Processes that did not stop in their grace.
    """

    sandbox: Mapping[str, Any]
    ledger: LedgerFacts
    duplicates_recognised: int
    groups: tuple[PlayedGroup, ...]
    restarts_by_name: Mapping[str, int]
    killed: str
    replaced_after_s: float | None
    killed_at_end: tuple[str, ...] = ()
    duration_s: float = 0.0


def judge(facts: DemoFacts) -> list[Promise]:
    """Every promise, kept or not."""
    return [
        _answered_in_time(facts),
        _answered_once(facts),
        _answered_by_the_rules(facts),
        _activated_once(facts),
        _groups_answered(facts),
        _moved_group_waited(facts),
        _refused_unanswered(facts),
        _expired_recorded(facts),
        _duplicates_recognised(facts),
        _nothing_silent(facts),
        _replaced(facts),
        _stopped(facts),
    ]


def report(facts: DemoFacts) -> dict[str, Any]:
    """The report: promises, and the figures by lane."""
    sandbox, ledger = facts.sandbox, facts.ledger
    return {
        "promises": [
            {"name": promise.name, "held": promise.held, "measured": promise.measured}
            for promise in judge(facts)
        ],
        "lanes": {
            "triggered": {
                "sent": sandbox["sent"],
                "valid": sandbox["valid"],
                "answered_in_time": sandbox["answered"],
                "late": sandbox["late"],
                "unanswered": sandbox["missing"] + sandbox["pending"],
                "missed": dict(ledger.missed_by_reason),
                "parked": dict(ledger.parked_by_reason),
                "refused": dict(ledger.refused_by_reason),
                "duplicates": _sent(sandbox, "duplicate"),
                "approved": sandbox["approved"],
                "rejected": sandbox["rejected"],
                "repeated_answers": sandbox["duplicate_answers"],
                "notification_to_approval_ms": _percentiles(sandbox["notification_to_approval_ms"]),
                "acknowledge_ms": _percentiles(sandbox["acknowledge_ms"]),
                "vendor_faults": dict(sandbox["faults"].get("triggered-approval", {})),
                "promotion_faults": dict(sandbox["faults"].get("promotions", {})),
                "decisions_by_reason": dict(ledger.decisions_by_reason),
            },
            "submit": {
                f"group_{number}": _group_figures(group) for number, group in enumerate(facts.groups, 1)
            }
            | {"decisions_by_reason": dict(ledger.group_decisions_by_reason)},
        },
        "restarts": sum(facts.restarts_by_name.values()),
        "rules_versions": list(ledger.rules_versions),
        "duration_s": round(facts.duration_s, 1),
    }


def _answered_in_time(facts: DemoFacts) -> Promise:
    box = facts.sandbox
    return Promise(
        name="every valid notification was answered in time",
        held=0 < box["valid"] == box["answered"] and box["missing"] == box["pending"] == box["late"] == 0,
        measured=f"{box['answered']} of {box['valid']} in time, {box['late']} late, "
        f"{box['missing'] + box['pending']} unanswered",
    )


def _answered_once(facts: DemoFacts) -> Promise:
    repeats, explained = facts.sandbox["duplicate_answers"], facts.ledger.repeats_explained
    return Promise(
        name="the vendor counted one answer for each; none was sent again without need",
        held=facts.sandbox["answered"] == facts.sandbox["valid"] and repeats <= explained,
        measured=f"{repeats} sent again, after {explained} calls of unknown outcome or attempts cut short",
    )


def _answered_by_the_rules(facts: DemoFacts) -> Promise:
    answered = right = unasked = 0
    for item in facts.sandbox["notifications"]:
        if item["answer"] not in ("approved", "rejected"):
            continue
        answered += 1
        decided = facts.ledger.decided_by_request.get(item["request_uid"])
        if decided is not None and (item["answer"] == "approved") == decided.approved:
            right += is_right(item, decided.approved, decided.reasons)
            unasked += PROMOTION_FAILED in decided.reasons
    return Promise(
        name="every answer, and every reason, is what the rules say",
        held=0 < answered == right,
        measured=f"{right} of {answered} answers; {unasked} refused because the promotion service did not answer",
    )


def _activated_once(facts: DemoFacts) -> Promise:
    promotions = facts.sandbox["promotions"]
    answered = [item for item in facts.sandbox["notifications"] if item["answer"] in ("approved", "rejected")]
    notified = [item for item in answered if is_asked_about(item)]
    asked = len(notified) + sum(group.asked_about for group in facts.groups)
    approved = sum(item["answer"] == "approved" for item in notified)
    # Each question has a key of its own: more answers than questions would be somebody activated twice.
    served = promotions["activated"] + promotions["refused"]
    return Promise(
        name="promotions were activated only for whom nothing else refuses, and once, however often it was asked",
        held=0 < approved <= promotions["activated"] and served <= asked and not promotions["conflicts"],
        measured=f"{promotions['requests']} requests about {asked} customers: "
        f"{promotions['activated']} activated, {promotions['refused']} refused, {promotions['repeats']} repeats",
    )


def _groups_answered(facts: DemoFacts) -> Promise:
    sums = Counter[str]()
    for group in facts.groups:
        sums.update(
            {name: int(group.summary[name]) for name in ("customers", "approved", "rejected", *_NEVER)}
        )
        sums["wrong"] += group.wrong
    answered = sums["approved"] + sums["rejected"]
    return Promise(
        name="every customer of the send groups was answered once, before the deadline, as the rules say",
        held=0 < sums["customers"] == answered and sums["wrong"] == sum(sums[name] for name in _NEVER) == 0,
        measured=f"{answered} of {sums['customers']} customers, {sums['wrong']} otherwise than the rules say, "
        + ", ".join(f"{sums[name]} {name.replace('_', ' ')}" for name in _NEVER),
    )


def _moved_group_waited(facts: DemoFacts) -> Promise:
    announced, *_, moved = facts.groups[-1].summary["heads_ups"]
    return Promise(
        name="the send group whose deadline was moved was answered at its new time, and not before",
        held=facts.groups[-1].summary["moved"] == 1 and announced["calls"] == 0 < moved["calls"],
        measured=f"{announced['calls']} calls for the first deadline, {moved['calls']} for the second, "
        f"the last {_margin_s(facts.groups[-1]):.1f} s before it",
    )


def _refused_unanswered(facts: DemoFacts) -> Promise:
    box = facts.sandbox
    sent = refused = 0
    for kind, statuses in _REFUSALS.items():
        sent += _sent(box, kind)
        refused += sum(count for status, count in _statuses(box, kind).items() if status in statuses)
    return Promise(
        name="what was refused was refused for its own reason, and never answered",
        held=refused == sent == sum(facts.ledger.refused_by_reason.values()) and box["unknown_answers"] == 0,
        measured=f"{refused} of {sent} refused, {box['unknown_answers']} answered",
    )


def _expired_recorded(facts: DemoFacts) -> Promise:
    sent, recorded = _sent(facts.sandbox, "expired"), facts.ledger.missed_by_reason.get(_PAST, 0)
    others = sum(facts.ledger.missed_by_reason.values()) - recorded
    return Promise(
        name="what came too late is recorded as missed, and nothing else is",
        held=sent == recorded and others == 0,
        measured=f"{recorded} of {sent} expired, {others} others",
    )


def _duplicates_recognised(facts: DemoFacts) -> Promise:
    box = facts.sandbox
    sent, accepted = _sent(box, "duplicate"), _statuses(box, "duplicate").get("202", 0)
    owed = box["valid"] + _sent(box, "expired")
    return Promise(
        name="duplicates got the answer of their original, and one decision",
        held=sent == accepted == facts.duplicates_recognised and facts.ledger.notifications == owed,
        measured=f"{facts.duplicates_recognised} of {sent} recognised, "
        f"{facts.ledger.notifications} notifications in the ledger of {owed}",
    )


def _nothing_silent(facts: DemoFacts) -> Promise:
    ledger = facts.ledger
    return Promise(
        name="every accepted notification has a decision or a reason in the ledger",
        held=ledger.notifications > 0 and ledger.unfinished == ledger.unexplained == 0,
        measured=f"{ledger.notifications} accepted, {ledger.unfinished} unfinished, {ledger.unexplained} unexplained",
    )


def _replaced(facts: DemoFacts) -> Promise:
    others = {name: count for name, count in facts.restarts_by_name.items() if count and name != facts.killed}
    after = "never" if facts.replaced_after_s is None else f"after {facts.replaced_after_s:.1f} s"
    return Promise(
        name="the killed worker was replaced, and nothing else died",
        held=facts.replaced_after_s is not None
        and facts.restarts_by_name.get(facts.killed) == 1
        and not others,
        measured=f"{facts.killed} ready again {after}; other restarts: {sum(others.values())}",
    )


def _stopped(facts: DemoFacts) -> Promise:
    return Promise(
        name="everything stopped when it was asked to",
        held=not facts.killed_at_end,
        measured=f"killed: {', '.join(facts.killed_at_end) or 'none'}",
    )


def _group_figures(group: PlayedGroup) -> dict[str, Any]:
    names = ("customers", "approved", "rejected", "unanswered", "late", "calls", "moved")
    return {name: group.summary[name] for name in names} | {"margin_s": round(_margin_s(group), 1)}


def _margin_s(group: PlayedGroup) -> float:
    """What was left before the deadline at the last call that was in time; 0 without one."""
    return -(group.summary["last_call_in_time_ms"] or 0) / 1000


def _sent(sandbox: Mapping[str, Any], kind: str) -> int:
    return int(sandbox["by_kind"][kind]["sent"])


def _statuses(sandbox: Mapping[str, Any], kind: str) -> Mapping[str, int]:
    statuses: Mapping[str, int] = sandbox["by_kind"][kind]["status"]
    return statuses


def _percentiles(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {_SHOWN_AS.get(name, name): value for name, value in values.items()}
