"""Closing a group: once the deadline is over, what became of every customer is written down, and told once."""

from contextlib import suppress
from typing import Any

import pytest
from celery.exceptions import Retry as CeleryRetry
from sqlalchemy import update

from clearance.ledger import closing
from clearance.ledger.decisions import Answer
from clearance.ledger.engine import Ledger
from clearance.ledger.obligations import finish_many
from clearance.ledger.tables import decisions, obligations
from tests.fakes.clock import ManualClock
from tests.fakes.told_groups import APPROVED, DEADLINE, MINUTE, REFUSED, SECOND, Work, cancel, hear
from tests.unit.tasks.scheduled import SUBMIT_AT, ScheduledWorker

_MISSED = "group_customers_missed_total"


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock) -> ScheduledWorker:
    made = ScheduledWorker(ledger, clock)
    made.leases.lease = 10 * SECOND
    clock.now = DEADLINE
    return made


@pytest.fixture
def work(ledger: Ledger) -> Work:
    return Work(ledger=ledger)


def _partly(worker: ScheduledWorker, work: Work) -> None:
    """Chunk 1 is submitted, 2 decided, 3 and 4 not even that; of nine customers one was never fetched."""
    hear(worker.ledger, expected_customers=9)
    work.fetch(["C1", "C2"], ["C3", "C4", "C5"], ["C6", "C7"], ["C8"], is_all=False)
    work.decide(1, ("C1", APPROVED), ("C2", REFUSED))
    work.decide(2, ("C3", APPROVED), ("C4", REFUSED), ("C5", APPROVED))
    work.call(1, customers=2, at=SUBMIT_AT)


def _told(worker: ScheduledWorker) -> dict[str, float]:
    reasons = ("NOT_DECIDED_IN_TIME", "NOT_SENT_IN_TIME", "SENT_UNCONFIRMED", "NOT_FETCHED_IN_TIME")
    found = {reason: worker.metrics.counted(_MISSED, api="v2", reason=reason) for reason in reasons}
    return {reason: customers for reason, customers in found.items() if customers}


def test_a_group_is_not_closed_before_its_deadline(worker: ScheduledWorker, work: Work) -> None:
    _partly(worker, work)
    worker.clock.now = DEADLINE - SECOND

    assert worker.close().startswith("nothing to do")

    assert worker.group().state == "open"


def test_who_was_not_decided_in_time_is_refused_with_that_reason(worker: ScheduledWorker, work: Work) -> None:
    _partly(worker, work)

    assert worker.close() == "done"

    refused = [row for row in worker.rows(decisions) if row.reasons == '["NOT_DECIDED_IN_TIME"]']
    assert [(row.customer_id, row.approved, row.chunk) for row in refused] == [
        ("C6", False, 3),
        ("C7", False, 3),
        ("C8", False, 4),
    ]


def test_who_was_decided_and_not_sent_keeps_the_decision_in_a_chunk_that_is_missed(
    worker: ScheduledWorker, work: Work
) -> None:
    _partly(worker, work)

    worker.close()

    assert worker.states() == ["submitted", "missed", "missed", "missed"]
    kept = {row.customer_id: row.approved for row in worker.rows(decisions) if row.chunk == 2}
    assert kept == {"C3": True, "C4": False, "C5": True}


def test_the_revision_ends_with_its_counts(worker: ScheduledWorker, work: Work) -> None:
    _partly(worker, work)

    worker.close()

    revision = worker.revision()
    assert (revision.ended_as, revision.ended_at) == ("missed", DEADLINE)
    assert (revision.submitted, revision.not_decided, revision.not_sent) == (2, 3, 3)
    assert worker.group().state == "missed"


