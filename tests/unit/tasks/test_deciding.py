"""What is decided, when it is recorded, and what stands when a decision is made twice."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from celery.exceptions import Retry as CeleryRetry
from sqlalchemy import select

from clearance.checks.judge import Question
from clearance.decisions.decision import APPROVED, Verdict
from clearance.decisions.inputs import load_inputs
from clearance.decisions.rules_file import load_rules
from clearance.errors import VendorUnavailable
from clearance.ledger.tables import decision_inputs, decisions
from clearance.optimove.http import VENDOR
from tests.fakes.clock import START
from tests.fakes.payloads import triggered_payload
from tests.unit.tasks.conftest import CHECK_RESERVE, RULES, SEND_MARGIN, Worker

_DOWN = VendorUnavailable(VENDOR, "503 from the vendor", status=503)
_SUPPRESSED = Verdict(approved=False, reasons=("SUPPRESSED",))


class Listed:
    """The suppression check: a verdict for each question, in turn; the last one stays.

    `meanwhile` happens once, while it is being asked.
    """

    def __init__(self, *verdicts: Verdict) -> None:
        self._verdicts = list(verdicts)
        self.questions: list[Question] = []
        self.meanwhile: Callable[[], object] | None = None

    def ask(self, question: Question) -> Sequence[Verdict]:
        self.questions.append(question)
        verdict = self._verdicts.pop(0) if len(self._verdicts) > 1 else self._verdicts[0]
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return [verdict]


def _asking(worker: Worker, *verdicts: Verdict) -> Listed:
    """From now on the worker asks `Listed`, about notifications of the trigger `Asks`."""
    listed = Listed(*verdicts)
    worker.asks_by_check["listed"] = listed
    return listed


def _accept(worker: Worker, name: str = "a", **attributes: object) -> None:
    payload = triggered_payload(worker.clock(), request_uid=f"r-{name}", **({"plan": "gold"} | attributes))
    payload["trigger_context"]["name"] = "Asks"
    worker.accept(name, body=orjson.dumps(payload))


def _decided(worker: Worker) -> list[tuple[bool, str]]:
    with worker.ledger.read() as connection:
        return [(row.approved, row.reasons) for row in connection.execute(select(decisions))]


def _answers(worker: Worker) -> list[bool]:
    return [call.approved for call in worker.vendor.calls]


def _recorded(worker: Worker) -> list[str]:
    return [name for name, _ in worker.commits.submitted]


def test_a_decision_that_asks_nobody_costs_no_write_of_its_own(worker: Worker) -> None:
    worker.accept("a")

    worker.run("a")

    assert _recorded(worker) == ["claim_many", "finish_many"]


def test_a_decision_that_somebody_had_a_say_in_is_recorded_before_anything_is_sent(worker: Worker) -> None:
    _asking(worker, APPROVED)
    _accept(worker)
    seen: list[int] = []
    worker.vendor.on_call = lambda: seen.append(len(_decided(worker)))

    worker.run("a")

    assert seen == [1]
    assert _recorded(worker) == ["claim_many", "stand_many", "finish_many"]


def test_nothing_is_sent_for_a_decision_that_could_not_be_recorded_first(worker: Worker) -> None:
    listed = _asking(worker, APPROVED)
    _accept(worker)
    listed.meanwhile = lambda: setattr(worker.commits, "away", 1)

    with pytest.raises(CeleryRetry):
        worker.run("a")

    assert worker.vendor.calls == []
    assert _recorded(worker) == ["claim_many", "stand_many", "finish_many"]


def test_of_two_workers_that_decide_at_once_both_send_what_is_recorded_first(worker: Worker) -> None:
    listed = _asking(worker, _SUPPRESSED, APPROVED)
    _accept(worker)

    def taken_over() -> None:
        worker.clock.advance(2)
        assert worker.run("a") == "done"

    listed.meanwhile = taken_over

    assert worker.run("a") == "taken over by another worker"

    assert _answers(worker) == [True, True]
    assert _decided(worker) == [(True, "[]")]


def test_a_later_attempt_sends_what_the_first_one_decided_and_asks_nobody_again(worker: Worker) -> None:
    listed = _asking(worker, APPROVED, _SUPPRESSED)
    _accept(worker)
    worker.vendor.answers.extend([_DOWN] * 3)
    with pytest.raises(CeleryRetry):
        worker.run("a")
    worker.clock.advance(0.5)

    assert worker.run("a") == "done"

    assert set(_answers(worker)) == {True}
    assert len(listed.questions) == 1


def test_a_reload_between_two_attempts_changes_no_answer(worker: Worker) -> None:
    worker.accept("a")
    worker.vendor.answers.extend([_DOWN] * 3)
    with pytest.raises(CeleryRetry):
        worker.run("a")
    worker.rules = load_rules(RULES.replace('"gold"', '"platinum"'), source="rules.toml")
    worker.clock.advance(0.5)

    worker.run("a")

    assert set(_answers(worker)) == {True}


def test_checks_must_be_done_a_while_before_the_approval_must_leave(worker: Worker) -> None:
    listed = _asking(worker, APPROVED)
    _accept(worker)

    worker.run("a")

    (question,) = listed.questions
    assert question.ends_at == START + timedelta(seconds=5) - SEND_MARGIN - CHECK_RESERVE
    assert question.occasion == "r-a"


def test_decisions_and_reasons_are_counted_without_what_follows_the_colon(worker: Worker) -> None:
    _asking(worker, _SUPPRESSED)
    _accept(worker, plan=None)

    worker.run("a")

    assert worker.metrics.counted("decisions_total", lane="triggered", answer="rejected") == 1
    for reason in ("MISSING", "SUPPRESSED"):
        assert worker.metrics.counted("decision_reasons_total", lane="triggered", reason=reason) == 1


@pytest.mark.parametrize("is_kept", [False, True])
def test_what_a_decision_was_made_from_is_kept_only_if_the_rules_say_so(
    worker: Worker, is_kept: bool
) -> None:
    _asking(worker, _SUPPRESSED)
    worker.rules = replace(worker.rules, record_inputs=is_kept)
    _accept(worker, plan="free")

    worker.run("a")

    with worker.ledger.read() as connection:
        kept: list[Any] = [row.inputs for row in connection.execute(select(decision_inputs))]
    assert len(kept) == is_kept
    for written in kept:
        inputs = load_inputs(written if isinstance(written, bytes) else written.encode())
        assert inputs.customer.attributes == {"plan": "free"}
        assert inputs.answers == {"listed": _SUPPRESSED}
