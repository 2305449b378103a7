"""`make bench`: this lane and the usual way, in turn, on this machine. `python -m benchmarks rules`: decisions."""

import shutil
import sys
import tempfile
from pathlib import Path

import click

from benchmarks import groups, mail, report, retries, rules
from benchmarks.comparison import Comparison, Plan
from benchmarks.processes import BenchmarkFailed, ending_in_order
from benchmarks.targets import OURS, USUAL

RATES = "50,100,200,300,400,500,600,700"
QUICK_RATES = "100,500"
TOTAL_S, QUICK_TOTAL_S = 570.0, 84.0
# Not the temporary directory, which may be memory: commits have to reach the same disk as in production.
STATE = Path("var")


def _numbers(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[float, ...]:
    try:
        numbers = tuple(sorted({float(part) for part in (value or "").split(",") if part.strip()}))
    except ValueError:
        raise click.BadParameter("must be numbers with commas between them") from None
    if any(number < 0 or number > 1_000_000 for number in numbers):
        raise click.BadParameter("out of range")
    return numbers


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option("--quick", is_flag=True, help="Fewer rates, shorter trials: within 90 s, and less certain.")
@click.option("--latency", "latencies", default="0,80", callback=_numbers, help="The vendor's, in ms.")
@click.option("--seconds", type=click.FloatRange(1, 60), default=None, help="Of one trial.")
@click.option("--rates", callback=_numbers, default=None, help=f"Fixed ones, a second; by default {RATES}.")
@click.option("--only", type=click.Choice(["ours", "usual"]), default=None, help="One of the two.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Results."
)
@click.pass_context
def main(
    context: click.Context,
    *,
    quick: bool,
    latencies: tuple[float, ...],
    seconds: float | None,
    rates: tuple[float, ...],
    only: str | None,
    json_path: Path | None,
) -> None:
    """Measure this lane and the usual way (Flask, Celery prefork, requests), with the same load and the same vendor."""
    if context.invoked_subcommand is not None:
        return
    both = (OURS, USUAL)
    plan = Plan(
        systems=both if only is None else (OURS,) if only == "ours" else (USUAL,),
        latencies_ms=latencies,
        rates_per_s=rates or _numbers_of(QUICK_RATES if quick else RATES),
        failures_max=1 if quick else 2,
        seconds=seconds or (3.0 if quick else 6.0),
        idle_s=4.0 if quick else 10.0,
        total_s=QUICK_TOTAL_S if quick else TOTAL_S,
        is_quick=quick,
    )
    console = report.console()
    STATE.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=STATE.resolve()))
    comparison = Comparison(plan, directory, lambda line: console.print(line, style="dim", highlight=False))
    with ending_in_order():
        try:
            comparison.run()
        except BenchmarkFailed as failed:
            console.print(str(failed), style="red", markup=False)
            sys.exit(1)
        except KeyboardInterrupt:
            console.print("interrupted: what was measured so far", style="yellow")
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    report.show(comparison.outcome, plan, console)
    if json_path is not None:
        report.save(comparison.outcome, plan, json_path)


@main.command("rules")
@click.option("--customers", type=click.IntRange(1_000), default=1_000_000, show_default=True)
def rules_command(*, customers: int) -> None:
    """Measure decisions by rules, and the same through Python lambdas."""
    sys.exit(0 if rules.run(customers, report.console()) else 1)


@main.command("groups")
@click.option("--sizes", default="10000,100000,1000000", callback=_numbers, show_default=True)
@click.option("--ledger-url", default="", help="PostgreSQL, emptied before; by default SQLite.")
@click.option("--traffic", is_flag=True, help="The largest once more, with triggered traffic beside it.")
def groups_command(*, sizes: tuple[float, ...], ledger_url: str, traffic: bool) -> None:
    """Measure send groups: fetch, decide, store, submit."""
    STATE.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=STATE.resolve()))
    with ending_in_order():
        try:
            held = groups.run(
                [int(size) for size in sizes], directory, ledger_url, traffic=traffic, to=report.console()
            )
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    sys.exit(0 if held else 1)


@main.command("mail")
@click.option("--batches", type=click.IntRange(4), default=120, show_default=True, help="Of 100 letters.")
@click.option("--latency", "latency_ms", type=click.FloatRange(1), default=300.0, show_default=True)
def mail_command(*, batches: int, latency_ms: float) -> None:
    """Measure letters: 1, 2 and 4 workers beside what two requests at a time can do; a slot's cost."""
    STATE.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=STATE.resolve()))
    with ending_in_order():
        try:
            held = mail.run(batches, latency_ms, directory, report.console())
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    sys.exit(0 if held else 1)


@main.command("retries")
@click.option("--parked", type=click.IntRange(1), default=100_000, show_default=True, help="To be listed.")
@click.option("--replayed", type=click.IntRange(1), default=10_000, show_default=True)
@click.option(
    "--rate", "per_s", type=click.FloatRange(1), default=100.0, show_default=True, help="Of the replay."
)
@click.option("--ledger-url", default="", help="PostgreSQL for the list, emptied before; by default SQLite.")
def retries_command(*, parked: int, replayed: int, per_s: float, ledger_url: str) -> None:
    """Measure the retries desk: how fast it lists, and what a large replay leaves for what is new."""
    STATE.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=STATE.resolve()))
    with ending_in_order():
        try:
            held = retries.run(
                parked=parked,
                replayed=replayed,
                per_s=per_s,
                ledger_url=ledger_url,
                directory=directory,
                to=report.console(),
            )
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    sys.exit(0 if held else 1)


def _numbers_of(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    main()
