"""What does a send group cost: fetch, decide, store, submit, by its size?

In: sizes, and the URL of a ledger (SQLite in the directory by default). Out: wall time by stage, customers a second,
the peak memory of each process. The whole fleet runs on this machine, sandbox included: ingest, two guardians, one
review worker of two processes, one submit worker, a broker. With traffic, triggered notifications come in beside the
largest group, after a few seconds of the same alone, and how long their answers take is told.

A group is submitted as soon as it is decided: its ETA is already over when it is announced, so that the stages follow
each other without waiting, and overlap as they would. Alone, it has as long as the target allows, and hurries; beside
traffic it has ten minutes, and its fetch lets others go first.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import redis
import urllib3
from rich.console import Console
from rich.table import Table
from sqlalchemy import Row, func, select

from benchmarks.fleets import clearance, clearance_environment, start_broker, start_sandbox, upgrade_ledger
from benchmarks.processes import BenchmarkFailed, Processes, free_port
from benchmarks.sandbox import SandboxControl, is_ok
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.tables import chunks, group_revisions, groups

TARGET_S, TARGET_MIB, MILLION = 90.0, 256, 1_000_000
_TOKEN = "benchmark-token"  # noqa: S105 - let in by this machine what this machine sends
_WINDOW_S = 600
_TRAFFIC_PER_S, _WARM_UP_S = 100.0, 3.0
# With time to spare a fetch reads no faster than this: traffic goes on for as long as the group beside it.
_UNHURRIED_PER_S, _TRAFFIC_AFTERWARDS_S = 8_000, 5.0
_LOOK_EVERY_S = 0.25
_SETTLED_WITHIN_S = 10.0


@dataclass(slots=True, kw_only=True)
class Measured:
    """One group. Seconds are from the heads-up's receipt; `peak_mib` is of the largest process of a kind."""

    customers: int
    fetched_s: float
    decided_s: float
    submitted_s: float
    calls: int
    unanswered: int
    peak_mib: dict[str, float] = field(default_factory=dict)
    triggered: dict[str, Any] | None = None


def run(sizes: Sequence[int], directory: Path, ledger_url: str, *, traffic: bool, to: Console) -> bool:
    """Measure and tell; whether the targets held that these sizes have."""
    measured = []
    with Processes(directory) as processes:
        fleet = _start(processes, directory, ledger_url, traffic=traffic)
        for size in sizes:
            measured.append(fleet.measure(size, traffic=False))
            to.print(_line(measured[-1]), style="dim", highlight=False)
        if traffic:
            measured.append(fleet.measure(max(sizes), traffic=True))
            to.print(_line(measured[-1]), style="dim", highlight=False)
    _show(measured, to)
    return _judge(measured, to)


class _Fleet:
    def __init__(
        self,
        processes: Processes,
        ledger: Ledger,
        sandbox_url: str,
        ingest_url: str,
        traffic: SandboxControl,
    ) -> None:
        self._processes = processes
        self._ledger = ledger
        self._sandbox_url = sandbox_url
        self._traffic = traffic
        self._ingest_url = ingest_url
        self._http = urllib3.PoolManager(retries=False, timeout=30.0)
        self._measured = 0

    def measure(self, customers: int, *, traffic: bool) -> Measured:
        """One group from its heads-up to its end."""
        if traffic:
            self._warm_up()
        self._call("POST", f"{self._sandbox_url}/sandbox/reset")
        self._measured += 1
        target = f"{self._ingest_url}/webhooks/optimove/send-groups?token={_TOKEN}"
        # An id of its own: the ledger remembers the groups before.
        announced = {
            "id": 9000 + self._measured,
            "customers": customers,
            "window_s": _WINDOW_S if traffic else TARGET_S,
            "targets": [target],
            "seed": customers,
        }
        vendor_id = str(self._call("POST", f"{self._sandbox_url}/sandbox/send-groups", announced)["id"])
        if traffic:
            self._play(customers / _UNHURRIED_PER_S + _TRAFFIC_AFTERWARDS_S)
        peak_mib: dict[str, float] = {}
        until = time.monotonic() + _WINDOW_S
        while (row := self._ended(vendor_id)) is None:
            self._processes.check()
            self._note_memory(peak_mib)
            if time.monotonic() > until:
                raise BenchmarkFailed(f"a group of {customers:,} had not ended after {_WINDOW_S} s")
            time.sleep(_LOOK_EVERY_S)
        report = self._call("GET", f"{self._sandbox_url}/sandbox/report")
        seen = report["send_groups"][vendor_id]
        return Measured(
            customers=customers,
            fetched_s=_since(row, row.fetched_at),
            decided_s=_since(row, row.decided_at),
            submitted_s=_since(row, row.last_call_at),
            calls=seen["calls"],
            unanswered=seen["unanswered"] + seen["late"],
            peak_mib=peak_mib,
            triggered=self._traffic_settled() if traffic else None,
        )

    def _warm_up(self) -> None:
        self._play(_WARM_UP_S)
        self._traffic_settled()
        self._call("POST", f"{self._traffic.url}/sandbox/reset")

    def _play(self, for_s: float) -> None:
        self._run = self._traffic.play(
            f"{self._ingest_url}/webhooks/optimove/triggered",
            rate_per_s=_TRAFFIC_PER_S,
            count=int(_TRAFFIC_PER_S * for_s),
        )

    def _traffic_settled(self) -> dict[str, Any]:
        """What became of it; it goes on for as long as the group is likely to take, whether it does or not."""
        while self._traffic.is_playing(self._run):
            time.sleep(_LOOK_EVERY_S)
        report = self._traffic.settled(_SETTLED_WITHIN_S)
        times: dict[str, Any] = report["notification_to_approval_ms"]
        return times | {"valid": report["valid"], "answered": report["answered"], "late": report["late"]}

    def _ended(self, vendor_id: str) -> "Row[Any] | None":
        query = (
            select(
                groups.c.created_at,
                groups.c.fetched_at,
                group_revisions.c.last_call_at,
                select(func.max(chunks.c.decided_at))
                .where(chunks.c.group_id == groups.c.id)
                .scalar_subquery()
                .label("decided_at"),
            )
            .join(group_revisions, group_revisions.c.group_id == groups.c.id)
            .where(groups.c.vendor_id == vendor_id, groups.c.finished_at.is_not(None))
        )
        with self._ledger.read() as connection:
            return connection.execute(query).first()

    def _note_memory(self, peak_mib: dict[str, float]) -> None:
        for group, found in self._processes.by_group().items():
            for process in found:
                with contextlib.suppress(psutil.Error):
                    mib = process.memory_info().rss / 2**20
                    peak_mib[group] = max(peak_mib.get(group, 0.0), mib)

    def _call(self, method: str, url: str, sent: object = None) -> dict[str, Any]:
        reply = self._http.request(method, url, json=sent)
        if reply.status >= 300:
            raise BenchmarkFailed(f"sandbox: {method} {url}: {reply.status}")
        told: dict[str, Any] = reply.json()
        return told


