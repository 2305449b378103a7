"""The workers of the scheduled lanes: real ledger and tasks, a vendor and a clock of the test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any, cast

from sqlalchemy import Connection, Row, Table, select

from clearance.checks.judge import AsksOutside, Judge
from clearance.decisions.decision import Campaign, Decision
from clearance.decisions.engine import Engine
from clearance.decisions.rules_file import load_rules
from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.tables import approvals, chunks, decisions, group_revisions, groups, obligations
from clearance.schedule import Schedule
from tasks.base import ObligationTask
from tasks.calling import Calling
from tasks.closing import CloseGroup, CloseServices
from tasks.fetching import FetchGroup, FetchServices
from tasks.leases import Leases
from tasks.reviewing import ReviewChunk, ReviewServices
from tasks.submitting import SubmitGroup, SubmitServices
from tests.fakes.clock import ManualClock
from tests.fakes.commits import InlineCommits
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.leases import HeldLeases
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.payloads import epoch_ms
from tests.fakes.rate import FakeRateLimit
from tests.fakes.scheduled_vendor import FakeScheduledVendor
from tests.fakes.told_groups import DEADLINE, MINUTE, SECOND

ETA_WINDOW = timedelta(seconds=30)
SUBMIT_AT = DEADLINE - MINUTE
HARD_STOP = DEADLINE - SECOND
CALL_TIMEOUT_S = 20.0
RULES = """
[attributes]
plan = "string"
country = "string"
age = "int"

[[check]]
id = "gold"
cel = 'plan == "gold"'
reason = "NOT_GOLD"

[[check]]
id = "adult"
cel = 'age >= 18'
reason = "UNDER_AGE"

[[check]]
id = "listed"
suppression = "customers"
reason = "SUPPRESSED"

[[check]]
id = "asked"
python = "others"
reason = "SUPPRESSED_TOO"
on_error = "approve"

[[policy]]
id = "asks"
applies = '"asks" in tags'
checks = ["gold", "listed"]

[[policy]]
id = "mild"
applies = '"mild" in tags'
checks = ["gold", "asked"]

[[policy]]
id = "all"
applies = "true"
checks = ["gold", "adult"]
"""


class ShakyLedger:
    """A ledger of which so many reads fail, as if it did not answer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.away = 0

    @contextmanager
    def read(self) -> Iterator[Connection]:
        if self.away:
            self.away -= 1
            raise LedgerUnavailable("ledger: away")
        with self._ledger.read() as connection:
            yield connection


