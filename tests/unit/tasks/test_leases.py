"""Leases: a slow attempt keeps what it holds, a quick one costs nothing, and a loss is told once."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, cast

import pytest
from structlog.typing import EventDict

from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.obligations import Claimed, Done, Lane, ObligationId
from tasks.leases import Leases
from tests.fakes.clock import START, ManualClock
from tests.fakes.commits import InlineCommits
from tests.fakes.owed import LEASE, claim, claimed, finish, obligation, owe, row

_THIRD = LEASE / 3
_HELD = Claimed(
    obligation_id=ObligationId("a"),
    lane=Lane.TRIGGERED,
    task="clearance.triggered.approve",
    subject="n-a",
    created_at=START,
    deadline_at=START + timedelta(seconds=5),
    lease_until=START + LEASE,
    attempt=1,
    trace_id="t",
)


class _Holder:
    """Leases whose own thread sleeps: the test renews. It holds leases of `LEASE` in the ledger all the same."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.commits = InlineCommits(ledger)
        self.leases = Leases(
            commits=cast(GroupCommit, self.commits),
            clock=clock,
            lease=timedelta(hours=1),
        )
        self.leases.lease = LEASE


@pytest.fixture
def holder(ledger: Ledger, clock: ManualClock) -> Iterator[_Holder]:
    made = _Holder(ledger, clock)
    yield made
    made.leases.close()


def test_a_young_lease_is_left_alone(holder: _Holder, ledger: Ledger, clock: ManualClock) -> None:
    owe(ledger, obligation("a"))

    with holder.leases.holding(claimed(ledger, "a")):
        clock.now = START + _THIRD
        holder.leases.renew()

    assert holder.commits.submitted == []


def test_a_slow_attempt_keeps_its_lease_for_as_long_as_it_takes(
    holder: _Holder, ledger: Ledger, clock: ManualClock
) -> None:
    owe(ledger, obligation("a", deadline_at=START + timedelta(minutes=1)))

    with holder.leases.holding(claimed(ledger, "a")):
        for _ in range(30):
            clock.now += _THIRD
            holder.leases.renew()
            assert claim(ledger, "a", now=clock()) == [None]

    assert row(ledger, "a").lease_until == clock() + LEASE


def test_after_the_attempt_nothing_is_renewed(holder: _Holder, ledger: Ledger, clock: ManualClock) -> None:
    owe(ledger, obligation("a"))
    with holder.leases.holding(claimed(ledger, "a")):
        pass

    clock.now += LEASE
    holder.leases.renew()

    assert holder.commits.submitted == []


def test_a_lease_that_was_lost_is_told_once_and_not_fought_for(
    holder: _Holder, ledger: Ledger, clock: ManualClock, log_events: list[EventDict]
) -> None:
    owe(ledger, obligation("a"))
    with holder.leases.holding(claimed(ledger, "a")):
        clock.now += LEASE
        other = claimed(ledger, "a", now=clock())
        holder.leases.renew()
        holder.leases.renew()

    assert row(ledger, "a").lease_until == other.lease_until
    assert [(event["event"], event["attempt"]) for event in log_events] == [("lease.lost", 1)]


def test_a_lease_whose_attempt_has_just_ended_was_not_lost(
    holder: _Holder, ledger: Ledger, clock: ManualClock, log_events: list[EventDict]
) -> None:
    """The attempt is finished between the look at what is held and the renewal."""
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")
    holding = holder.leases.holding(held)
    holding.__enter__()
    clock.now += LEASE * 2 / 3
    submit = holder.commits.submit

    def ended_first(operation: object, item: object) -> object:
        finish(ledger, held, Done(), now=clock())
        holding.__exit__(None, None, None)
        return submit(operation, item)  # type: ignore[arg-type]

    holder.commits.submit = ended_first  # type: ignore[assignment,method-assign]

    holder.leases.renew()

    assert log_events == []


def test_one_worker_renews_several_at_once(holder: _Holder, ledger: Ledger, clock: ManualClock) -> None:
    owe(ledger, obligation("a"), obligation("b"))
    with holder.leases.holding(claimed(ledger, "a")), holder.leases.holding(claimed(ledger, "b")):
        clock.now += LEASE / 2
        holder.leases.renew()

    assert row(ledger, "a").lease_until == row(ledger, "b").lease_until == clock() + LEASE


@pytest.mark.parametrize(
    ("failure", "event"),
    [
        (LedgerUnavailable("ledger: away"), "lease.not_renewed"),
        (RuntimeError("a bug"), "lease.failed_on_a_bug"),
    ],
)
def test_the_thread_goes_on_after_a_failure(
    clock: ManualClock, log_events: list[EventDict], failure: Exception, event: str
) -> None:
    renewed = threading.Event()

    class Commits:
        failures: ClassVar[list[Exception]] = [failure]

        def submit(self, _operation: object, _item: object) -> Future[bool]:
            future: Future[bool] = Future()
            if self.failures:
                future.set_exception(self.failures.pop())
            else:
                future.set_result(True)
                renewed.set()
            return future

    quick = timedelta(milliseconds=3)
    leases = Leases(commits=cast(GroupCommit, Commits()), clock=clock, lease=quick)
    held = replace(_HELD, lease_until=clock() - quick)

    with leases.holding(held):
        assert renewed.wait(5)

    leases.close()
    assert [told["event"] for told in log_events] == [event]
