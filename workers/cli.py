"""The command `clearance`: every process and every question that an operator has."""

import os
import sys

import click
import structlog

from clearance.errors import LedgerUnavailable
from config import logs, settings
from config.queues import LANE_QUEUES, QUEUE_BY_LANE
from config.settings import Settings, SettingsError
from workers import collector
from workers.commands.groups import groups
from workers.commands.occurrences import occurrences
from workers.commands.optimove import optimove
from workers.commands.purge import purge
from workers.commands.rejected import rejected
from workers.commands.rules import rules
from workers.commands.suppressions import suppressions
from workers.commands.up import demo, flower, up
from workers.commands.why import why

log = structlog.get_logger()

EXIT_FAILED = 1
EXIT_SETTINGS = 2


class _Commands(click.Group):
    """Tells what is wrong with the settings or the ledger in plain lines, and with an exit code for scripts."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn what an operator can mend into words."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            for problem in error.problems:
                click.echo(problem, err=True)
            ctx.exit(EXIT_SETTINGS)
        except LedgerUnavailable as error:
            click.echo(
                f"{error}: check CLEARANCE_LEDGER_URL, and that `clearance db upgrade` was run", err=True
            )
            ctx.exit(EXIT_FAILED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clearance")
def main() -> None:
    """Approval and fulfilment gateway between marketing platforms and the systems that may say no."""


@main.command()
def ingest() -> None:
    """Serve the webhooks over HTTP."""
    from workers import ingest as process

    process.run(_loaded("ingest"))


@main.command()
@click.argument("lane", type=click.Choice([item.lane for item in LANE_QUEUES]))
@click.option("--name", default=None, help="Name of this worker; by default one that no other has.")
def worker(lane: str, name: str | None) -> None:
    """Work on one LANE's obligations."""
    from workers import wiring

    here = _loaded(f"worker-{lane}")
    wiring.require_lane(here, lane)  # refuses what cannot work, before the process becomes Celery's
    queue = QUEUE_BY_LANE[lane]
    command = [sys.executable, "-m", "celery", "-q", "-A", "workers.app", "worker"]
    command += ["-Q", queue.queue, "-P", queue.pool, "-n", f"{name or f'{lane}-{os.getpid()}'}@%h"]
    command += ["-c", str(_concurrency(here, lane)), "-l", here.log_level]
    command += ["--without-gossip", "--without-mingle"]
    os.environ["CLEARANCE_LANE"] = lane
    os.execv(sys.executable, command)  # noqa: S606 - this process becomes the worker


@main.command()
def guardian() -> None:
    """Publish what is due, overdue or abandoned; run two or more."""
    from workers import guardian as process

    process.run(_loaded("guardian"))


@main.command()
@click.option("--port", default=8900, show_default=True, help="0 for any free one.")
@click.option(
    "--secret", envvar="CLEARANCE_SANDBOX_SECRET", default="", help="Signs notifications; none: unsigned."
)
@click.option(
    "--api-key", envvar="CLEARANCE_SANDBOX_API_KEY", default="sandbox-api-key", help="The key it lets in."
)
def sandbox(port: int, secret: str, api_key: str) -> None:
    """Serve a vendor to play with, on loopback."""
    from clearance.sandbox.options import SandboxOptions
    from clearance.sandbox.server import serve

    collector.settle()
    serve(SandboxOptions(port=port, secret=secret, api_key=api_key))


main.add_command(optimove)
main.add_command(rejected)
main.add_command(up)
main.add_command(demo)
main.add_command(flower)
main.add_command(suppressions)
main.add_command(why)
main.add_command(purge)
main.add_command(rules)
main.add_command(groups)
main.add_command(occurrences)


@main.group()
def db() -> None:
    """The ledger's schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the ledger to this release's schema; safe to repeat."""
    from clearance.ledger import migrate
    from workers import wiring

    revision = migrate.upgrade(wiring.ledger(_loaded("db")))
    click.echo(f"ledger at revision {revision}")


def _concurrency(here: Settings, lane: str) -> int:
    own = {
        "triggered": here.triggered_threads,
        "review": here.review_processes,
        "submit": here.submit_threads,
    }
    return own.get(lane, 2)


def _loaded(process: str) -> Settings:
    here = settings.load()
    logs.configure(here.log_format, here.log_level, process)
    unknown = settings.unknown_names()
    if unknown:
        log.warning("settings.not_known", names=unknown)  # misspelt, or of another release
    return here
