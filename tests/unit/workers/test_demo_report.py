"""A demo is judged by what both sides counted: each promise can be broken, and then it says so."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.workers.demo_letters import GOOD_MAIL, GOOD_MAIL_LEDGER
from workers.demo.groups import PlayedGroup
from workers.demo.ledger_facts import Decided, LedgerFacts
from workers.demo.report import DemoFacts, judge, report

_TIMES = {"p50": 10.0, "p99": 50.0, "p999": 90.0, "max": 90.0}


def _notification(
    number: int, answer: str | None, tags: Sequence[str] = (), **personalization: str
) -> dict[str, Any]:
    known = {"self_excluded": "false", "country": "DE", "total_deposits": "50.00"}
    return {
        "request_uid": f"r-{number}",
        "user_id": f"C10000{number}",
        "answer": answer,
        "tags": tags,
        "personalization": known | personalization,
    }


_SANDBOX: dict[str, Any] = {
    "sent": 10, "valid": 4, "answered": 4, "approved": 2, "rejected": 2, "late": 0, "missing": 0, "pending": 0,
    "duplicate_answers": 1, "unknown_answers": 0,
    "by_kind": {
        "valid": {"sent": 4, "status": {"202": 4}},
        "duplicate": {"sent": 2, "status": {"202": 2}},
        "bad_signature": {"sent": 1, "status": {"401": 1}},
        "malformed": {"sent": 2, "status": {"400": 1, "422": 1}},
        "expired": {"sent": 1, "status": {"202": 1}},
    },
    "acknowledge_ms": _TIMES, "notification_to_approval_ms": _TIMES,
    "faults": {"triggered-approval": {"half": 1}, "promotions": {"error": 1}},
    "promotions": {"requests": 3, "activated": 1, "refused": 1, "repeats": 1, "conflicts": 0, "unauthorized": 0},
    "notifications": [
        _notification(1, "approved"),
        _notification(2, "approved", tags=["bonus"]),
        _notification(3, "rejected", tags=["bonus"]),
        _notification(4, "rejected", self_excluded="true", country="FR"),
        _notification(5, None, self_excluded="true"),
    ],
}  # fmt: skip
_LEDGER = LedgerFacts(
    notifications=5,
    repeats_explained=1,
    missed_by_reason={"PAST_ON_ARRIVAL": 1},
    refused_by_reason={"signature": 1, "malformed": 1, "invalid": 1},
    decisions_by_reason={"APPROVED": 2, "SELF_EXCLUDED": 1},
    decided_by_request={
        "r-1": Decided(approved=True, reasons=()),
        "r-2": Decided(approved=True, reasons=()),
        "r-3": Decided(approved=False, reasons=("PROMOTION_NOT_ACTIVE:BONUS_WALLET_LOCKED",)),
        "r-4": Decided(approved=False, reasons=("SELF_EXCLUDED", "COUNTRY_NOT_LICENSED")),
    },
)
_GROUP: dict[str, Any] = {
    "customers": 4, "approved": 3, "rejected": 1, "unanswered": 0, "late": 0, "twice": 0, "reversed": 0,
    "late_calls": 0, "calls": 1, "moved": 0, "last_call_in_time_ms": -4000, "heads_ups": [{"calls": 1}],
}  # fmt: skip
_MOVED = _GROUP | {"moved": 1, "heads_ups": [{"calls": 0}, {"calls": 1}]}
GOOD = DemoFacts(
    sandbox=_SANDBOX,
    ledger=_LEDGER,
    groups=(
        PlayedGroup(group_id="1", summary=_GROUP, wrong=0, asked_about=0),
        PlayedGroup(group_id="2", summary=_MOVED, wrong=0, asked_about=0),
    ),
    duplicates_recognised=2,
    restarts_by_name={"triggered-1": 1, "mail-1": 1, "ingest": 0},
    replaced_after_s_by_killed={"triggered-1": 2.0, "mail-1": 3.0},
    mail=GOOD_MAIL,
    mail_ledger=GOOD_MAIL_LEDGER,
    duration_s=12.34,
)


def _sandbox(change: Callable[[dict[str, Any]], object]) -> DemoFacts:
    sandbox = copy.deepcopy(_SANDBOX)
    change(sandbox)
    return replace(GOOD, sandbox=sandbox)


def _group(**summary: Any) -> DemoFacts:
    """The moved group as the sandbox counted it otherwise."""
    moved = replace(GOOD.groups[1], summary=_MOVED | summary)
    return replace(GOOD, groups=(GOOD.groups[0], moved))


def _ledger(**facts: Any) -> DemoFacts:
    return replace(GOOD, ledger=replace(_LEDGER, **facts))


def _decided(number: int, *, approved: bool, reasons: tuple[str, ...]) -> DemoFacts:
    sandbox = copy.deepcopy(_SANDBOX)
    sandbox["notifications"][number - 1]["answer"] = "approved" if approved else "rejected"
    decided = {f"r-{number}": Decided(approved=approved, reasons=reasons)}
    changed = replace(_LEDGER, decided_by_request=_LEDGER.decided_by_request | decided)
    return replace(GOOD, sandbox=sandbox, ledger=changed)


def _broken(facts: DemoFacts) -> list[str]:
    return [promise.name for promise in judge(facts) if not promise.held]


def test_when_everything_went_well_every_promise_held() -> None:
    assert _broken(GOOD) == []


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (_sandbox(lambda box: box.update(answered=3, missing=1)), "every valid notification was answered in time"),
        (_sandbox(lambda box: box.update(answered=3, late=1)), "every valid notification was answered in time"),
        (_sandbox(lambda box: box.update(valid=0, answered=0)), "every valid notification was answered in time"),
        (_sandbox(lambda box: box.update(duplicate_answers=2)), "the vendor counted one answer for each"),
        (_sandbox(lambda box: box["notifications"][0].update(answer="rejected")), "every answer, and every reason"),
        (_sandbox(lambda box: box["notifications"][3].update(answer="approved")), "every answer, and every reason"),
        (_decided(1, approved=False, reasons=("SELF_EXCLUDED",)), "every answer, and every reason"),
        (_decided(1, approved=True, reasons=("MISSING:country",)), "every answer, and every reason"),
        (_decided(3, approved=False, reasons=()), "every answer, and every reason"),
        (_decided(3, approved=False, reasons=("NO_ANSWER:promotion-active",)), "every answer, and every reason"),
        (_decided(4, approved=False, reasons=("SELF_EXCLUDED",)), "every answer, and every reason"),
        (_ledger(decided_by_request={}), "every answer, and every reason"),
        (_sandbox(lambda box: box["promotions"].update(activated=0)), "promotions were activated only for"),
        (_sandbox(lambda box: box["promotions"].update(activated=2)), "promotions were activated only for"),
        (_sandbox(lambda box: box["promotions"].update(conflicts=1)), "promotions were activated only for"),
        (_group(unanswered=1, approved=2), "every customer of the send groups"),
        (_group(late=1), "every customer of the send groups"),
        (_group(twice=1), "every customer of the send groups"),
        (_group(late_calls=1), "every customer of the send groups"),
        (replace(GOOD, groups=(replace(GOOD.groups[0], wrong=1), GOOD.groups[1])), "every customer of the send groups"),
        (_group(heads_ups=[{"calls": 1}, {"calls": 1}]), "the send group whose deadline was moved"),
        (_group(heads_ups=[{"calls": 0}, {"calls": 0}]), "the send group whose deadline was moved"),
        (_sandbox(lambda box: box.update(unknown_answers=1)), "what was refused"),
        (_sandbox(lambda box: box["by_kind"]["malformed"].update(status={"202": 2})), "what was refused"),
        (_sandbox(lambda box: box["by_kind"]["bad_signature"].update(status={"400": 1})), "what was refused"),
        (_ledger(refused_by_reason={"signature": 1}), "what was refused"),
        (_ledger(missed_by_reason={}), "what came too late"),
        (_ledger(missed_by_reason={"PAST_ON_ARRIVAL": 1, "ABANDONED": 1}), "what came too late"),
        (replace(GOOD, duplicates_recognised=1), "duplicates"),
        (_ledger(notifications=6), "duplicates"),
        (_ledger(unfinished=1), "every accepted notification"),
        (_ledger(unexplained=1), "every accepted notification"),
        (replace(GOOD, replaced_after_s_by_killed={"triggered-1": 2.0, "mail-1": None}), "the killed workers were"),
        (replace(GOOD, replaced_after_s_by_killed={}), "the killed workers were replaced"),
        (
            replace(GOOD, restarts_by_name={"triggered-1": 1, "mail-1": 1, "ingest": 1}),
            "the killed workers were replaced",
        ),
        (replace(GOOD, killed_at_end=("flower",)), "everything stopped"),
    ],
)  # fmt: skip
def test_a_fact_that_breaks_a_promise_is_seen(facts: DemoFacts, name: str) -> None:
    broken = _broken(facts)

    assert any(found.startswith(name) for found in broken), broken


@pytest.mark.parametrize("reason", ["PROMOTION_NOT_ACTIVE", "CHECK_FAILED:promotion-active"])
def test_where_the_promotion_service_is_asked_it_may_say_no_or_nothing(reason: str) -> None:
    assert _broken(_decided(3, approved=False, reasons=(reason,))) == []


def test_the_report_has_the_figures_of_the_lane() -> None:
    result = report(GOOD)

    lane = result["lanes"]["triggered"]
    assert (lane["sent"], lane["valid"], lane["answered_in_time"], lane["late"]) == (10, 4, 4, 0)
    assert lane["missed"] == {"PAST_ON_ARRIVAL": 1}
    assert lane["refused"] == {"signature": 1, "malformed": 1, "invalid": 1}
    assert lane["notification_to_approval_ms"]["p99.9"] == 90.0
    assert result["restarts"] == 2
    assert result["duration_s"] == 12.3


def test_the_report_holds_no_personal_data() -> None:
    text = json.dumps(report(GOOD))

    assert "C1" not in text
    assert "personalization" not in text
    assert "@" not in text
