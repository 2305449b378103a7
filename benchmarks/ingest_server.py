"""Which HTTP server for ingest? The same application behind each, at the same rates.

Run it as `python -m benchmarks.ingest_server`.

Only the acknowledgement is measured: there is no worker and no guardian, and each server starts with an empty ledger
and an empty broker. A server that is not in the project's environment is taken from the directory given with `--extra`.
The results behind the choice are in docs/adr/0005.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import orjson
from rich.table import Table

from benchmarks import cpu, report
from benchmarks.fleets import clearance_environment, start_broker, start_sandbox, upgrade_ledger
from benchmarks.processes import BenchmarkFailed, Processes, ending_in_order, free_port
from benchmarks.sandbox import SandboxControl, is_ok

APPLICATION = "workers.ingest:application"
_GRANIAN = (
    *("-m", "granian", APPLICATION, "--factory", "--no-access-log", "--log-level", "warning"),
    *("--host", "127.0.0.1", "--port", "{port}"),
)
_UVICORN = (
    *("-m", "uvicorn", APPLICATION, "--factory", "--no-access-log", "--log-level", "warning"),
    *("--host", "127.0.0.1", "--port", "{port}", "--loop", "uvloop"),
)
COMMAND_BY_NAME: Mapping[str, Sequence[str]] = {
    "granian": (*_GRANIAN, "--interface", "asginl"),
    "granian, HTTP/1 only, no websockets": (*_GRANIAN, "--interface", "asginl", "--http", "1", "--no-ws"),
    "granian, 2 runtime threads": (*_GRANIAN, "--interface", "asginl", "--runtime-threads", "2"),
    "granian, runtime st": (*_GRANIAN, "--interface", "asginl", "--runtime-mode", "st"),
    "granian, runtime mt": (*_GRANIAN, "--interface", "asginl", "--runtime-mode", "mt"),
    "granian, asyncio loop": (*_GRANIAN, "--interface", "asginl", "--loop", "asyncio"),
    "granian, backpressure 64": (*_GRANIAN, "--interface", "asginl", "--backpressure", "64"),
    "granian, ASGI with lifespan": (*_GRANIAN, "--interface", "asgi"),
    "uvicorn, httptools": (*_UVICORN, "--http", "httptools"),
    "uvicorn, h11": (*_UVICORN, "--http", "h11"),
}
_WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One server at one rate; times in ms, `cpu_ms` of the server's processes for one request."""

    server: str
    rate_per_s: float
    acknowledge_p50_ms: float
    acknowledge_p99_ms: float
    acknowledge_p999_ms: float
    failed: int
    cpu_ms: float
    behind_p99_ms: float
    cores_of_others: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Play:
    """Sends at a rate and waits until everything is answered."""

    processes: Processes
    sandbox: SandboxControl
    target: str

    def __call__(self, rate: float, seconds: float) -> None:
        self.sandbox.start_afresh(0)
        run = self.sandbox.play(self.target, rate_per_s=rate, count=round(rate * seconds))
        time.sleep(seconds)
        self.processes.wait_until(lambda: not self.sandbox.is_playing(run), "everything is sent", 60)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--extra", type=click.Path(exists=True, file_okay=False, resolve_path=True), default=None)
@click.option("--rates", default="500,1000", show_default=True)
@click.option("--seconds", type=click.FloatRange(1, 60), default=6.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 10), default=1, help="Of all servers in turn.")
@click.option("--only", multiple=True, type=click.Choice(list(COMMAND_BY_NAME)), help="By default all.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), default=None)
def main(
    *,
    extra: str | None,
    rates: str,
    seconds: float,
    rounds: int,
    only: tuple[str, ...],
    json_path: Path | None,
) -> None:
    """Compare HTTP servers under the same application."""
    console, results = report.console(), list[Measured]()
    Path("var").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=Path("var").resolve()))
    with ending_in_order():
        try:
            for number in range(rounds):
                for place_number, name in enumerate(COMMAND_BY_NAME):
                    if not only or name in only:
                        place = directory / f"{number}-{place_number}"
                        place.mkdir()
                        rates_per_s = [float(rate) for rate in rates.split(",")]
                        results += _measure(
                            name, place, extra=extra, rates_per_s=rates_per_s, seconds=seconds
                        )
                        console.print(f"{name}: done", style="dim")
        except BenchmarkFailed as failed:
            console.print(str(failed), style="red", markup=False)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            console.print(_table(results))
            if json_path is not None:
                json_path.write_bytes(orjson.dumps([asdict(each) for each in results]))


def _measure(
    name: str, directory: Path, *, extra: str | None, rates_per_s: Sequence[float], seconds: float
) -> list[Measured]:
    with Processes(directory) as processes:
        broker_url, sandbox = start_broker(processes), start_sandbox(processes)
        port = free_port()
        env = clearance_environment(
            broker_url=broker_url, sandbox_url=sandbox.url, ledger=directory / "ledger.db", port=port
        )
        upgrade_ledger(processes, env)
        filled = [part.format(port=port) for part in COMMAND_BY_NAME[name]]
        processes.start("ingest", [sys.executable, *filled], env | ({"PYTHONPATH": extra} if extra else {}))
        url = f"http://127.0.0.1:{port}"
        processes.wait_until(lambda: is_ok(f"{url}/readyz"), f"{name} is ready")
        target = f"{url}/webhooks/optimove/triggered"
        play = _Play(processes=processes, sandbox=sandbox, target=target)
        return [_at_rate(name, play, rate, seconds) for rate in rates_per_s]


def _at_rate(name: str, play: _Play, rate: float, seconds: float) -> Measured:
    play(rate, _WARM_UP_S)
    before = cpu.read(play.processes)
    play(rate, seconds)
    after = cpu.read(play.processes)
    seen = play.sandbox.report()
    used_s = cpu.cores_by_group(before, after)["ingest"] * (after.at_s - before.at_s)
    acknowledge = seen["acknowledge_ms"]
    return Measured(
        server=name,
        rate_per_s=rate,
        acknowledge_p50_ms=acknowledge["p50"],
        acknowledge_p99_ms=acknowledge["p99"],
        acknowledge_p999_ms=acknowledge["p999"],
        failed=seen["sent"] - seen["acknowledged"].get("202", 0),
        cpu_ms=used_s * 1000 / seen["sent"],
        behind_p99_ms=seen["behind_schedule_ms"]["p99"],
        cores_of_others=cpu.cores_of_others(before, after),
    )


def _table(results: Sequence[Measured]) -> Table:
    table = Table(title="Acknowledgement by HTTP server; times in ms")
    table.add_column("server", no_wrap=True)
    for column in ("rate/s", "p50", "p99", "p99.9", "failed", "CPU a request", "behind p99", "others, cores"):
        table.add_column(column, justify="right")
    for each in sorted(results, key=lambda item: (item.rate_per_s, list(COMMAND_BY_NAME).index(item.server))):
        table.add_row(
            each.server,
            f"{each.rate_per_s:g}",
            f"{each.acknowledge_p50_ms:.1f}",
            f"{each.acknowledge_p99_ms:.1f}",
            f"{each.acknowledge_p999_ms:.1f}",
            str(each.failed),
            f"{each.cpu_ms:.2f}",
            f"{each.behind_p99_ms:.1f}",
            f"{each.cores_of_others:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
