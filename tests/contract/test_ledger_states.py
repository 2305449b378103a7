"""No sequence of events leaves an obligation neither finished nor due: workers, guardians and clocks in any order."""

from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from clearance.errors import BrokerUnavailable
from clearance.guardian import Guardian
from clearance.ledger import migrate, triggered
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.obligations import Finish
from clearance.ledger.tables import metadata, notifications, obligations
from clearance.obligations import Claimed, Done, Due, Missed, MissedReason, Outcome, Parked, Retry, State
from tests.fakes.clock import ManualClock
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.owed import HEDGE_AFTER, LEASE, accept, claim, notification, renew

_UNFINISHED = (State.OPEN, State.RUNNING)
_OUTCOMES = st.sampled_from(["done", "retry", "missed", "parked"])
_SECONDS = st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 4.0])


class ObligationStates(RuleBasedStateMachine):
    """Workers that live, die, stall and come back; guardians whose broker works or does not; time that passes."""

    ledger: ClassVar[Ledger]
    owed = Bundle("owed")
    held = Bundle("held")

    @initialize()
    def _begin(self) -> None:
        with self.ledger.write() as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())
        self.clock = ManualClock()
        self.is_broker_up = True
        self.names: list[str] = []
        self.attempts_by_name: dict[str, int] = {}
        self.finished_by_name: dict[str, Any] = {}
        self.published_by_look: list[list[str]] = []
        self.guardian = Guardian(
            ledger=self.ledger,
            publish=self._publish,
            metrics=RecordingMetrics(),
            clock=self.clock,
            hedge_after=HEDGE_AFTER,
        )

    def _publish(self, batch: Any) -> None:
        due: list[Due] = list(batch)
        self.published_by_look.append([item.obligation_id for item in due])
        if not self.is_broker_up:
            raise BrokerUnavailable("broker: away")

    # What happens

    @rule(target=owed, seconds=st.sampled_from([1.0, 5.0, 30.0]), delay=st.sampled_from([0.0, 0.0, 2.0]))
    def accept_one(self, seconds: float, delay: float) -> str:
        name, now = f"o{len(self.names)}", self.clock()
        run_at = now + timedelta(seconds=delay)
        accept(
            self.ledger,
            notification(
                name, now=now, body=b"{}", run_at=run_at, deadline_at=run_at + timedelta(seconds=seconds)
            ),
        )
        self.names.append(name)
        return name

    @rule(target=held, name=owed)
    def a_worker_claims(self, name: str) -> Any:
        before = self._rows()[name]
        now = self.clock()
        (claimed,) = claim(self.ledger, name, now=now)
        is_free = before.state == State.OPEN or (before.state == State.RUNNING and before.lease_until <= now)
        is_time = before.run_at <= now + timedelta(milliseconds=100)
        assert (claimed is not None) is (is_free and is_time)
        return multiple() if claimed is None else claimed

    @rule(claimed=held, how=_OUTCOMES, seconds=_SECONDS)
    def a_worker_finishes_perhaps_too_late(self, claimed: Claimed, how: str, seconds: float) -> None:
        before, now = self._rows()[claimed.obligation_id], self.clock()
        is_ours = self._finish(claimed, _outcome(how, now + timedelta(seconds=seconds)), now)
        assert is_ours is _is_held_by(before, claimed)

    @rule(claimed=held, ahead=_SECONDS)
    def a_worker_renews_perhaps_too_late(self, claimed: Claimed, ahead: float) -> None:
        before = self._rows()[claimed.obligation_id]
        until = self.clock() + LEASE + timedelta(seconds=ahead)
        assert renew(self.ledger, claimed, until) is _is_held_by(before, claimed)

    @rule(is_up=st.booleans())
    def a_guardian_looks(self, is_up: bool) -> None:
        self.is_broker_up = is_up
        now, before = self.clock(), self._rows()
        self.published_by_look.clear()
        self.guardian.look()
        for name in (name for batch in self.published_by_look for name in batch):
            row = before[name]
            assert row.state in _UNFINISHED
            assert row.deadline_at > now
            assert row.lease_until is None or row.lease_until <= now, "published under a live lease"

    @rule(seconds=_SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.names)
    @rule()
    def after_every_deadline_one_look_finishes_all(self) -> None:
        ends = [row.deadline_at for row in self._rows().values()]
        leases = [row.lease_until for row in self._rows().values() if row.lease_until]
        self.clock.now = max([self.clock(), *ends, *leases])
        self.guardian.look()
        assert {row.state for row in self._rows().values()}.isdisjoint(_UNFINISHED)

    # What always holds

    @invariant()
    def an_unfinished_one_is_always_going_to_be_looked_at(self) -> None:
        for row in self._rows().values():
            if row.state in _UNFINISHED:
                assert row.publish_at is not None
                assert row.finished_at is None
                # By its deadline, or when the lease that it is held under ends: never in some far future.
                assert row.publish_at <= max(row.deadline_at, row.lease_until or row.deadline_at) + timedelta(
                    seconds=128
                )
            assert (row.lease_until is not None) is (row.state == State.RUNNING)

    @invariant()
    def attempts_never_decrease(self) -> None:
        for name, row in self._rows().items():
            assert row.attempts >= self.attempts_by_name.get(name, 0)
            self.attempts_by_name[name] = row.attempts

    @invariant()
    def a_finished_one_never_changes(self) -> None:
        for name, row in self._rows().items():
            if name in self.finished_by_name:
                assert row == self.finished_by_name[name]
            elif row.state not in _UNFINISHED:
                assert row.finished_at is not None
                self.finished_by_name[name] = row

    @invariant()
    def what_is_done_has_forgotten_its_body_and_nothing_else_has(self) -> None:
        with self.ledger.read() as connection:
            body_by_id = {row.id: row.body for row in connection.execute(select(notifications))}
        for row in self._rows().values():
            assert (body_by_id[row.subject] is None) is (row.state == State.DONE)

    # How

    def _rows(self) -> dict[str, Any]:
        with self.ledger.read() as connection:
            return {row.id: row for row in connection.execute(select(obligations))}

    def _finish(self, claimed: Claimed, outcome: Outcome, now: datetime) -> bool:
        answered = triggered.Answered(
            finish=Finish(claimed=claimed, outcome=outcome, now=now), decision=None, approvals=()
        )
        with self.ledger.write() as connection:
            (is_ours,) = triggered.finish_many(connection, [answered])
        return is_ours


