"""`clearance mail feedback`: what Bloomreach is told of letters: how much of it waits, and what it did not take.

Without customer ids and the commands' content, which are personal data. Exit codes: 0 (also when there is nothing), 1
the ledger is away, 2 the settings or the arguments are wrong.
"""

from datetime import datetime

import click

from clearance.bloomreach.commands import CommandState
from clearance.clock import utc_now
from clearance.ledger import track_reads
from clearance.ledger.track_reads import CommandCount, ShownCommand
from config import settings
from workers import connections
from workers.commands.countdown import countdown, iso, moment
from workers.commands.listing import json_option, show_all

_COUNT_COLUMNS = ("state", "commands", "oldest", "age")
_COLUMNS = ("command", "about", "what", "created", "age", "ended", "unconfirmed", "reason", "error")


@click.group()
def feedback() -> None:
    """What Bloomreach is told of letters: flags, consents and campaign events."""


@feedback.command("list")
@click.option("--state", type=click.Choice([each.value for each in CommandState]), help="List those.")
@click.option("--after", default="", metavar="ID", help="Go on after this command.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@json_option
def feedback_list(state: str | None, after: str, limit: int, as_json: bool) -> None:
    """Count commands by state; with --state list those, the oldest first: parked ones have the reason."""
    ledger = connections.ledger(settings.load())
    now = utc_now()
    with ledger.read() as connection:
        if state is None:
            counts = track_reads.counts(connection)
            _show_counts(counts, now, as_json)
            return
        found = track_reads.listed(connection, CommandState(state), after_id=after, limit=limit + 1)
    if not found and not as_json:
        click.echo(f"no command is {state}", err=True)
        return
    rows = [command_facts(each) if as_json else _row(each, now) for each in found[:limit]]
    show_all(_COLUMNS, rows, as_json, whole=("command", "about"))
    if len(found) > limit:
        click.echo(f"there are more: --after {found[limit - 1].command_id}", err=True)


def command_facts(command: ShownCommand) -> dict[str, object]:
    """For scripts, without what it says of the customer."""
    return {
        "command_id": command.command_id,
        "batch_id": command.batch_id,
        "state": command.state.value,
        "name": command.name.value,
        "about": command.about,
        "created_at": iso(command.created_at),
        "finished_at": iso(command.finished_at),
        "unconfirmed": command.unconfirmed,
        "reason": command.reason,
        "error": command.error,
        "trace_id": command.trace_id,
    }


def _show_counts(counts: list[CommandCount], now: datetime, as_json: bool) -> None:
    if not counts and not as_json:
        click.echo("Bloomreach was told nothing yet", err=True)
        return
    rows = [
        {"state": each.state.value, "commands": each.commands, "oldest_at": iso(each.oldest_at)}
        if as_json
        else {
            "state": each.state.value,
            "commands": each.commands,
            "oldest": moment(each.oldest_at, now),
            "age": countdown(each.oldest_at, now),
        }
        for each in counts
    ]
    show_all(_COUNT_COLUMNS, rows, as_json)


def _row(command: ShownCommand, now: datetime) -> dict[str, object]:
    return {
        "command": command.command_id,
        "about": command.about,
        "what": command.name.value,
        "created": moment(command.created_at, now),
        "age": countdown(command.created_at, now),
        "ended": moment(command.finished_at, now) if command.finished_at else None,
        "unconfirmed": command.unconfirmed,
        "reason": command.reason,
        "error": command.error,
    }
