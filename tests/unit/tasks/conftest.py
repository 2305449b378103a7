"""One worker of the triggered lane: real ledger and task, a vendor and a clock of the test."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from clearance.checks.judge import AsksOutside, Judge
from clearance.decisions.engine import Engine
from clearance.decisions.rules_file import load_rules
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.obligations import ObligationId
from tasks.deciding import NotificationDecider
from tasks.leases import Leases
from tasks.triggered import ApproveTriggered, TriggeredServices
from tests.fakes.clock import ManualClock
from tests.fakes.commits import InlineCommits
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.leases import HeldLeases
from tests.fakes.ledgers import new_ledger
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.owed import LEASE, accept, notification
from tests.fakes.payloads import epoch_ms, triggered_body
from tests.fakes.rate import FakeRateLimit
from tests.fakes.vendor import FakeVendor

SEND_MARGIN = timedelta(seconds=0.2)
ETA_WINDOW = timedelta(seconds=5)
ATTEMPT_TIMEOUT_S = 1.5
CHECK_RESERVE = timedelta(seconds=0.5)
RULES = """
[attributes]
plan = "string"

[[check]]
id = "gold"
cel = 'plan == "gold"'
reason = "NOT_GOLD"

[[check]]
id = "listed"
suppression = "customers"
reason = "SUPPRESSED"

[[policy]]
id = "asks"
applies = 'trigger_name == "Asks"'
checks = ["gold", "listed"]

[[policy]]
id = "all"
applies = "true"
checks = ["gold"]
"""


class Worker:
    """A worker process as far as a test needs one. `jitter` is what chance gives: half, unless the test says."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.commits = InlineCommits(ledger)
        self.vendor = FakeVendor(clock)
        self.cooldown = FakeCoolDown(clock)
        self.metrics = RecordingMetrics()
        self.leases = HeldLeases(LEASE)
        self.jitter = 0.5
        self.pauses: list[float] = []
        self.rules = load_rules(RULES, source="rules.toml")
        self.limit: FakeRateLimit | None = None
        self.asks_by_check: dict[str, AsksOutside] = {}
        self.task = ApproveTriggered(self._services)

    def _services(self) -> TriggeredServices:
        return TriggeredServices(
            commits=cast(GroupCommit, self.commits),
            leases=cast(Leases, self.leases),
            metrics=self.metrics,
            clock=self.clock,
            pause=self._pause,
            jitter=lambda: self.jitter,
            eta_window=ETA_WINDOW,
            decider=NotificationDecider(
                judge=lambda: Judge(Engine(self.rules), self.asks_by_check),
                commits=cast(GroupCommit, self.commits),
                clock=self.clock,
                metrics=self.metrics,
                reserve=CHECK_RESERVE,
            ),
            vendor=self.vendor,
            cooldown=self.cooldown,
            send_margin=SEND_MARGIN,
            attempt_timeout_s=ATTEMPT_TIMEOUT_S,
            limit=self.limit,
        )

    def _pause(self, seconds: float) -> None:
        assert seconds >= 0
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    def accept(
        self, name: str, *, plan: str = "gold", body: bytes | None = None, deadline_in_s: float = 5.0
    ) -> ObligationId:
        """A notification that was accepted just now."""
        now = self.clock()
        sent = triggered_body(now, request_uid=f"r-{name}", plan=plan) if body is None else body
        deadline_at = now + timedelta(seconds=deadline_in_s)
        accept(self.ledger, notification(name, now=now, body=sent, deadline_at=deadline_at))
        return ObligationId(name)

    def run(self, *names: str, version: int = 1, deadline_in_s: float = 5.0) -> str:
        """What the task makes of one message, outside Celery."""
        deadline_ms = epoch_ms(self.clock() + timedelta(seconds=deadline_in_s))
        return self.task.run(*names, version=version, deadline_ms=deadline_ms)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    yield made
    made.close()


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock) -> Worker:
    return Worker(ledger, clock)
