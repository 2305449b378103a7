"""`clearance groups`: scheduled approvals, by when they are due, how far they are, and how they ended.

Exit codes: 0 (also when there are none, and when `--watch` is stopped by Ctrl-C), 1 the ledger is away or knows no such
group, 2 the settings or the arguments are wrong.
"""

import json
from datetime import datetime
from time import sleep

import click
from rich.console import Console

from clearance.clock import utc_now
from clearance.ledger import group_reads
from clearance.ledger.engine import Ledger
from clearance.ledger.group_details import Details, details
from clearance.ledger.group_facts import Group, GroupState
from clearance.ledger.group_reads import Standing
from config import settings
from workers import connections
from workers.commands.countdown import countdown, moment
from workers.commands.groups_facts import details_facts, standing_facts
from workers.commands.groups_shown import shown
from workers.commands.groups_watch import watch as watch_until_ended
from workers.commands.listing import json_option, printable, show_all
from workers.commands.moments import MOMENT

EXIT_NOT_KNOWN = 1
_COLUMNS = (
    "group",
    "api",
    "state",
    "deadline",
    "left",
    "fetched",
    "decided",
    "submitted",
    "of",
    "submit_at",
    "revision",
)


@click.group()
def groups() -> None:
    """Scheduled approvals: send groups (V2) and campaigns (V1)."""


@groups.command("list")
@click.option("--state", type=click.Choice([each.value for each in GroupState]), help="Only those.")
@click.option("--deadline-before", type=MOMENT, help="Only earlier ones; UTC unless it has an offset.")
@click.option("--deadline-after", type=MOMENT, help="Only later ones; UTC unless it has an offset.")
@click.option("--occurrence", metavar="ID", help="Only those of this occurrence.")
@click.option("--last", default=50, show_default=True, type=click.IntRange(1, 1_000), help="How many.")
@json_option
def groups_list(
    *,
    state: str | None,
    deadline_before: datetime | None,
    deadline_after: datetime | None,
    occurrence: str | None,
    last: int,
    as_json: bool,
) -> None:
    """List groups, the latest deadline first: how far each is, and how much time is left."""
    ledger = connections.ledger(settings.load())
    with ledger.read() as connection:
        found = group_reads.listed(
            connection,
            last=last,
            state=GroupState(state) if state else None,
            deadline_before=deadline_before,
            deadline_after=deadline_after,
            occurrence_id=occurrence,
        )
    now = utc_now()
    rows = [standing_facts(each, now) if as_json else _row(each, now) for each in found]
    if not rows and not as_json:
        click.echo("there are no such groups", err=True)
        return
    show_all(_COLUMNS, rows, as_json)


@groups.command("show")
@click.argument("group_id", metavar="ID")
@click.option("--watch", is_flag=True, help="Show it anew every second until it ended.")
@json_option
@click.pass_context
def groups_show(ctx: click.Context, group_id: str, watch: bool, as_json: bool) -> None:
    """Tell everything about the group ID, ours or the vendor's."""
    ledger = connections.ledger(settings.load())
    known = _known(ledger, group_id)
    if known is None:
        click.echo(f"no group is called {printable(group_id)}", err=True)
        ctx.exit(EXIT_NOT_KNOWN)
    console = Console(markup=False, emoji=False, highlight=False)
    if watch:
        watch_until_ended(lambda: _details(ledger, known), console, as_json=as_json, now=utc_now, sleep=sleep)
        return
    found = _details(ledger, known)
    if as_json:
        click.echo(json.dumps(details_facts(found, utc_now())))
        return
    console.print(shown(found, utc_now(), with_bars=console.is_terminal))


def _known(ledger: Ledger, group_id: str) -> Group | None:
    with ledger.read() as connection:
        found = group_reads.named(connection, group_id)
    if len(found) > 1:
        ours = ", ".join(f"{each.group_id} ({each.api})" for each in found)
        raise click.UsageError(f"{printable(group_id)} may be each of {ours}")
    return found[0] if found else None


def _details(ledger: Ledger, known: Group) -> Details:
    """Of the group as it is now: nothing of it is known from the look before."""
    with ledger.read() as connection:
        (group,) = group_reads.named(connection, known.group_id)
        return details(connection, group)


def _row(standing: Standing, now: datetime) -> dict[str, object]:
    group = standing.group
    return {
        "group": group.vendor_id,
        "api": group.api,
        "state": group.state.value,
        "deadline": moment(group.deadline_at, now),
        "left": countdown(group.deadline_at, now),
        "fetched": group.fetched,
        "decided": standing.decided,
        "submitted": standing.submitted,
        "of": group.expected_customers,
        "submit_at": moment(group.submit_at, now) if group.state is GroupState.OPEN else None,
        "revision": group.revision,
    }