def _start(processes: Processes, directory: Path, ledger_url: str, *, traffic: bool) -> _Fleet:
    broker_url = start_broker(processes)
    sandbox = start_sandbox(processes)
    port = free_port()
    path = directory / "ledger.db"
    env = clearance_environment(broker_url=broker_url, sandbox_url=sandbox.url, ledger=path, port=port) | {
        "CLEARANCE_RULES_PATH": str(Path(__file__).with_name("groups.rules.toml")),
        "CLEARANCE_OPTIMOVE_LISTENER_TOKEN": _TOKEN,
        # The ETA is over when the group is announced: nothing waits for it.
        "CLEARANCE_SUBMIT_MIN_MARGIN_S": str(_WINDOW_S * 2),
        "CLEARANCE_LOG_LEVEL": "WARNING",
    }
    if ledger_url:
        env["CLEARANCE_LEDGER_URL"] = ledger_url
    upgrade_ledger(processes, env)
    processes.start("ingest", clearance("ingest"), env)
    for _ in range(2):
        processes.start("guardian", clearance("guardian"), env)
    lanes = ["review", "submit", *(["triggered"] if traffic else [])]
    # Another vendor for the traffic, in a process of its own: one that streams a million customers answers late itself.
    beside = start_sandbox(processes)
    for lane in lanes:
        own = {"CLEARANCE_OPTIMOVE_BASE_URL": beside.url} if lane == "triggered" else {}
        # As deploy/systemd and docker-compose.yml have it: who decides about groups has hours, the others have seconds.
        stands_back = lane in ("review", "submit")
        processes.start(lane, clearance("worker", lane, "--name", lane), env | own, stands_back=stands_back)
    url = f"http://127.0.0.1:{port}"
    processes.wait_until(lambda: is_ok(f"{url}/readyz"), "ingest is ready")
    client = redis.Redis.from_url(broker_url)
    processes.wait_until(lambda: _workers(client) >= len(lanes), "the workers are ready", 60.0)
    time.sleep(3)  # the children of the review worker load their rules
    ledger = open_ledger(env["CLEARANCE_LEDGER_URL"], timeout_s=10.0)
    return _Fleet(processes, ledger, sandbox.url, url, beside)


def _workers(client: "redis.Redis") -> int:
    # Each worker listens for control messages on a queue of its own.
    bound: Any = client.scard("_kombu.binding.celery.pidbox")
    return int(bound)


def _since(row: "Row[Any]", at: datetime) -> float:
    return float((at - row.created_at).total_seconds())


def _line(item: Measured) -> str:
    return f"{item.customers:,} customers: {item.submitted_s:.1f} s"


def _show(measured: Sequence[Measured], to: Console) -> None:
    table = Table(
        title="send groups: the whole fleet and the vendor on this machine; seconds since the heads-up"
    )
    for heading in ("customers", "fetched", "decided", "submitted", "customers/s", "calls", "peak MiB"):
        table.add_column(heading, justify="left" if heading == "peak MiB" else "right")
    for item in measured:
        peaks = ", ".join(f"{name} {mib:.0f}" for name, mib in sorted(item.peak_mib.items()))
        table.add_row(
            f"{item.customers:,}" + (" + traffic" if item.triggered else ""),
            f"{item.fetched_s:.1f}",
            f"{item.decided_s:.1f}",
            f"{item.submitted_s:.1f}",
            f"{item.customers / item.submitted_s:,.0f}",
            str(item.calls),
            peaks,
        )
    to.print(table)
    for item in measured:
        if item.triggered:
            to.print(f"triggered at {_TRAFFIC_PER_S:g}/s beside it, ms: {item.triggered}")


def _judge(measured: Sequence[Measured], to: Console) -> bool:
    held = [("every customer was answered", all(not item.unanswered for item in measured))]
    for item in measured:
        if item.customers >= MILLION and item.triggered is None:
            held.append((f"a million in <= {TARGET_S:g} s", item.submitted_s <= TARGET_S))
            ours = [mib for name, mib in item.peak_mib.items() if name not in ("sandbox", "broker")]
            held.append((f"<= {TARGET_MIB} MiB a process", max(ours) <= TARGET_MIB))
        if item.triggered:
            held.append(("triggered p99 <= 50 ms beside it", item.triggered["p99"] <= 50))
    for name, is_held in held:
        to.print(f"{name}: {'held' if is_held else 'NOT HELD'}", style="green" if is_held else "red")
    return all(is_held for _, is_held in held)
