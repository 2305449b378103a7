"""The `suppression` check: who stands on the list is refused, and so is everybody while nobody knows."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from clearance.checks.judge import Question
from clearance.checks.suppression import SuppressionAsks
from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.rules import SuppressionCheck
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.suppressions import Suppression, add_many
from tests.fakes.clock import START, ManualClock
from tests.fakes.commits import InlineCommits
from tests.fakes.ledgers import new_ledger
from tests.fakes.metrics import RecordingMetrics

CHECK = SuppressionCheck(id="not-suppressed", reason="SUPPRESSED", list_name="customers")
SUPPRESSED = Verdict(approved=False, reasons=("SUPPRESSED",))
FAILED = Verdict(approved=False, reasons=("CHECK_FAILED:not-suppressed",))


class SlowCommits:
    """A group commit that is still waiting for the ledger; `timeouts` is how long each caller would wait."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self.timeouts: list[float | None] = []

    def submit(self, _operation: object, _item: object) -> Future[Any]:
        timeouts = self.timeouts

        class Waiting(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                timeouts.append(timeout)
                raise TimeoutError

        self.futures.append(Waiting())
        return self.futures[-1]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    yield made
    made.close()


@pytest.fixture
def metrics() -> RecordingMetrics:
    return RecordingMetrics()


def suppress(ledger: Ledger, customer_id: str, *, list_name: str = "customers", **told: Any) -> None:
    entry = Suppression(
        list_name=list_name, customer_id=customer_id, added_at=START, added_by="operator", **told
    )
    with ledger.write() as connection:
        add_many(connection, [entry])


def asks(commits: object, clock: ManualClock, metrics: RecordingMetrics) -> SuppressionAsks:
    return SuppressionAsks(CHECK, commits=cast(GroupCommit, commits), clock=clock, metrics=metrics)


def question(*customer_ids: str, time_s: float = 3) -> Question:
    return Question(
        campaign=Campaign(lane="triggered"),
        customers=[Customer(customer_id=each, attributes={}) for each in customer_ids],
        ends_at=START + timedelta(seconds=time_s),
        occasion="r-1",
    )


def answers(ledger: Ledger, clock: ManualClock, *customer_ids: str) -> Sequence[Verdict]:
    return asks(InlineCommits(ledger), clock, RecordingMetrics()).ask(question(*customer_ids))


def test_who_stands_on_the_list_is_refused_with_the_checks_reason(ledger: Ledger, clock: ManualClock) -> None:
    suppress(ledger, "C2")

    assert answers(ledger, clock, "C1", "C2", "C3", "C2") == [APPROVED, SUPPRESSED, APPROVED, SUPPRESSED]


def test_ids_are_compared_as_written(ledger: Ledger, clock: ManualClock) -> None:
    suppress(ledger, "C1")
    suppress(ledger, "007")

    assert answers(ledger, clock, "c1", " C1", "C1 ", "7", "007") == [APPROVED] * 4 + [SUPPRESSED]


def test_another_list_refuses_nobody(ledger: Ledger, clock: ManualClock) -> None:
    suppress(ledger, "C1", list_name="addresses")

    assert answers(ledger, clock, "C1") == [APPROVED]


def test_an_entry_stands_until_its_moment_and_no_longer(ledger: Ledger, clock: ManualClock) -> None:
    suppress(ledger, "C1", until=START + timedelta(seconds=1))

    assert answers(ledger, clock, "C1") == [SUPPRESSED]
    clock.advance(1)
    assert answers(ledger, clock, "C1") == [APPROVED]


def test_all_customers_of_a_question_are_one_look(ledger: Ledger, clock: ManualClock) -> None:
    commits = InlineCommits(ledger)

    asks(commits, clock, RecordingMetrics()).ask(question("C1", "C2", "C3"))

    assert len(commits.submitted) == 1


def test_a_question_about_nobody_asks_nobody(
    ledger: Ledger, clock: ManualClock, metrics: RecordingMetrics
) -> None:
    commits = InlineCommits(ledger)

    assert asks(commits, clock, metrics).ask(question()) == []
    assert commits.submitted == []


def test_while_the_ledger_is_away_nobody_is_approved(
    ledger: Ledger, clock: ManualClock, metrics: RecordingMetrics
) -> None:
    commits = InlineCommits(ledger)
    commits.away = 1

    assert asks(commits, clock, metrics).ask(question("C1", "C2")) == [FAILED, FAILED]
    assert metrics.counted("check_failures_total", check="not-suppressed", why="ledger") == 1


def test_a_ledger_that_is_too_slow_approves_nobody_and_is_asked_no_more(
    clock: ManualClock, metrics: RecordingMetrics
) -> None:
    commits = SlowCommits()

    assert asks(commits, clock, metrics).ask(question("C1", time_s=1.25)) == [FAILED]

    assert commits.timeouts == [1.25]
    assert commits.futures[0].cancelled()
    assert metrics.counted("check_failures_total", check="not-suppressed", why="timeout") == 1


def test_without_any_time_left_it_does_not_wait(clock: ManualClock, metrics: RecordingMetrics) -> None:
    commits = SlowCommits()

    assert asks(commits, clock, metrics).ask(question("C1", time_s=-2)) == [FAILED]

    assert commits.timeouts == [0.0]


def test_a_bug_in_the_look_up_is_no_approval_either(
    clock: ManualClock, metrics: RecordingMetrics, log_events: list[Any]
) -> None:
    class Broken:
        def submit(self, _operation: object, _item: object) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(KeyError("C1"))
            return future

    assert asks(Broken(), clock, metrics).ask(question("C1")) == [FAILED]

    assert metrics.counted("check_failures_total", check="not-suppressed", why="bug") == 1
    assert log_events == [
        {
            "event": "suppression.failed",
            "log_level": "error",
            "check": "not-suppressed",
            "error": "KeyError",
        }
    ]
