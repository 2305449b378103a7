"""The door with a real ledger behind it, and with a clock and a broker of the test."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import orjson
import pytest
from sqlalchemy import Row, Table, select
from starlette.applications import Starlette

from clearance.bloomreach.feedback import Feedback
from clearance.ingest.acceptance import Acceptance
from clearance.ingest.app import IngestParts, Readiness, create_app
from clearance.ingest.listener_token import ListenerToken
from clearance.ingest.mailings import MailingIntake, MailingKeys
from clearance.ingest.refusals import Refusals
from clearance.ingest.relay import RelayIntake
from clearance.ingest.relay_door import RelayDoor
from clearance.ingest.relay_keys import RelayKeys
from clearance.ingest.scheduled import EVENTS_ROUTE, SEND_GROUPS_ROUTE, ScheduledIntake
from clearance.ingest.source_limit import SourceLimit
from clearance.ingest.triggered import ROUTE, TriggeredIntake
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.mail_intake import BatchPlan
from clearance.obligations import Due
from clearance.optimove.heads_up import Api
from clearance.optimove.signature import HEADER, SignatureCheck
from clearance.optimove.site_time import SiteTime
from clearance.publishing import BackgroundPublisher
from clearance.schedule import Schedule
from tests.fakes.asgi import Answer, call
from tests.fakes.clock import ManualClock
from tests.fakes.commits import InlineCommits
from tests.fakes.ledgers import new_ledger
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.owed import HEDGE_AFTER
from tests.fakes.payloads import SECRET, signature

MAX_BODY_BYTES = 10_000
KEPT = 100
TOKEN = "listener-token"
RELAY_KEYS = ("relay-key", "relay-schlüssel")
BATCH_PLAN = BatchPlan(batch_size=3, max_wait=timedelta(seconds=30), dedupe_window=timedelta(hours=24))
SITE = SiteTime(ZoneInfo("Europe/Berlin"))
MARGIN, STOP_MARGIN, ETA_WINDOW = timedelta(minutes=1), timedelta(seconds=1), timedelta(seconds=5)


class _Enqueued:
    """In place of a `BackgroundPublisher`: remembers."""

    def __init__(self) -> None:
        self.due: list[Due] = []

    def enqueue(self, due: Due) -> None:
        self.due.append(due)


class Door:
    """Ingest, and what is around it. `parts` may be changed before the first request."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger, self.clock = ledger, clock
        self.commits, self.metrics, self.published = InlineCommits(ledger), RecordingMetrics(), _Enqueued()
        self.planned: list[tuple[datetime, int | None]] = []
        self.readiness = Readiness(is_ready=True, checks={"ledger": "ok"})
        commits = cast(GroupCommit, self.commits)
        acceptance = self.acceptance(cast(BackgroundPublisher, self.published))
        sources = SourceLimit(rate_per_s=0, trusted_proxies=0)
        refusals = Refusals(commits=commits, metrics=self.metrics, clock=clock, kept=KEPT)
        self.parts = IngestParts(
            acceptance=acceptance,
            refusals=refusals,
            sources=sources,
            metrics=self.metrics,
            triggered=TriggeredIntake(
                signatures=SignatureCheck((SECRET,)),
                clock=clock,
                metrics=self.metrics,
                freshness=timedelta(minutes=5),
                timeout=timedelta(seconds=5),
                send_margin=timedelta(seconds=0.2),
                hedge_after=HEDGE_AFTER,
                skew_alert=timedelta(seconds=1),
            ),
            scheduled=self.scheduled("v2"),
            relay=RelayDoor(
                keys=RelayKeys(RELAY_KEYS),
                intake=self.relay_intake(),
                acceptance=acceptance,
                refusals=refusals,
                sources=sources,
                metrics=self.metrics,
                max_body_bytes=MAX_BODY_BYTES,
                body_timeout_s=5,
            ),
            mailings=self.mailings(),
            max_body_bytes=MAX_BODY_BYTES,
            body_timeout_s=5,
            exposition=lambda: b"clearance_up 1\n",
            exposition_type="text/plain; version=0.0.4; charset=utf-8",
            readiness=lambda: self.readiness,
        )

    def acceptance(self, publisher: BackgroundPublisher, *, timeout_s: float = 5) -> Acceptance:
        return Acceptance(commits=cast(GroupCommit, self.commits), publisher=publisher, timeout_s=timeout_s)

    def scheduled(self, api: Api, *, token: str = TOKEN) -> ScheduledIntake:
        return ScheduledIntake(
            api=api,
            token=ListenerToken(token),
            site_time=SITE,
            plan=self._plan,
            clock=self.clock,
            metrics=self.metrics,
            hedge_after=HEDGE_AFTER,
            eta_window=ETA_WINDOW,
        )

    def mailings(
        self, *, feedback: Feedback | None = None, campaign_field: str = "", timeout_s: float = 5
    ) -> MailingIntake:
        return MailingIntake(
            keys=MailingKeys(RELAY_KEYS),
            id_kind_by_field={"individualisation1": "registered", "individualisation2": "cookie"},
            campaign_field=campaign_field,
            feedback=feedback,
            commits=cast(GroupCommit, self.commits),
            clock=self.clock,
            metrics=self.metrics,
            timeout_s=timeout_s,
        )

    def relay_intake(self, *, campaign_field: str = "", is_dry_run: bool = False) -> RelayIntake:
        return RelayIntake(
            plan=BATCH_PLAN,
            feedback=None,
            id_kind_by_field={"individualisation1": "registered", "individualisation2": "cookie"},
            campaign_field=campaign_field,
            is_dry_run=is_dry_run,
            clock=self.clock,
        )

    def change(self, **parts: Any) -> None:
        self.parts = replace(self.parts, **parts)

    @property
    def app(self) -> Starlette:
        return create_app(self.parts)

    def request(self, method: str, path: str, **given: Any) -> Answer:
        return asyncio.run(call(self.app, method, path, **given))

    def post(
        self,
        body: bytes,
        *,
        signed: str | None = "",
        headers: dict[str, str] | None = None,
        chunks: Iterable[bytes] | None = None,
        then: str = "end",
    ) -> Answer:
        """A notification; signed as it should be, unless `signed` says otherwise."""
        all_headers = dict(headers or {})
        if signed is not None:
            all_headers[HEADER] = signed or signature(body)
        return self.request(
            "POST", ROUTE, headers=all_headers, chunks=(body,) if chunks is None else chunks, then=then
        )

    def tell(
        self,
        route: str,
        payload: object,
        *,
        query: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """A notification of a scheduled route; with the token in the query, unless told otherwise."""
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        in_query = f"token={TOKEN}".encode() if query is None else query
        return self.request("POST", route, query=in_query, headers=headers, chunks=(body,))

    def _plan(self, deadline_at: datetime, customers: int | None) -> Schedule:
        self.planned.append((deadline_at, customers))
        return Schedule(submit_at=deadline_at - MARGIN, hard_stop_at=deadline_at - STOP_MARGIN)

    def rows(self, table: Table) -> list[Row[Any]]:
        with self.ledger.read() as connection:
            return list(connection.execute(select(table)))


@pytest.fixture
def door(tmp_path: Path, clock: ManualClock) -> Iterator[Door]:
    ledger = new_ledger(tmp_path)
    yield Door(ledger, clock)
    ledger.close()


@pytest.fixture(params=[SEND_GROUPS_ROUTE, EVENTS_ROUTE])
def route(request: pytest.FixtureRequest, door: Door) -> str:
    """Each of the two routes, with its API in force."""
    if request.param == EVENTS_ROUTE:
        door.change(scheduled=door.scheduled("v1"))
    return str(request.param)
