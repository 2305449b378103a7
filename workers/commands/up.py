"""`clearance up`, `flower` and `demo`: the commands that run more than one process, or another project's."""

import sys
from pathlib import Path

import click

from config import settings


@click.command()
@click.option("--sandbox", is_flag=True, help="Use the sandbox even though vendors are set.")
def up(sandbox: bool) -> None:
    """Run all processes on this machine until Ctrl-C, and restart what dies.

    Without a CLEARANCE_BROKER_URL the broker is embedded; without any CLEARANCE_OPTIMOVE_ setting the sandbox takes
    the vendor's place, and that of Optilyz and Bloomreach when nothing of them is set either.
    """
    from workers.up import run as process

    sys.exit(process.run(settings.load(), sandbox=sandbox))


@click.command()
def flower() -> None:
    """Watch workers and tasks in a browser; needs CLEARANCE_FLOWER_PASSWORD."""
    from workers import flower as process

    process.run(settings.load())


@click.command()
@click.option(
    "--count", default=300, show_default=True, type=click.IntRange(20, 100_000), help="Notifications."
)
@click.option(
    "--rate", default=30.0, show_default=True, type=click.FloatRange(1, 1000), help="Of them, a second."
)
@click.option(
    "--directory",
    default="var/demo",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Its state, its logs and report.json; emptied first.",
)
def demo(count: int, rate: float, directory: Path) -> None:
    """Play traffic through everything embedded, kill a worker half-way, and judge what became of it.

    Uses no setting of the environment. Exits with 0 only if every promise was kept.
    """
    from workers.demo import run as process

    sys.exit(process.run(directory, count=count, rate_per_s=rate))
