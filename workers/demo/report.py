"""Which promises did a demo keep? Judged from what the sandbox counted and what the ledger says, and from nothing else.

In: facts of both sides. Out: the report as it is written to `report.json`. Pure: every judgement can be tested by
handing it a fact that breaks it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.demo.expected import PROMOTION_FAILED, is_asked_about, is_right
from workers.demo.groups import PlayedGroup
from workers.demo.groups_report import group_figures, judge_groups
from workers.demo.ledger_facts import LedgerFacts
from workers.demo.mail import PlayedMail
from workers.demo.mail_ledger import MailFacts
from workers.demo.mail_report import judge_mail, mail_figures, track_figures
from workers.demo.promise import Promise

# A signature that is wrong is refused as such; a malformed body as the kind of malformed that it is.
_REFUSALS = {"bad_signature": {"401"}, "malformed": {"400", "413", "422"}}
_PAST = "PAST_ON_ARRIVAL"
_SHOWN_AS = {"p999": "p99.9"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFacts:
    """What was seen.

    Attributes:
        sandbox: The sandbox's report, with details.
        ledger: What the ledger says.
        duplicates_recognised: By ingest's own count.
        groups: The send groups, the one that was moved last.
        restarts_by_name: How often each process was started again.
        replaced_after_s_by_killed: The workers that were killed; None: never replaced.
        mail: What the relay answered, and what the vendors of mail counted.
        mail_ledger: What the ledger says of letters.
        killed_at_end: Processes that did not stop in their grace.
    """

    sandbox: Mapping[str, Any]
    ledger: LedgerFacts
    duplicates_recognised: int
    groups: tuple[PlayedGroup, ...]
    restarts_by_name: Mapping[str, int]
    replaced_after_s_by_killed: Mapping[str, float | None]
    mail: PlayedMail
    mail_ledger: MailFacts
    killed_at_end: tuple[str, ...] = ()
    duration_s: float = 0.0


def judge(facts: DemoFacts) -> list[Promise]:
    """Every promise, kept or not."""
    return [
        _answered_in_time(facts),
        _answered_once(facts),
        _answered_by_the_rules(facts),
        _activated_once(facts),
        *judge_groups(facts.groups),
        _refused_unanswered(facts),
        _expired_recorded(facts),
        _duplicates_recognised(facts),
        _nothing_silent(facts),
        *judge_mail(facts.mail, facts.mail_ledger),
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
                f"group_{number}": group_figures(group) for number, group in enumerate(facts.groups, 1)
            }
            | {"decisions_by_reason": dict(ledger.group_decisions_by_reason)},
            "mail": mail_figures(facts.mail, facts.mail_ledger),
            "track": track_figures(facts.mail),
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
    after_s_by_name = facts.replaced_after_s_by_killed
    others = sum(count for name, count in facts.restarts_by_name.items() if name not in after_s_by_name)
    told = [
        f"{name} ready again " + ("never" if after_s is None else f"after {after_s:.1f} s")
        for name, after_s in after_s_by_name.items()
    ]
    return Promise(
        name="the killed workers were replaced, and nothing else died",
        held=bool(after_s_by_name)
        and None not in after_s_by_name.values()
        and all(facts.restarts_by_name.get(name) == 1 for name in after_s_by_name)
        and not others,
        measured=f"{', '.join(told) or 'none was killed'}; other restarts: {others}",
    )


def _stopped(facts: DemoFacts) -> Promise:
    return Promise(
        name="everything stopped when it was asked to",
        held=not facts.killed_at_end,
        measured=f"killed: {', '.join(facts.killed_at_end) or 'none'}",
    )


def _sent(sandbox: Mapping[str, Any], kind: str) -> int:
    return int(sandbox["by_kind"][kind]["sent"])


def _statuses(sandbox: Mapping[str, Any], kind: str) -> Mapping[str, int]:
    statuses: Mapping[str, int] = sandbox["by_kind"][kind]["status"]
    return statuses


def _percentiles(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {_SHOWN_AS.get(name, name): value for name, value in values.items()}
