"""A demo is judged by what both sides counted: each promise can be broken, and then it says so."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from workers.demo.ledger_facts import LedgerFacts
from workers.demo.report import DemoFacts, judge, report

_TIMES = {"p50": 10.0, "p99": 50.0, "p999": 90.0, "max": 90.0}
_SANDBOX: dict[str, Any] = {
    "sent": 10, "valid": 4, "answered": 4, "approved": 3, "rejected": 1, "late": 0, "missing": 0, "pending": 0,
    "duplicate_answers": 1, "unknown_answers": 0,
    "by_kind": {
        "valid": {"sent": 4, "status": {"202": 4}},
        "duplicate": {"sent": 2, "status": {"202": 2}},
        "bad_signature": {"sent": 1, "status": {"401": 1}},
        "malformed": {"sent": 2, "status": {"400": 1, "422": 1}},
        "expired": {"sent": 1, "status": {"202": 1}},
    },
    "acknowledge_ms": _TIMES, "notification_to_approval_ms": _TIMES,
    "faults": {"triggered-approval": {"half": 1}},
    "notifications": [
        *[{"answer": "approved", "personalization": {"self_excluded": "false"}, "user_id": "C1"}] * 3,
        {"answer": "rejected", "personalization": {"self_excluded": "true"}, "user_id": "C2"},
        {"answer": None, "personalization": {"self_excluded": "true"}, "user_id": "C3"},
    ],
}  # fmt: skip
_LEDGER = LedgerFacts(
    notifications=5,
    repeats_explained=1,
    missed_by_reason={"PAST_ON_ARRIVAL": 1},
    refused_by_reason={"signature": 1, "malformed": 1, "invalid": 1},
    decisions_by_reason={"APPROVED": 3, "ATTRIBUTE_DIFFERS:self_excluded": 1},
)
GOOD = DemoFacts(
    sandbox=_SANDBOX,
    ledger=_LEDGER,
    duplicates_recognised=2,
    approved_if=("self_excluded", "false"),
    restarts_by_name={"triggered-1": 1, "ingest": 0},
    killed="triggered-1",
    replaced_after_s=2.0,
    duration_s=12.34,
)


def _sandbox(change: Callable[[dict[str, Any]], object]) -> DemoFacts:
    sandbox = copy.deepcopy(_SANDBOX)
    change(sandbox)
    return replace(GOOD, sandbox=sandbox)


def _ledger(**facts: Any) -> DemoFacts:
    return replace(GOOD, ledger=replace(_LEDGER, **facts))


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
        (_sandbox(lambda box: box["notifications"][0].update(answer="rejected")), "every answer is what the rules say"),
        (_sandbox(lambda box: box["notifications"][3].update(answer="approved")), "every answer is what the rules say"),
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
        (replace(GOOD, replaced_after_s=None), "the killed worker was replaced"),
        (replace(GOOD, restarts_by_name={"triggered-1": 1, "ingest": 1}), "the killed worker was replaced"),
        (replace(GOOD, killed_at_end=("flower",)), "everything stopped"),
    ],
)  # fmt: skip
def test_a_fact_that_breaks_a_promise_is_seen(facts: DemoFacts, name: str) -> None:
    broken = _broken(facts)

    assert any(found.startswith(name) for found in broken), broken


def test_the_report_has_the_figures_of_the_lane() -> None:
    result = report(GOOD)

    lane = result["lanes"]["triggered"]
    assert (lane["sent"], lane["valid"], lane["answered_in_time"], lane["late"]) == (10, 4, 4, 0)
    assert lane["missed"] == {"PAST_ON_ARRIVAL": 1}
    assert lane["refused"] == {"signature": 1, "malformed": 1, "invalid": 1}
    assert lane["notification_to_approval_ms"]["p99.9"] == 90.0
    assert result["restarts"] == 1
    assert result["duration_s"] == 12.3


def test_the_report_holds_no_personal_data() -> None:
    text = json.dumps(report(GOOD))

    assert "C1" not in text
    assert "personalization" not in text
