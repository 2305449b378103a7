"""Group commit: who arrives meanwhile shares a transaction, hears of it when it is durable and pays for nobody else."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from tests.fakes.metrics import RecordingMetrics

_SOON_S = 5


class _Gate:
    """A ledger whose transactions the test lets begin and commit one by one, and whose failures it chooses."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_begin = threading.Semaphore(0)
        self.may_commit = threading.Semaphore(1_000)
        self.failure: Exception | None = None
        self.writing: list[Any] = []
        self.committed: list[list[Any]] = []

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self.begun.release()
        assert self.may_begin.acquire(timeout=_SOON_S)
        if self.failure is not None:
            raise self.failure
        self.writing = []
        yield cast(Connection, self)
        assert self.may_commit.acquire(timeout=_SOON_S)
        self.committed.append(self.writing)

    def let(self, transactions: int = 1_000) -> None:
        self.may_begin.release(transactions)


def _upper(connection: Connection, items: Sequence[str]) -> list[str]:
    if "poison" in items:
        raise ValueError("poison")
    cast(_Gate, connection).writing.extend(items)
    return [item.upper() for item in items]


def _doubled(connection: Connection, items: Sequence[int]) -> list[int]:
    cast(_Gate, connection).writing.extend(items)
    return [item * 2 for item in items]


@pytest.fixture
def gate() -> _Gate:
    return _Gate()


@pytest.fixture
def measured() -> RecordingMetrics:
    return RecordingMetrics()


@pytest.fixture
def commits(gate: _Gate, measured: RecordingMetrics) -> Iterator[GroupCommit]:
    made = GroupCommit(cast(Ledger, gate), measured, max_group=4, max_waiting=6)
    yield made
    gate.let()
    made.close()


def _one_begins(commits: GroupCommit, gate: _Gate, item: str = "first") -> Future[str]:
    """A submission whose transaction is asked for and waits at the gate."""
    future = commits.submit(_upper, item)
    assert gate.begun.acquire(timeout=_SOON_S)
    return future


def test_who_arrives_while_the_ledger_is_waited_for_shares_the_transaction(
    commits: GroupCommit, gate: _Gate, measured: RecordingMetrics
) -> None:
    futures = [_one_begins(commits, gate), commits.submit(_upper, "b"), commits.submit(_upper, "c")]

    gate.let()

    assert [future.result(_SOON_S) for future in futures] == ["FIRST", "B", "C"]
    commits.close()
    assert gate.committed == [["first", "b", "c"]]
    assert measured.observed("commit_items") == [3]
    assert len(measured.observed("commit_seconds")) == 1


def test_a_future_is_done_when_the_transaction_is_committed_and_not_before(
    commits: GroupCommit, gate: _Gate
) -> None:
    gate.may_commit = threading.Semaphore(0)
    future = _one_begins(commits, gate)
    gate.let()

    with pytest.raises(TimeoutError):
        future.result(timeout=0.05)
    gate.may_commit.release(1_000)

    assert future.result(_SOON_S) == "FIRST"


def test_a_group_is_no_larger_than_allowed(commits: GroupCommit, gate: _Gate) -> None:
    futures = [_one_begins(commits, gate)] + [commits.submit(_upper, str(number)) for number in range(6)]

    gate.let()

    assert [future.result(_SOON_S) for future in futures] == ["FIRST", *"012345"]
    commits.close()
    assert [len(group) for group in gate.committed] == [4, 3]


def test_each_operation_gets_its_items_together_and_each_item_its_own_result(
    commits: GroupCommit, gate: _Gate
) -> None:
    first = _one_begins(commits, gate)
    two, b, three = commits.submit(_doubled, 2), commits.submit(_upper, "b"), commits.submit(_doubled, 3)

    gate.let()

    assert (first.result(_SOON_S), b.result(_SOON_S)) == ("FIRST", "B")
    assert (two.result(_SOON_S), three.result(_SOON_S)) == (4, 6)
    commits.close()
    # By name: two processes that write the same rows take their locks in the same order.
    assert gate.committed == [[2, 3, "first", "b"]]


def test_an_item_that_fails_alone_does_not_take_its_neighbours_along(
    commits: GroupCommit, gate: _Gate
) -> None:
    before, poison = _one_begins(commits, gate), commits.submit(_upper, "poison")
    after = commits.submit(_upper, "after")

    gate.let()

    assert (before.result(_SOON_S), after.result(_SOON_S)) == ("FIRST", "AFTER")
    with pytest.raises(ValueError, match="poison"):
        poison.result(_SOON_S)
    commits.close()
    assert gate.committed == [["first"], ["after"]]


def test_a_ledger_that_is_away_fails_all_who_waited_for_it_at_once(commits: GroupCommit, gate: _Gate) -> None:
    """One by one, the last of them would wait as often as there are others before it."""
    futures = [_one_begins(commits, gate), commits.submit(_upper, "b"), commits.submit(_doubled, 3)]
    gate.failure = LedgerUnavailable("ledger: away")

    gate.let(1)

    for future in futures:
        with pytest.raises(LedgerUnavailable, match="away"):
            future.result(_SOON_S)
    gate.failure = None
    gate.let()
    assert commits.submit(_upper, "back").result(_SOON_S) == "BACK"


def test_beyond_what_may_wait_a_submission_fails_at_once(commits: GroupCommit, gate: _Gate) -> None:
    waiting = [_one_begins(commits, gate)] + [commits.submit(_upper, str(number)) for number in range(6)]

    refused = commits.submit(_upper, "too many")

    assert refused.done()
    with pytest.raises(LedgerUnavailable, match="too many"):
        refused.result()
    assert not any(future.done() for future in waiting)


def test_closing_writes_what_is_waiting(commits: GroupCommit, gate: _Gate) -> None:
    futures = [_one_begins(commits, gate), commits.submit(_upper, "b")]
    gate.let()

    commits.close()

    assert [future.result(timeout=0) for future in futures] == ["FIRST", "B"]


def test_who_gave_up_before_the_transaction_is_not_written(commits: GroupCommit, gate: _Gate) -> None:
    first, gave_up = _one_begins(commits, gate), commits.submit(_upper, "gave up")
    assert gave_up.cancel()

    gate.let()

    assert first.result(_SOON_S) == "FIRST"
    commits.close()
    assert gate.committed == [["first"]]


def test_who_gives_up_while_it_is_written_leaves_the_others_working(
    commits: GroupCommit, gate: _Gate
) -> None:
    """A sender's wait ends when the ledger is slow; those after it must still be served."""
    gate.may_commit = threading.Semaphore(0)
    first, neighbour = _one_begins(commits, gate), commits.submit(_upper, "b")
    gate.let()
    while not gate.writing:
        pass

    first.cancel()
    gate.may_commit.release(1_000)

    assert neighbour.result(_SOON_S) == "B"
    assert commits.submit(_upper, "next").result(_SOON_S) == "NEXT"


def test_who_gave_up_first_in_line_leaves_the_others_working(commits: GroupCommit, gate: _Gate) -> None:
    first = _one_begins(commits, gate)
    first.cancel()
    gate.let()

    assert commits.submit(_upper, "next").result(_SOON_S) == "NEXT"