def test_how_it_ended_is_counted_and_logged_as_an_error(
    worker: ScheduledWorker, work: Work, log_events: list[Any]
) -> None:
    _partly(worker, work)

    worker.close()

    assert _told(worker) == {"NOT_DECIDED_IN_TIME": 3, "NOT_SENT_IN_TIME": 3, "NOT_FETCHED_IN_TIME": 1}
    assert worker.metrics.counted("groups_ended_total", api="v2", outcome="missed") == 1
    assert worker.metrics.observed("group_margin_seconds", api="v2") == [59.5]
    (event,) = [each for each in log_events if each["event"] == "group.ended"]
    assert (event["log_level"], event["outcome"], event["submitted"]) == ("error", "missed", 2)
    assert (event["not_decided_in_time"], event["not_sent_in_time"], event["not_fetched_in_time"]) == (
        3,
        3,
        1,
    )


def test_a_group_of_which_nothing_was_sent_has_no_margin(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)

    worker.close()

    assert worker.metrics.observed("group_margin_seconds", api="v2") == []
    assert _told(worker) == {"NOT_FETCHED_IN_TIME": 4}


def test_more_chunks_than_are_looked_up_at_once_are_all_given_up(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)
    work.fetch(*([f"C{number}"] for number in range(120)))

    worker.close()

    assert worker.states() == ["missed"] * 120
    assert _told(worker) == {"NOT_DECIDED_IN_TIME": 120}


