"""`clearance occurrences`: how many groups of a sending were told of, reviewed and submitted.

Exit codes: 0 (also when there are none), 1 the ledger is away or knows no such occurrence, 2 the settings or the
arguments are wrong.
"""

import json
from datetime import datetime

import click

from clearance.clock import utc_now
from clearance.ledger import occurrence_reads
from clearance.ledger.group_facts import GroupState
from clearance.ledger.group_reads import Standing
from clearance.ledger.occurrence_reads import Occurrence
from config import settings
from workers import connections
from workers.commands.countdown import countdown, exact, iso, moment
from workers.commands.groups_facts import standing_facts
from workers.commands.listing import json_option, printable, show_all

EXIT_NOT_KNOWN = 1
_COLUMNS = (
    "occurrence",
    "series",
    "seen",
    "reviewed",
    "submitted",
    "missed",
    "cancelled",
    "last_deadline",
    "left",
)
_GROUP_COLUMNS = (
    "order",
    "group",
    "state",
    "template",
    "channel",
    "deadline",
    "left",
    "fetched",
    "decided",
    "approved",
    "submitted",
)

_Facts = dict[str, object]


@click.group()
def occurrences() -> None:
    """Sendings of campaigns, each with the groups that it is made of."""


@occurrences.command("list")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 500), help="How many.")
@json_option
def occurrences_list(last: int, as_json: bool) -> None:
    """List occurrences, the latest deadline first: groups seen, reviewed and submitted of how many."""
    ledger = connections.ledger(settings.load())
    with ledger.read() as connection:
        found = occurrence_reads.newest(connection, last)
    now = utc_now()
    rows = [_facts(each) if as_json else _row(each, now) for each in found]
    if not rows and not as_json:
        click.echo("there are no occurrences", err=True)
        return
    show_all(_COLUMNS, rows, as_json)


@occurrences.command("show")
@click.argument("occurrence_id", metavar="ID")
@json_option
@click.pass_context
def occurrences_show(ctx: click.Context, occurrence_id: str, as_json: bool) -> None:
    """Tell of each group of the occurrence ID."""
    ledger = connections.ledger(settings.load())
    with ledger.read() as connection:
        found = occurrence_reads.one(connection, occurrence_id)
    if found is None:
        click.echo(f"no group is of occurrence {printable(occurrence_id)}", err=True)
        ctx.exit(EXIT_NOT_KNOWN)
    now = utc_now()
    if as_json:
        each = [standing_facts(member, now) for member in found.groups]
        click.echo(json.dumps(_facts(found) | {"groups": each}))
        return
    for line in _lines(found, now):
        click.echo(printable(line))
    click.echo()
    show_all(_GROUP_COLUMNS, [_group_row(member, now) for member in found.groups], as_json=False)


def _facts(occurrence: Occurrence) -> _Facts:
    """For scripts. Counts are of groups, but for `unique_customers`."""
    return {
        "occurrence_id": occurrence.occurrence_id,
        "series_id": occurrence.series_id,
        "expected": occurrence.expected,
        "seen": len(occurrence.groups),
        "reviewed": occurrence.reviewed,
        "submitted": occurrence.count(GroupState.SUBMITTED),
        "missed": occurrence.count(GroupState.MISSED),
        "cancelled": occurrence.count(GroupState.CANCELLED),
        "unique_customers": occurrence.unique_customers,
        "last_deadline_at": iso(occurrence.last_deadline_at),
    }


def _row(occurrence: Occurrence, now: datetime) -> _Facts:
    return {
        "occurrence": occurrence.occurrence_id,
        "series": occurrence.series_id,
        "seen": _seen(occurrence),
        "reviewed": occurrence.reviewed,
        "submitted": occurrence.count(GroupState.SUBMITTED),
        "missed": occurrence.count(GroupState.MISSED),
        "cancelled": occurrence.count(GroupState.CANCELLED),
        "last_deadline": moment(occurrence.last_deadline_at, now),
        "left": countdown(occurrence.last_deadline_at, now),
    }


def _lines(occurrence: Occurrence, now: datetime) -> list[str]:
    series = f" of series {occurrence.series_id}" if occurrence.series_id else ""
    ends = [(occurrence.count(state), state) for state in GroupState if state is not GroupState.OPEN]
    told = ", ".join(f"{count} {state}" for count, state in ends if count or state is GroupState.SUBMITTED)
    unique = occurrence.unique_customers
    last = occurrence.last_deadline_at
    return [
        f"occurrence {occurrence.occurrence_id}{series}: {_seen(occurrence)} groups seen,"
        f" {occurrence.reviewed} reviewed, {told}",
        f"last deadline {exact(last)} UTC, {countdown(last, now)}",
        *([] if unique is None else [f"{unique} customers; one in several groups is decided about in each"]),
    ]


def _seen(occurrence: Occurrence) -> str:
    expected = occurrence.expected
    return f"{len(occurrence.groups)} of {'?' if expected is None else expected}"


def _group_row(standing: Standing, now: datetime) -> _Facts:
    group = standing.group
    campaign = group.campaign
    return {
        "order": group.order,
        "group": group.vendor_id,
        "state": group.state.value,
        "template": campaign.template_name or campaign.template_id or None,
        "channel": campaign.channel_name or campaign.channel_id or None,
        "deadline": moment(group.deadline_at, now),
        "left": countdown(group.deadline_at, now),
        "fetched": group.fetched,
        "decided": standing.decided,
        "approved": standing.approved,
        "submitted": standing.submitted,
    }
