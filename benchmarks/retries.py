"""Does the retries desk answer at once, and does a large replay leave room for what is new?

In: how many obligations are parked, how many of them are replayed, and how fast. Out: how long `clearance retries list`
takes, its start included; then, with a fleet of this machine, how long notifications at a steady rate take to be
approved, without and beside a replay; how many of the replayed were sent, and in the busiest second how many.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from sqlalchemy import func, insert, select

from benchmarks import fleets
from benchmarks.fleets import Fleet, clearance
from benchmarks.processes import BenchmarkFailed
from clearance.clock import utc_now
from clearance.identifiers import new_id
from clearance.ingest.triggered import TASK
from clearance.ledger import migrate
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.tables import approvals, metadata, notifications, obligations

TARGET_LIST_S = 1.0
# The guardian looks five times a second: what is due since its last look leaves together.
TARGET_BUSIEST = 1.25
_TRAFFIC_PER_S, _TRAFFIC_S = 50.0, 20.0
_VENDOR_MS = 80.0
# Beyond the vendor's latency, a quarter of a second.
TARGET_P99_MS = _VENDOR_MS + 250.0
_LISTINGS = 5
_AT_ONCE = 5_000
_IN_TIME = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of a replay, and of what was new beside it."""

    sent: int
    busiest_second: int
    alone_p99_ms: float
    beside_p99_ms: float
    late: int


def run(*, parked: int, replayed: int, per_s: float, ledger_url: str, directory: Path, to: Console) -> bool:
    """Measure and tell; whether the targets held."""
    listed_s = _list(parked, ledger_url or f"sqlite:///{directory / 'desk.db'}")
    to.print(f"clearance retries list, {parked:,} parked: {listed_s:.2f} s (target {TARGET_LIST_S:g} s)")
    found = _replay(replayed, per_s, directory)
    to.print(
        f"replay of {replayed:,} at {per_s:g}/s: {found.sent:,} sent, {found.busiest_second} in the busiest second"
    )
    to.print(
        f"new notifications at {_TRAFFIC_PER_S:g}/s, p99 to the approval: {found.alone_p99_ms:.0f} ms alone,"
        f" {found.beside_p99_ms:.0f} ms beside it, late or missing: {found.late}"
    )
    return (
        listed_s < TARGET_LIST_S
        and found.sent == replayed
        and found.busiest_second <= per_s * TARGET_BUSIEST + 1
        and found.beside_p99_ms < TARGET_P99_MS
        and not found.late
    )


def _list(parked: int, url: str) -> float:
    """The median of a few, in seconds."""
    ledger = open_ledger(url, timeout_s=60)
    migrate.upgrade(ledger)
    with ledger.write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    _park(ledger, parked)
    took_s = []
    for _ in range(_LISTINGS):
        began = time.perf_counter()
        _clearance(url, "retries", "list", "--json")
        took_s.append(time.perf_counter() - began)
    ledger.close()
    return statistics.median(took_s)


def _replay(count: int, per_s: float, directory: Path) -> Replayed:
    with fleets.ours(directory) as fleet:
        url = f"sqlite:///{directory / 'ledger.db'}"
        ledger = open_ledger(url, timeout_s=10)
        alone = _traffic(fleet)
        subjects = _park(ledger, count)
        asked = ("retries", "replay", "--all-matching", "--state", "parked", "--rate", f"{per_s:g}")
        _clearance(url, *asked, "--yes", "--why", "benchmark")
        beside = _traffic(fleet)
        fleet.processes.wait_until(lambda: not _left(ledger, subjects), "all is replayed", count / per_s + 60)
        sent_at = _sent_at(ledger, subjects)
        ledger.close()
    return Replayed(
        sent=len(sent_at),
        busiest_second=_busiest(sent_at),
        alone_p99_ms=alone["notification_to_approval_ms"]["p99"],
        beside_p99_ms=beside["notification_to_approval_ms"]["p99"],
        late=beside["valid"] - beside["answered"],
    )


