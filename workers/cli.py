"""The command `clearance`: every process and every question that an operator has."""

import ast
import os
import sys
from importlib import import_module
from pathlib import Path

import click
import structlog

from clearance.errors import LedgerUnavailable
from config import logs, settings
from config.queues import LANE_QUEUES, QUEUE_BY_LANE
from config.settings import Settings, SettingsError
from workers import collector

log = structlog.get_logger()

EXIT_FAILED = 1
EXIT_SETTINGS = 2
_COMMANDS = Path(__file__).with_name("commands")
# Where a command lives, in workers/commands: imported when it is called, since a process needs none of the others.
_MODULE_BY_COMMAND = {
    "audit": "audit",
    "demo": "up",
    "doctor": "doctor",
    "flower": "up",
    "forget": "forget",
    "groups": "groups",
    "lanes": "lanes",
    "mail": "mail",
    "occurrences": "occurrences",
    "optimove": "optimove",
    "purge": "purge",
    "rejected": "rejected",
    "retries": "retries",
    "rules": "rules",
    "suppressions": "suppressions",
    "up": "up",
    "why": "why",
}


class _Commands(click.Group):
    """Tells what is wrong with the settings or the ledger in plain lines, and with an exit code for scripts."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*super().list_commands(ctx), *_MODULE_BY_COMMAND})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported if it lives elsewhere; none of that name: none."""
        module = _MODULE_BY_COMMAND.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(f"workers.commands.{module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each with the first line of what it says of itself, which is read: to import them all takes a second."""
        rows = [(name, self._first_line(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _first_line(self, ctx: click.Context, name: str) -> str:
        module = _MODULE_BY_COMMAND.get(name)
        if module is None:
            command = self.get_command(ctx, name)
            text = command.help if command else ""
        else:
            source = ast.parse((_COMMANDS / f"{module}.py").read_text(encoding="utf-8"))
            found = (each for each in source.body if isinstance(each, ast.FunctionDef) and each.name == name)
            text = ast.get_docstring(next(found))
        return (text or "").partition("\n")[0]

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
    from workers import exposition, wiring

    here = _loaded(f"worker-{lane}")
    wiring.require_lane(here, lane)  # refuses what cannot work, before the process becomes Celery's
    queue = QUEUE_BY_LANE[lane]
    command = [sys.executable, "-m", "celery", "-q", "-A", "workers.app", "worker"]
    command += ["-Q", queue.queue, "-P", queue.pool, "-n", f"{name or f'{lane}-{os.getpid()}'}@%h"]
    command += ["-c", str(_concurrency(here, lane)), "-l", here.log_level]
    command += ["--without-gossip", "--without-mingle"]
    os.environ["CLEARANCE_LANE"] = lane
    # glibc gives threads heaps of their own, and each would keep what the largest group ever took in it.
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    if queue.pool == "prefork":
        exposition.share_with_children(here)
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
        "mail": here.mail_threads,
        "track": here.track_threads,
    }
    return own[lane]


def _loaded(process: str) -> Settings:
    here = settings.load()
    logs.configure(here.log_format, here.log_level, process)
    unknown = settings.unknown_names()
    if unknown:
        log.warning("settings.not_known", names=unknown)  # misspelt, or of another release
    return here
