"""`clearance rules diff`: who would be decided otherwise by these rules, and why?

In: a new rules file, and what to decide by it: past decisions whose inputs were kept (`record_inputs = true`), or
customers of a file. Out: who changes, and counts. Nobody is asked: past decisions are made again from what was answered
then. A check that was not asked then is taken to approve, and the output says which, and how often that counted.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import click

from clearance.clock import utc_now
from clearance.decisions.engine import Engine
from clearance.decisions.inputs import load_inputs
from clearance.decisions.rules import Rules
from clearance.ledger import inputs as ledger_inputs
from clearance.ledger.engine import Ledger
from clearance.ledger.inputs import KeptInputs
from config import settings
from workers import connections
from workers.commands.listing import json_option, show_all
from workers.commands.rules_changes import Changes, Compared, replayed
from workers.commands.rules_files import load_campaign, load_customers
from workers.commands.rules_try import assuming
from workers.commands.rules_versions import other_rules
from workers.judges import read_rules

_DATES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z")
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@click.command("diff")
@click.argument("new_path", metavar="NEW")
@click.option(
    "--against",
    metavar="FILE|VERSION",
    help="The rules to compare with; by default what was decided then, or for --customers what is in force.",
)
@click.option(
    "--since", type=click.DateTime(_DATES), help="Past decisions from then on; UTC unless it says otherwise."
)
@click.option("--last", type=click.IntRange(min=1), help="Only so many past decisions, the newest.")
@click.option(
    "--customers", "customers_path", metavar="FILE", help="JSON or CSV: these instead of past decisions."
)
@click.option("--campaign", "campaign_path", metavar="FILE", help="JSON: the campaign, with --customers.")
@click.option(
    "--most", default=100, show_default=True, type=click.IntRange(min=0), help="Lines of the table."
)
@click.option("--fail-on-change", is_flag=True, help="End with 1 if anybody changes, or nobody was compared.")
@json_option
@click.pass_context
def diff_rules(
    ctx: click.Context,
    *,
    new_path: str,
    against: str | None,
    since: datetime | None,
    last: int | None,
    customers_path: str | None,
    campaign_path: str | None,
    most: int,
    fail_on_change: bool,
    as_json: bool,
) -> None:
    """Decide again by NEW, and print whose answer or reasons change, and why."""
    if bool(customers_path) != bool(campaign_path):
        raise click.UsageError("--customers and --campaign go together")
    if customers_path and (since or last):
        raise click.UsageError("--since and --last are for past decisions, not for --customers")
    new = read_rules(new_path)
    if customers_path and campaign_path:
        changes = _of_file(new, against, campaign_path, customers_path)
    else:
        ledger = connections.ledger(settings.load())
        old = None if against is None else other_rules(ledger, against)
        changes = _of_past(new, old, _kept(ledger, since, last))
    _print(new, changes, most, as_json)
    ctx.exit(1 if fail_on_change and (changes.changed or not changes.compared) else 0)


def _of_file(new: Rules, against: str | None, campaign_path: str, customers_path: str) -> Changes:
    """Customers of a file, decided by both."""
    campaign, customers = load_campaign(campaign_path), load_customers(customers_path)
    here = settings.load()
    old = other_rules(connections.ledger(here), against, or_file=here.rules_path)
    before, after = assuming(old, campaign, customers), assuming(new, campaign, customers)
    changes = Changes(against=old.version)
    for check_id in dict.fromkeys([*before.assumed, *after.assumed]):
        changes.not_replayed[check_id] = len(customers)
    for customer, was, now in zip(customers, before.decisions, after.decisions, strict=True):
        changes.add(Compared(customer_id=customer.customer_id, subject="", before=was, after=now))
    return changes


def _of_past(new: Rules, old: Rules | None, kept: Iterable[KeptInputs]) -> Changes:
    """Past decisions: as they stand, or made again by `old`; and by `new`."""
    changes = Changes(against=None if old is None else old.version)
    new_engine, old_engine = Engine(new), None if old is None else Engine(old)
    for item in kept:
        try:
            held = load_inputs(item.inputs)
        except ValueError:
            changes.unreadable += 1
            continue
        after = replayed(new_engine, held, changes.not_replayed)
        before = item.decision if old_engine is None else replayed(old_engine, held, changes.not_replayed)
        changes.add(Compared(customer_id=item.customer_id, subject=item.subject, before=before, after=after))
    return changes


def _kept(ledger: Ledger, since: datetime | None, last: int | None) -> Iterator[KeptInputs]:
    """What was kept, oldest first."""
    begin = _LONG_AGO if since is None else since if since.tzinfo else since.replace(tzinfo=UTC)
    # A clock of another host may be a little ahead of ours.
    kept = ledger_inputs.kept(ledger, begin, utc_now() + timedelta(hours=1))
    yield from kept if last is None else deque(kept, maxlen=last)


def _print(new: Rules, changes: Changes, most: int, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"version": new.version, **changes.facts()}))
        return
    if not changes.compared:
        click.echo(
            "no past decision has its inputs in the ledger: `record_inputs = true` in the rules keeps them;"
            " or give --customers and --campaign",
            err=True,
        )
        return
    rows = [each.row() for each in changes.changed]
    if rows:
        columns = [name for name in ("customer", "subject", "from", "to", "why") if rows[0][name] != ""]
        show_all(columns, rows[:most], as_json=False)
    if len(rows) > most:
        click.echo(f"... and {len(rows) - most} more (--most, --json)")
    if rows:
        click.echo()
    against = "what was decided then" if changes.against is None else f"version {changes.against}"
    click.echo(f"version {new.version} against {against}: {', '.join(changes.counted())}")
    for line in changes.remarks():
        click.echo(line)
