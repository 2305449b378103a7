"""What `clearance demo` does: a fleet of its own, traffic from the sandbox, a worker killed half-way, a verdict."""

import json
import time
from pathlib import Path
from typing import Any

from config.settings import PREFIX
from workers import wiring
from workers.demo.play import Playing
from workers.demo.report import DemoFacts, report
from workers.demo.view import View, show
from workers.demo.world import alone_in, private_fleet
from workers.up.fleet import Fleet
from workers.up.log_lines import LogLines
from workers.up.run import Asked, signals_counted
from workers.up.supervisor import StartFailed, Supervisor

_BROKEN = 1
_INTERRUPTED = 130


def run(directory: Path, *, count: int, rate_per_s: float) -> int:
    """Run a demo in `directory`. Returns the exit code: 0 when all promises held."""
    started, directory, view = time.monotonic(), directory.absolute(), View()
    with alone_in(directory), signals_counted() as asked:
        fleet = private_fleet(directory)
        supervisor, log = _supervisor(fleet, directory / "up.log", asked)
        played, killed_at_end = None, []
        try:
            if _started(supervisor, view):
                played = _playing(fleet, supervisor, asked, view).play(count, rate_per_s)
        except StartFailed as error:
            view.say(f"{error}: see {log}")
        finally:
            view.end()
            view.say("stopping ...")
            killed_at_end = supervisor.stop()
    if played is None:
        return _INTERRUPTED if asked.times else _BROKEN
    result = report(
        DemoFacts(
            sandbox=played.sandbox,
            ledger=played.ledger,
            groups=played.groups,
            duplicates_recognised=played.duplicates_recognised,
            restarts_by_name=supervisor.restarts_by_name,
            replaced_after_s_by_killed=played.replaced_after_s_by_name,
            mail=played.mail,
            mail_ledger=played.mail_ledger,
            killed_at_end=tuple(killed_at_end),
            duration_s=time.monotonic() - started,
        )
    )
    return _told(result, directory / "report.json", log)


def _supervisor(fleet: Fleet, log: Path, asked: Asked) -> tuple[Supervisor, Path]:
    processes = fleet.processes()
    # Open to the end of this process: the last lines come from threads.
    out = log.open("wb")
    lines = LogLines(out, width=max(len(process.name) for process in processes), colours=False)
    supervisor = Supervisor(
        processes,
        write_line=lines.write,
        state_file=fleet.state_dir / "up" / "processes.json",
        is_stopping=asked.is_stopping,
        is_hurried=asked.is_hurried,
    )
    return supervisor, log


def _started(supervisor: Supervisor, view: View) -> bool:
    view.begin("starting everything embedded", supervisor.size)
    return supervisor.start(view.at)


def _playing(fleet: Fleet, supervisor: Supervisor, asked: Asked, view: View) -> Playing:
    assert fleet.vendor is not None  # noqa: S101 - a private fleet has one
    return Playing(
        supervisor=supervisor,
        ledger=wiring.ledger(fleet.settings),
        sandbox_url=fleet.vendor.base_url,
        ingest_url=fleet.ingest_url,
        relay_key=fleet.settings.relay_api_keys[0],
        view=view,
        is_stopping=asked.is_stopping,
    )


def _told(result: dict[str, Any], path: Path, log: Path) -> int:
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    ledger = f"{PREFIX}LEDGER_URL=sqlite:///{path.with_name('clearance.db')}"
    show(
        result,
        [
            f"report: {path}",
            f"logs of all processes: {log}",
            f"the letters that wait for a person: {ledger} clearance mail held list",
        ],
    )
    return 0 if all(promise["held"] for promise in result["promises"]) else _BROKEN