def _traffic(fleet: Fleet) -> dict[str, Any]:
    fleet.sandbox.start_afresh(_VENDOR_MS)
    run = fleet.sandbox.play(
        fleet.webhook, rate_per_s=_TRAFFIC_PER_S, count=round(_TRAFFIC_PER_S * _TRAFFIC_S), seed=3
    )
    fleet.processes.wait_until(lambda: not fleet.sandbox.is_playing(run), "all is sent", _TRAFFIC_S + 60)
    return fleet.sandbox.settled(within_s=6.0)


def _park(ledger: Ledger, count: int) -> tuple[str, str]:
    """Park so many, and say the first and the last of their subjects."""
    now = utc_now()
    first = last = ""
    parked = _parked(count, now)
    while portion := list(islice(parked, _AT_ONCE)):
        with ledger.write() as connection:
            connection.execute(insert(notifications), [told for told, _ in portion])
            connection.execute(insert(obligations), [owed for _, owed in portion])
        first, last = first or portion[0][0]["id"], portion[-1][0]["id"]
    return first, last


def _parked(count: int, now: datetime) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for number in range(count):
        at = now + timedelta(milliseconds=number)  # ids of the same millisecond are in no order
        subject, deadline_at = new_id(at), now + _IN_TIME + timedelta(milliseconds=number)
        yield (
            {
                "id": subject,
                "kind": "triggered",
                "vendor_id": f"parked-{subject}",
                "customer_id": f"C{number}",
                "received_at": now,
                "signed_at": now,
                "deadline_at": deadline_at,
                "body": _body(now, deadline_at, number),
            },
            {
                "id": f"triggered.approve:{subject}",
                "lane": "triggered",
                "task": TASK,
                "subject": subject,
                "state": "parked",
                "created_at": now,
                "run_at": now,
                "deadline_at": deadline_at,
                "publish_at": now,
                "attempts": 1,
                "finished_at": now,
                "reason": "VendorCredentialsRefused",
                "last_error": "optimove: 401 credentials refused",
                "trace_id": subject,
            },
        )


def _body(now: datetime, deadline_at: datetime, number: int) -> bytes:
    return orjson.dumps(
        {
            "timestamp": round(now.timestamp() * 1000),
            "conditional_execution_approval_deadline": round(deadline_at.timestamp() * 1000),
            "request_uid": f"parked-{number}",
            "is_hashed": False,
            "user": {"user_id": f"C{number}", "is_visitor": False, "personalization": {}},
            "occurrence": {
                "series_id": 7,
                "occurrence_id": "o-1",
                "tags": [],
                "action": {"id": 3, "is_control": False, "channels": [{"id": 15, "name": "Email"}]},
            },
            "trigger_context": {"name": "Signed up", "events": []},
        }
    )


def _left(ledger: Ledger, subjects: tuple[str, str]) -> int:
    left = select(func.count()).where(
        obligations.c.subject.between(*subjects), obligations.c.state.in_(["open", "running"])
    )
    with ledger.read() as connection:
        return int(connection.execute(left).scalar_one())


def _sent_at(ledger: Ledger, subjects: tuple[str, str]) -> list[datetime]:
    sent = (
        select(approvals.c.sent_at)
        .join(obligations, obligations.c.subject == approvals.c.subject)
        .where(approvals.c.subject.between(*subjects), obligations.c.reason.is_(None))
        .where(obligations.c.attempts > 1, approvals.c.outcome == "taken")
        .order_by(approvals.c.sent_at)
    )
    with ledger.read() as connection:
        return list(connection.execute(sent).scalars())


def _busiest(sent_at: Sequence[datetime]) -> int:
    """The most within any second."""
    most = first = 0
    for place, at in enumerate(sent_at):
        while at - sent_at[first] >= timedelta(seconds=1):
            first += 1
        most = max(most, place - first + 1)
    return most


def _clearance(url: str, *arguments: str) -> None:
    done = subprocess.run(
        clearance(*arguments),
        env={**os.environ, "CLEARANCE_LEDGER_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkFailed(f"clearance {' '.join(arguments)}: {done.stderr or done.stdout}")