def test_a_chunk_that_a_fetch_stores_while_the_books_are_closed_is_given_up_too(
    worker: ScheduledWorker, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear(worker.ledger)
    work.fetch(["C1"], is_all=False)
    submit = worker.commits.submit

    def meanwhile(operation: Any, item: Any) -> Any:
        if operation is closing.end_many and worker.group().chunk_count == 1:
            work.fetch(["C2"], first=2, is_all=False)
        return submit(operation, item)

    monkeypatch.setattr(worker.commits, "submit", meanwhile)

    assert worker.close() == "done"

    assert worker.group().state == "missed"
    assert _told(worker)["NOT_DECIDED_IN_TIME"] == 2


def test_a_group_that_was_answered_is_closed_without_a_word(worker: ScheduledWorker, work: Work) -> None:
    hear(worker.ledger)
    work.fetch(["C1"])
    work.decide(1, ("C1", APPROVED))
    work.call(1, customers=1)
    work.end(at=DEADLINE - SECOND)

    assert worker.close() == "done"

    assert worker.metrics.counted("groups_ended_total", api="v2", outcome="submitted") == 0
    assert worker.group().state == "submitted"


@pytest.mark.parametrize("is_moved", [True, False])
def test_a_revision_that_does_not_hold_any_more_closes_nothing(
    worker: ScheduledWorker, work: Work, is_moved: bool
) -> None:
    _partly(worker, work)
    changed_at = DEADLINE - MINUTE
    # The message was out already: whoever claimed it before the change works on what was true then.
    claim = worker.commits.submit

    def change_after_claim(operation: Any, item: Any) -> Any:
        claimed = claim(operation, item)
        if operation.__name__ == "claim_many" and is_moved:
            hear(worker.ledger, deadline_at=DEADLINE + 20 * MINUTE, at=changed_at)
        elif operation.__name__ == "claim_many":
            cancel(worker.ledger, at=changed_at)
        return claimed

    worker.commits.submit = change_after_claim  # type: ignore[method-assign]  # the vendor speaks meanwhile

    worker.close()

    assert worker.group().state == ("open" if is_moved else "cancelled")
    assert worker.rows(decisions) == [row for row in worker.rows(decisions) if row.chunk in {1, 2}]
    assert _told(worker) == {}


def test_a_deadline_that_moved_to_the_past_tells_whom_it_missed(
    worker: ScheduledWorker, work: Work, log_events: list[Any]
) -> None:
    _partly(worker, work)
    worker.clock.now = SUBMIT_AT + SECOND
    hear(worker.ledger, deadline_at=SUBMIT_AT, at=worker.clock(), expected_customers=9)

    assert worker.close(revision=2) == "done"

    assert _told(worker) == {"NOT_DECIDED_IN_TIME": 3, "NOT_SENT_IN_TIME": 3, "NOT_FETCHED_IN_TIME": 1}
    assert worker.metrics.counted("groups_ended_total", api="v2", outcome="missed") == 1
    assert worker.metrics.observed("group_margin_seconds", api="v2") == []


def test_a_group_that_came_again_before_its_books_were_closed_tells_whom_it_missed(
    worker: ScheduledWorker, work: Work
) -> None:
    _partly(worker, work)
    work.call(2, answer=Answer.UNKNOWN, customers=3, at=SUBMIT_AT + SECOND)
    hear(worker.ledger, deadline_at=DEADLINE + 20 * MINUTE, at=DEADLINE)
    again = Work(ledger=worker.ledger, generation=2, revision=2)
    again.fetch(["C1"], at=DEADLINE)

    assert worker.close() == "done"

    assert _told(worker) == {"NOT_DECIDED_IN_TIME": 3, "SENT_UNCONFIRMED": 3}
    assert worker.metrics.counted("groups_ended_total", api="v2", outcome="missed") == 1
    assert (worker.group().state, worker.states()[-1]) == ("open", "fetched")


def test_a_group_that_came_again_after_its_end_is_not_told_of_twice(
    worker: ScheduledWorker, work: Work
) -> None:
    _partly(worker, work)
    submit = worker.commits.submit

    def come_again(operation: Any, item: Any) -> Any:
        if operation is finish_many:
            hear(worker.ledger, deadline_at=DEADLINE + 20 * MINUTE, at=DEADLINE + SECOND)
        return submit(operation, item)

    worker.commits.submit = come_again  # type: ignore[method-assign]  # the vendor speaks meanwhile

    worker.close()

    assert worker.metrics.counted("groups_ended_total", api="v2", outcome="missed") == 1


def test_a_lease_that_was_lost_leaves_the_telling_to_who_has_it(worker: ScheduledWorker, work: Work) -> None:
    _partly(worker, work)
    worker.clock.now = SUBMIT_AT + SECOND
    hear(worker.ledger, deadline_at=SUBMIT_AT, at=worker.clock())
    submit = worker.commits.submit

    def lose(operation: Any, item: Any) -> Any:
        if operation is finish_many:
            with worker.ledger.write() as connection:
                connection.execute(update(obligations).values(attempts=2))
        return submit(operation, item)

    worker.commits.submit = lose  # type: ignore[method-assign]  # another worker takes over

    assert worker.close(revision=2).startswith("taken over")

    assert _told(worker) == {}


@pytest.mark.parametrize("unconfirmed", [False, True])
@pytest.mark.parametrize("commit", range(6))
def test_a_ledger_that_fails_at_any_commit_leaves_the_same_books_told_once(
    worker: ScheduledWorker, work: Work, commit: int, unconfirmed: bool
) -> None:
    _partly(worker, work)
    worker.fail_commit(commit, unconfirmed=unconfirmed)

    for _ in range(3):
        with suppress(CeleryRetry):
            worker.close()
        if worker.obligation("groups.close:g1:1").state == "done":
            break
        worker.clock.advance(11)  # the lease that nobody knows of has run out

    assert worker.obligation("groups.close:g1:1").state == "done"
    assert worker.states() == ["submitted", "missed", "missed", "missed"]
    revision = worker.revision()
    assert (revision.submitted, revision.not_decided, revision.not_sent) == (2, 3, 3)
    assert _told(worker) == {"NOT_DECIDED_IN_TIME": 3, "NOT_SENT_IN_TIME": 3, "NOT_FETCHED_IN_TIME": 1}
    assert worker.metrics.counted("groups_ended_total", api="v2", outcome="missed") == 1


def test_a_ledger_that_cannot_be_read_is_asked_later(worker: ScheduledWorker, work: Work) -> None:
    _partly(worker, work)
    worker.reads.away = 1
    with pytest.raises(CeleryRetry):
        worker.close()
    worker.clock.advance(1)

    assert worker.close() == "done"

    assert worker.group().state == "missed"
