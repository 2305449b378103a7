"""A submit worker that is asked to end: what would last for longer than it has is another's, the rest is finished."""

from dataclasses import replace

import pytest
from celery.exceptions import Retry as CeleryRetry

from clearance.ledger.engine import Ledger
from clearance.ledger.tables import approvals
from config.queues import QUEUE_BY_LANE
from tasks.submitting import SubmitServices
from tests.fakes.clock import ManualClock
from tests.fakes.told_groups import APPROVED, SECOND, Work, hear
from tests.unit.tasks.scheduled import HARD_STOP, SUBMIT_AT, ScheduledWorker


class _AskedToEnd(ScheduledWorker):
    def _submitting(self) -> SubmitServices:
        return replace(super()._submitting(), is_stopping=lambda: True)


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock) -> ScheduledWorker:
    made = _AskedToEnd(ledger, clock)
    made.leases.lease = 10 * SECOND
    hear(ledger)
    work = Work(ledger=ledger)
    work.fetch(["C1", "C2"])
    work.decide(1, ("C1", APPROVED), ("C2", APPROVED))
    return made


def test_what_may_last_for_longer_than_the_grace_is_open_again_at_once(worker: ScheduledWorker) -> None:
    worker.clock.now = SUBMIT_AT

    with pytest.raises(CeleryRetry):
        worker.submit()

    owed = worker.obligation("groups.submit:g1:1")
    assert (owed.state, owed.last_error) == ("open", "the worker is asked to end")
    assert SUBMIT_AT < owed.run_at < SUBMIT_AT + SECOND
    assert worker.vendor.told == []
    assert worker.rows(approvals) == []


def test_what_is_over_within_the_grace_is_finished(worker: ScheduledWorker) -> None:
    worker.clock.now = HARD_STOP - (QUEUE_BY_LANE["submit"].stop_grace_s - 5) * SECOND

    assert worker.submit() == "done"

    assert len(worker.vendor.told) == 1