def _outcome(how: str, at: datetime) -> Outcome:
    return {
        "done": Done(),
        "retry": Retry(run_at=at, reason="VendorUnavailable", error="optimove: 503"),
        "missed": Missed(reason=MissedReason.NO_TIME_LEFT, margin_s=-0.1),
        "parked": Parked(reason="VendorRefused", error="optimove: 400"),
    }[how]


def _is_held_by(row: Any, claimed: Claimed) -> bool:
    return bool(row.state == State.RUNNING and row.attempts == claimed.attempt)


def test_no_history_leaves_an_obligation_neither_finished_nor_due() -> None:
    # In memory where the machine has such a place: each of sixty histories is a hundred commits.
    memory = Path("/dev/shm")  # noqa: S108 - only where to put a directory of an unguessable name
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        ledger = open_ledger(f"sqlite:///{directory}/ledger.db", timeout_s=10)
        _run(ledger, examples=60)


@pytest.mark.services
def test_no_history_leaves_one_on_postgresql_either(postgres_url: str) -> None:
    _run(open_ledger(postgres_url, timeout_s=10), examples=15)


def _run(ledger: Ledger, *, examples: int) -> None:
    migrate.upgrade(ledger)
    ObligationStates.ledger = ledger
    run_state_machine_as_test(
        ObligationStates, settings=settings(max_examples=examples, stateful_step_count=30)
    )
    ledger.close()
