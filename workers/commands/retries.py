"""`clearance retries`: what waits for another try or for a person, and how much time it has left.

Exit codes: 0 done (also when nothing waits), 1 the ledger is away, an id is not on the desk, or nothing was done, 2 the
settings or the arguments are wrong.
"""

from typing import Any

import click

from clearance.clock import utc_now
from clearance.ledger import desk_reads, operator_actions
from config import settings
from workers.commands import ledger_here
from workers.commands.listing import json_option, printable, show_all, show_one
from workers.commands.retries_acts import retries_discard, retries_hold, retries_replay
from workers.commands.retries_filter import filter_options, wanted_by
from workers.commands.retries_shown import (
    BELOW,
    COLUMNS,
    COUNT_COLUMNS,
    count_row,
    item_facts,
    item_row,
    next_step,
    story,
)

EXIT_NOT_THERE = 1


@click.group()
def retries() -> None:
    """The retries desk: what waits for another try or for a person, and how much time it has left."""


@retries.command("list")
@filter_options
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@json_option
def retries_list(limit: int, as_json: bool, **asked: Any) -> None:
    """List what waits: what still has time first, the nearest deadline before the others. Then how many wait for what.

    With --json an object: `items`, and `counts` of all that is asked for.
    """
    wanted = wanted_by(**asked)
    ledger = ledger_here.ledger(settings.load())
    now = utc_now()
    with ledger.read() as connection:
        found = desk_reads.listed(connection, wanted, now, limit)
        counts = desk_reads.counted(connection, wanted, now)
    if as_json:
        show_one(
            {
                "items": [item_facts(each, now) for each in found],
                "counts": [count_row(each, now, as_json=True) for each in counts],
            },
            as_json=True,
        )
        return
    if not found:
        click.echo("nothing waits", err=True)
        return
    show_all(COLUMNS, [item_row(each, now) for each in found], as_json=False, whole=("id",), below=BELOW)
    waiting = sum(each.items for each in counts)
    click.echo("" if waiting == len(found) else f"shown: {len(found)} of {waiting} (--limit)")
    show_all(COUNT_COLUMNS, [count_row(each, now) for each in counts], as_json=False)


@retries.command("show")
@click.argument("item_id", metavar="ID")
@json_option
@click.pass_context
def retries_show(ctx: click.Context, item_id: str, as_json: bool) -> None:
    """Show what waits as ID: what happened to it, how much time is left, and what can be done."""
    ledger = ledger_here.ledger(settings.load())
    with ledger.read() as connection:
        item = desk_reads.item(connection, item_id)
        action = operator_actions.get(connection, item.action_id) if item and item.action_id else None
    if item is None:
        click.echo(f"nothing waits as {printable(item_id)}: done, under way, or unknown", err=True)
        ctx.exit(EXIT_NOT_THERE)
    now = utc_now()
    if as_json:
        facts = item_facts(item, now)
        if action is not None:
            facts |= {"operator": action.who, "operator_action": action.action, "operator_why": action.why}
        show_one(facts, as_json=True)
        return
    for line in story(item, action, now):
        click.echo(printable(line))
    click.echo(f"next: {printable(next_step(item, now))}", err=True)


retries.add_command(retries_replay)
retries.add_command(retries_discard)
retries.add_command(retries_hold)