class ScheduledWorker:
    """The processes of the review and submit lanes as far as a test needs them.

    `later` is what happens by itself at its moment, when somebody pauses until then or for longer.
    """

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.reads = ShakyLedger(ledger)
        self.commits = InlineCommits(ledger)
        self.vendor = FakeScheduledVendor(clock)
        self.limit = FakeRateLimit(clock)
        self.cooldown = FakeCoolDown(clock)
        self.metrics = RecordingMetrics()
        self.leases = HeldLeases(timedelta(minutes=1))
        self.pauses: list[float] = []
        self.later: list[tuple[datetime, Callable[[], object]]] = []
        self.rules = load_rules(RULES, source="rules.toml")
        self.asks_by_check: dict[str, AsksOutside] = {}
        self.chunk_customers = 2
        self.computed_s = 0.0
        self.customers_per_call = 4
        self.planned: list[tuple[datetime, int | None]] = []
        self.submit_at_by_plan = SUBMIT_AT
        self.start_anew()

    def start_anew(self) -> None:
        """Other processes, which remember nothing."""
        self._fetch = FetchGroup(self._fetching)
        self._review = ReviewChunk(self._reviewing)
        self._submit = SubmitGroup(self._submitting)
        self._close = CloseGroup(self._closing)

    def fetch(self, group: str = "g1", *, generation: int = 1) -> str:
        """What is made of the message to fetch a generation."""
        return self._run(self._fetch, f"groups.fetch:{group}:{generation}")

    def review(self, number: int, group: str = "g1", *, generation: int = 1) -> str:
        """What is made of the message to review a chunk."""
        return self._run(self._review, f"groups.review:{group}:{generation}:{number}")

    def submit(self, group: str = "g1", *, revision: int = 1) -> str:
        """What is made of the message to submit a revision."""
        return self._run(self._submit, f"groups.submit:{group}:{revision}")

    def close(self, group: str = "g1", *, revision: int = 1) -> str:
        """What is made of the message to close a revision."""
        return self._run(self._close, f"groups.close:{group}:{revision}")

    def rows(self, table: Table) -> list[Row[Any]]:
        """All rows of a table, in the order of its keys."""
        with self.ledger.read() as connection:
            return list(connection.execute(select(table).order_by(*table.primary_key)))

    def obligation(self, obligation_id: str) -> Row[Any]:
        """What the ledger says of something owed."""
        return next(row for row in self.rows(obligations) if row.id == obligation_id)

    def stored(self) -> list[str]:
        """Everybody who was decided about, in the order of chunks; once for each time."""
        return [
            row.customer_id
            for row in sorted(self.rows(decisions), key=lambda row: (row.chunk, row.customer_id))
        ]

    def states(self) -> list[str]:
        """Of every chunk."""
        return [row.state for row in self.rows(chunks)]

    def group(self, name: str = "g1") -> Row[Any]:
        """The group as it is."""
        return next(row for row in self.rows(groups) if row.id == name)

    def revision(self, number: int = 1) -> Row[Any]:
        """One revision of the only group."""
        return next(row for row in self.rows(group_revisions) if row.revision == number)

    def calls(self) -> list[tuple[str, int | None, int]]:
        """The recorded calls: outcome, status, customers."""
        return [(row.outcome, row.status, row.customers) for row in self.rows(approvals)]

    def fail_commit(self, number: int, *, unconfirmed: bool) -> None:
        """Of the commits from now on, counted from 0, this one fails; `unconfirmed`: it succeeds without saying so."""
        submit, counted = self.commits.submit, count()

        def failing(operation: Any, item: Any) -> Any:
            if next(counted) == number:
                self.commits.unconfirmed, self.commits.away = int(unconfirmed), int(not unconfirmed)
            return submit(operation, item)

        self.commits.submit = failing  # type: ignore[method-assign]  # the ledger fails in the middle

    def pause(self, seconds: float) -> None:
        """`time.sleep`: lets happen what happens meanwhile."""
        assert seconds >= 0
        self.pauses.append(seconds)
        until = self.clock() + timedelta(seconds=seconds)
        for at, happens in sorted(self.later, key=lambda each: each[0]):
            if at <= until:
                self.later.remove((at, happens))
                self.clock.now = max(self.clock.now, at)
                happens()
        self.clock.now = max(self.clock.now, until)

    def _run(self, task: ObligationTask[Any, Any], obligation_id: str) -> str:
        deadline_at = self.obligation(obligation_id).deadline_at
        return task.run(obligation_id, version=1, deadline_ms=epoch_ms(deadline_at))

    def _fetching(self) -> FetchServices:
        return FetchServices(
            **self._services(),
            vendor=self.vendor,
            calling=self._calling(),
            attributes_of=self._attributes_of,
            plan=self._plan,
            chunk_customers=self.chunk_customers,
            hedge_after=SECOND,
            computed_s=lambda: self.computed_s,
        )

    def _reviewing(self) -> ReviewServices:
        services = self._services()
        del services["ledger"]
        return ReviewServices(**services, judge=lambda: Judge(Engine(self.rules), self.asks_by_check))

    def _submitting(self) -> SubmitServices:
        return SubmitServices(
            **self._services(),
            vendor=self.vendor,
            calling=self._calling(),
            customers_per_call=self.customers_per_call,
            call_timeout_s=CALL_TIMEOUT_S,
        )

    def _closing(self) -> CloseServices:
        return CloseServices(**self._services())

    def _services(self) -> dict[str, Any]:
        return {
            "commits": cast(GroupCommit, self.commits),
            "leases": cast(Leases, self.leases),
            "metrics": self.metrics,
            "clock": self.clock,
            "pause": self.pause,
            "jitter": lambda: 0.5,
            "eta_window": ETA_WINDOW,
            "ledger": cast(Ledger, self.reads),
        }

    def _calling(self) -> Calling:
        return Calling(
            limit=self.limit,
            cooldown=self.cooldown,
            clock=self.clock,
            pause=self.pause,
            jitter=lambda: 0.5,
            metrics=self.metrics,
        )

    def _plan(self, deadline_at: datetime, customers: int | None) -> Schedule:
        self.planned.append((deadline_at, customers))
        return Schedule(submit_at=self.submit_at_by_plan, hard_stop_at=deadline_at - SECOND)

    def _attributes_of(self, campaign: Campaign) -> tuple[str, ...]:
        engine = Engine(self.rules)
        policy = engine.policy_for(campaign)
        return () if isinstance(policy, Decision) else engine.attributes_of(policy)
