"""Reviewing a chunk: its customers decided in one transaction, once, however often it is tried."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from celery.exceptions import Retry as CeleryRetry

from clearance.checks.judge import Question
from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.inputs import digest_of, inputs_of, load_inputs
from clearance.decisions.rules_file import load_rules
from clearance.ledger.chunk_bodies import load_answers
from clearance.ledger.engine import Ledger
from clearance.ledger.tables import chunks, decision_inputs, decisions
from tests.fakes.clock import START, ManualClock
from tests.fakes.scheduled_vendor import named
from tests.fakes.told_groups import DEADLINE, SECOND, Work, cancel, hear
from tests.unit.tasks.scheduled import HARD_STOP, RULES, ScheduledWorker

_FAILED = Verdict(approved=False, reasons=("CHECK_FAILED:listed",))
_FAILED_MILDLY = Verdict(approved=True, reasons=("CHECK_FAILED:asked",))
# Two thirds of the way from the fetch to the hard stop.
_ENOUGH_ASKED = START + (HARD_STOP - START) * 2 / 3


class Asked:
    """An outside check: `verdict` about everybody, or another one by customer; `meanwhile` happens as it is asked."""

    def __init__(self, clock: ManualClock, verdict: Verdict) -> None:
        self._clock = clock
        self.verdict = verdict
        self.verdict_by_customer: dict[str, Verdict] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self.questions: list[tuple[datetime, Question]] = []

    def ask(self, question: Question) -> Sequence[Verdict]:
        self.questions.append((self._clock(), question))
        self.meanwhile()
        return [self.verdict_by_customer.get(each.customer_id, self.verdict) for each in question.customers]


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock) -> ScheduledWorker:
    return ScheduledWorker(ledger, clock)


def _fetched(worker: ScheduledWorker, tag: str = "none") -> None:
    """A chunk with two customers who pass `gold`, one of them a minor, and a chunk with a third."""
    hear(worker.ledger, campaign=Campaign(lane="send_group", tags=(tag,)))
    worker.vendor.rows = [
        *named("C1", plan="gold", age=30),
        *named("C2", plan="gold", age=17),
        *named("C3", plan="gold", age=30),
    ]
    worker.fetch()


def _asks(worker: ScheduledWorker, verdict: Verdict, check: str = "listed") -> Asked:
    asked = Asked(worker.clock, verdict)
    worker.asks_by_check[check] = asked
    return asked


def _decided(worker: ScheduledWorker) -> dict[str, tuple[bool, list[str]]]:
    return {row.customer_id: (row.approved, json.loads(row.reasons)) for row in worker.rows(decisions)}


def test_every_customer_of_the_chunk_is_decided_by_the_rules(worker: ScheduledWorker) -> None:
    _fetched(worker)

    assert worker.review(1) == "done"

    assert _decided(worker) == {"C1": (True, []), "C2": (False, ["UNDER_AGE"])}
    first, second = worker.rows(chunks)
    assert (first.state, first.approved, first.body) == ("decided", 1, None)
    assert load_answers(first.answers) == [("C1", True), ("C2", False)]
    assert second.state == "fetched"


def test_decisions_carry_their_chunk_their_generation_and_the_rules_version(worker: ScheduledWorker) -> None:
    _fetched(worker)

    worker.review(2)

    (row,) = worker.rows(decisions)
    assert (row.subject, row.chunk, row.customer_id) == ("g1:1", 2, "C3")
    assert (row.rules_version, row.policy) == (worker.rules.version, "all")
    assert row.decided_at == START


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_a_decision_was_made_from_is_kept_if_the_rules_say_so(
    worker: ScheduledWorker, is_kept: bool
) -> None:
    if is_kept:
        worker.rules = load_rules("record_inputs = true\n" + RULES, source="rules.toml")
    _fetched(worker, "asks")
    _asks(worker, APPROVED)

    worker.review(2)

    (row,) = worker.rows(decisions)
    customer = Customer(customer_id="C3", attributes={"plan": "gold", "age": 30})
    inputs = inputs_of(Campaign(lane="send_group", tags=("asks",)), customer, {"listed": APPROVED})
    assert row.inputs_digest == digest_of(inputs)
    kept = [load_inputs(each.inputs) for each in worker.rows(decision_inputs)]
    assert kept == ([load_inputs(inputs)] if is_kept else [])


def test_decisions_and_the_end_of_the_obligation_are_one_transaction(worker: ScheduledWorker) -> None:
    _fetched(worker)
    worker.commits.submitted.clear()

    worker.review(1)

    assert [name for name, _ in worker.commits.submitted] == ["claim_many", "decided_many"]
    assert worker.obligation("groups.review:g1:1:1").state == "done"


def test_a_chunk_is_decided_once_whoever_tries_again(worker: ScheduledWorker) -> None:
    """A worker that was taken for dead comes back with another answer: the first decisions stand."""
    _fetched(worker, "asks")
    asked = _asks(worker, APPROVED)

    def overtake() -> None:
        asked.meanwhile = lambda: None
        asked.verdict = Verdict(approved=False, reasons=("SUPPRESSED",))
        worker.clock.advance(61)  # our lease has run out
        worker.review(1)
        asked.verdict = APPROVED

    asked.meanwhile = overtake

    assert worker.review(1) == "taken over by another worker"

    assert _decided(worker) == {"C1": (False, ["SUPPRESSED"]), "C2": (False, ["SUPPRESSED"])}
    assert worker.metrics.counted("decisions_total", lane="review", answer="rejected") == 2
    assert worker.metrics.counted("decisions_total", lane="review", answer="approved") == 0


def test_answers_and_reasons_are_counted(worker: ScheduledWorker) -> None:
    _fetched(worker)

    worker.review(1)

    metrics = worker.metrics
    assert metrics.counted("decisions_total", lane="review", answer="approved") == 1
    assert metrics.counted("decisions_total", lane="review", answer="rejected") == 1
    assert metrics.counted("decision_reasons_total", lane="review", reason="UNDER_AGE") == 1


@pytest.mark.parametrize(
    ("tag", "check", "verdict"), [("asks", "listed", _FAILED), ("mild", "asked", _FAILED_MILDLY)]
)
def test_a_check_that_fails_is_asked_again_while_there_is_time(
    worker: ScheduledWorker, tag: str, check: str, verdict: Verdict
) -> None:
    """Also one whose failure approves: better the answer than the fallback."""
    _fetched(worker, tag)
    asked = _asks(worker, APPROVED, check)
    asked.verdict_by_customer["C2"] = verdict
    with pytest.raises(CeleryRetry):
        worker.review(1)
    assert _decided(worker) == {}
    assert worker.obligation("groups.review:g1:1:1").state == "open"
    asked.verdict_by_customer.clear()
    worker.clock.advance(1)

    assert worker.review(1) == "done"

    assert _decided(worker) == {"C1": (True, []), "C2": (True, [])}


@pytest.mark.parametrize(
    ("tag", "check", "verdict", "approved"),
    [("asks", "listed", _FAILED, False), ("mild", "asked", _FAILED_MILDLY, True)],
)
def test_a_check_that_fails_for_two_thirds_of_the_time_has_its_say_by_on_error(
    worker: ScheduledWorker, tag: str, check: str, verdict: Verdict, approved: bool
) -> None:
    _fetched(worker, tag)
    asked = _asks(worker, verdict, check)
    for _ in range(100):
        with suppress(CeleryRetry):
            worker.review(1)
        owed = worker.obligation("groups.review:g1:1:1")
        if owed.state != "open":
            break
        worker.clock.now = owed.run_at

    moments = [at for at, _ in asked.questions]
    assert all(at < _ENOUGH_ASKED for at in moments[:-1])
    assert _ENOUGH_ASKED <= moments[-1] < HARD_STOP - 60 * SECOND
    assert _decided(worker) == {
        "C1": (approved, [f"CHECK_FAILED:{check}"]),
        "C2": (approved, [f"CHECK_FAILED:{check}"]),
    }


@pytest.mark.parametrize(("left_s", "asked_s"), [(599, 60), (60, 30), (2, 1)])
def test_checks_leave_time_to_send_what_is_decided(
    worker: ScheduledWorker, left_s: float, asked_s: float
) -> None:
    _fetched(worker, "asks")
    asked = _asks(worker, APPROVED)
    worker.clock.now = HARD_STOP - timedelta(seconds=left_s)

    worker.review(1)

    ((at, question),) = asked.questions
    assert question.ends_at == at + timedelta(seconds=asked_s)
    assert question.occasion == "g1:1"


def test_a_chunk_of_a_cancelled_group_is_not_decided(worker: ScheduledWorker) -> None:
    _fetched(worker, "asks")
    asked = _asks(worker, APPROVED)
    asked.meanwhile = lambda: cancel(worker.ledger)

    worker.review(1)

    assert _decided(worker) == {}
    assert worker.states() == ["cancelled", "cancelled"]
    assert worker.metrics.counted("decisions_total", lane="review", answer="approved") == 0


def test_a_chunk_that_was_given_up_asks_nobody(worker: ScheduledWorker) -> None:
    _fetched(worker, "asks")
    asked = _asks(worker, APPROVED)
    Work(ledger=worker.ledger).miss(1, at=DEADLINE)

    assert worker.review(1) == "done"

    assert asked.questions == []


def test_after_the_hard_stop_nothing_is_decided(worker: ScheduledWorker) -> None:
    _fetched(worker)
    worker.clock.now = HARD_STOP

    assert worker.review(1).startswith("too late")

    assert _decided(worker) == {}


@pytest.mark.parametrize("unconfirmed", [False, True])
@pytest.mark.parametrize("commit", range(2))
def test_a_ledger_that_fails_at_any_commit_leaves_one_decision_for_each(
    worker: ScheduledWorker, commit: int, unconfirmed: bool
) -> None:
    _fetched(worker)
    worker.fail_commit(commit, unconfirmed=unconfirmed)

    for _ in range(2):
        worker.review(1)
        if worker.obligation("groups.review:g1:1:1").state == "done":
            break
        worker.clock.advance(61)  # the lease that nobody knows of has run out

    assert _decided(worker) == {"C1": (True, []), "C2": (False, ["UNDER_AGE"])}
    assert worker.states() == ["decided", "fetched"]
