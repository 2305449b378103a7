"""One worker of the mail lane with one thread: real ledger and task; vendor, slots and clock of the test."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Row, select

from clearance.errors import ClearanceError, VendorUnavailable
from clearance.http.exchange import Reply
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.tables import obligations
from clearance.limits.slots import Slot
from clearance.obligations import Lane
from clearance.optilyz.client import VENDOR
from tasks.leases import Leases
from tasks.pauses import PauseWatch
from tasks.posting import PostBatch
from tasks.posting_batches import PostingServices
from tests.fakes.clock import START, ManualClock
from tests.fakes.commits import InlineCommits
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.leases import HeldLeases
from tests.fakes.mail_owed import batches, next_due, states
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.slots import FakeSlots

TIMEOUT_S, SLOT_LEASE_S = 20.0, 25.0
SILENCE = VendorUnavailable(VENDOR, "no answer in time")
_LEASE = timedelta(seconds=10)


class FakeOptilyz:
    """Takes every letter, unless the test says otherwise; `posted` are the letters' streets, request by request."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.takes_s = 0.3
        self.answers: list[ClearanceError | bytes | Callable[[int], ClearanceError | bytes]] = []
        self.posted: list[tuple[str, list[str]]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def post(self, automation_id: str, payloads: Sequence[bytes], *, timeout_s: float) -> Reply:
        assert timeout_s == TIMEOUT_S
        self.posted.append((automation_id, [json.loads(each)["address"]["street"] for each in payloads]))
        self._clock.advance(self.takes_s)
        self.meanwhile()
        answer = self.answers.pop(0) if self.answers else taken
        answer = answer(len(payloads)) if callable(answer) else answer
        if isinstance(answer, ClearanceError):
            raise answer
        return Reply(status=200, body=answer, latency_s=self.takes_s)


def taken(letters: int) -> bytes:
    return json.dumps(
        {"requestId": "r-1", "results": [{"id": f"rcp_{number}"} for number in range(letters)]}
    ).encode()


class MailWorker:
    """One worker with one thread: real ledger and task."""

    def __init__(self, ledger: Ledger, clock: ManualClock, *, is_dry_run: bool = False) -> None:
        self.ledger, self.clock, self.is_dry_run = ledger, clock, is_dry_run
        self.commits = InlineCommits(ledger)
        self.vendor = FakeOptilyz(clock)
        self.slots = FakeSlots(clock, lease_s=SLOT_LEASE_S)
        self.cooldown = FakeCoolDown(clock)
        self.metrics = RecordingMetrics()
        self.is_stopping = False
        self.kept: list[Slot] = []
        self.shown: list[Exception] = []
        self.task = PostBatch(self._services)

    def _services(self) -> PostingServices:
        return PostingServices(
            commits=cast(GroupCommit, self.commits),
            leases=cast(Leases, HeldLeases(_LEASE)),
            metrics=self.metrics,
            clock=self.clock,
            pause=lambda seconds: cast(None, self.clock.advance(seconds)),
            jitter=lambda: 0.5,
            eta_window=timedelta(seconds=5),
            ledger=self.ledger,
            slots=self.slots,
            keep=self._keep,
            vendor=self.vendor,
            cooldown=self.cooldown,
            pauses=PauseWatch(self.ledger, Lane.MAIL, time=self._seconds),
            feedback=None,
            is_dry_run=self.is_dry_run,
            timeout_s=TIMEOUT_S,
            is_stopping=lambda: self.is_stopping,
            time=self._seconds,
        )

    @contextmanager
    def _keep(self, slot: Slot) -> Iterator[None]:
        self.kept.append(slot)
        yield
        self.kept.remove(slot)

    def _seconds(self) -> float:
        return (self.clock() - START).total_seconds()

    def run(self) -> str:
        """One message, which names whatever is due."""
        found = next_due(self.ledger, self.clock())
        named = [] if found is None else [found]
        return self.task.run(*named, version=1, deadline_ms=0)

    def posted(self) -> list[list[str]]:
        return [streets for _, streets in self.vendor.posted]

    def batch(self) -> Row[Any]:
        (row,) = batches(self.ledger)
        return row

    def owed(self) -> Sequence[Row[Any]]:
        with self.ledger.read() as connection:
            return connection.execute(select(obligations).order_by(obligations.c.id)).all()

    def wipe_slots_after(self, step: str) -> None:
        """Redis forgets them when this operation has been committed, once."""
        real = self.commits.submit

        def wiped_once(operation: Any, item: Any) -> Any:
            told = real(operation, item)
            if operation.__name__ == step:
                self.slots.wipe()
                self.commits.submit = real  # type: ignore[method-assign]  # for one call only
            return told

        self.commits.submit = wiped_once  # type: ignore[method-assign]  # what happens between two steps

    def break_step(self, step: str) -> None:
        """A bug keeps this operation from being committed, every time."""
        real = self.commits.submit

        def broken(operation: Any, item: Any) -> Any:
            return real(_bug if operation.__name__ == step else operation, item)

        self.commits.submit = broken  # type: ignore[method-assign]  # what happens between two steps

    def lose_step(self, step: str) -> None:
        """The ledger does not answer this operation, once."""
        real = self.commits.submit

        def lost_once(operation: Any, item: Any) -> Any:
            if operation.__name__ == step:
                self.commits.away = 1
                self.commits.submit = real  # type: ignore[method-assign]  # for one call only
            return real(operation, item)

        self.commits.submit = lost_once  # type: ignore[method-assign]  # what happens between two steps

    def states(self) -> str:
        """Of all letters, in their order."""
        return " ".join(state for _, state in sorted(states(self.ledger).items()))

    def published_at(self) -> list[datetime]:
        return [row.publish_at for row in self.owed() if row.state == "open"]


def _bug(*_: Any) -> Any:
    raise AssertionError("a bug")


def mail_worker(ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> MailWorker:
    """A worker, and what it shows in Flower."""
    made = MailWorker(ledger, clock)
    monkeypatch.setattr("tasks.flower.show", lambda _task, _claimed, trouble: made.shown.append(trouble))
    return made
