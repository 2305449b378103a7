"""`clearance forget`: a customer asks to be forgotten.

It looks through the ledger, says what it would remove, and removes it. What is still owed for the customer needs its
data: that is named, and the command is to be run again afterwards. What others have is not in reach: Optimove, Optilyz,
Bloomreach, the systems that checks ask, and backups of the ledger. Exit codes: 0 all of it is gone, 1 something is
still owed, the operator did not want it after all, or the ledger is away (repeat it), 2 the settings or the arguments
are wrong.
"""

import click

from clearance.clock import utc_now
from clearance.ledger import customer_traces, operator_actions
from clearance.ledger import forget as forgetting
from clearance.ledger.customer_traces import Traces
from config import settings
from workers.commands import ledger_here
from workers.commands.customer_id import CustomerId
from workers.commands.listing import json_option, printable, show_all
from workers.commands.reasons import REASON
from workers.commands.who import action

EXIT_STILL_OWED = 1
_COLUMNS = ("what", "found", "removed")
_SUPPRESSIONS = ("suppressions", "address_suppressions")
_LONGEST_LIST = 20


@click.command()
@click.argument("customer", type=CustomerId())
@click.option(
    "--suppressions", is_flag=True, help="Also take the customer off the lists of whom not to write to."
)
@click.option("--why", required=True, type=REASON, help="Kept for the audit; name nobody.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def forget(
    ctx: click.Context, *, customer: str, suppressions: bool, why: str, yes: bool, as_json: bool
) -> None:
    """Remove CUSTOMER from the ledger: an id as Optimove has it, or as Bloomreach has it, with its KIND: or without.

    Suppressions stay, unless --suppressions is given: without them the customer is written to again.
    """
    here = settings.load()
    ledger = ledger_here.ledger(here)
    kinds = [pair.split("=", 1)[1] for pair in here.optilyz_id_fields]
    traces = customer_traces.find(ledger, customer, kinds=kinds)
    found = _counts(traces)
    if any(found.values()) and not yes:
        for what, count in found.items():
            click.echo(f"{what}: {count}{_kept(what, count, suppressions)}", err=True)
        click.confirm("Remove it?", abort=True, err=True)
    going = {what: 0 if what in _SUPPRESSIONS and not suppressions else found[what] for what in found}
    if any(going.values()):
        wanted = action("forget", forgetting.digest(customer), utc_now(), count=sum(going.values()), why=why)
        # First: of what was forgotten by half somebody must know who wanted it.
        with ledger.write() as connection:
            operator_actions.record(connection, wanted)
        forgetting.forget(ledger, customer, traces, with_suppressions=suppressions)
    rows = [{"what": what, "found": found[what], "removed": going[what]} for what in found]
    rows.append({"what": "still_owed", "found": len(traces.owed), "removed": 0})
    show_all(_COLUMNS, rows, as_json)
    if traces.owed:
        _tell_owed(traces)
        ctx.exit(EXIT_STILL_OWED)


def _counts(traces: Traces) -> dict[str, int]:
    return {
        "notifications": len(traces.notifications),
        "decisions": len(traces.decisions),
        "letters": len(traces.letters),
        "track_commands": len(traces.commands),
        "operator_actions": len(traces.actions),
        "suppressions": len(traces.suppressions),
        "address_suppressions": len(traces.addresses),
    }


def _kept(what: str, count: int, suppressions: bool) -> str:
    is_kept = what in _SUPPRESSIONS and count and not suppressions
    return ", kept: without them the customer is written to again (--suppressions)" if is_kept else ""


def _tell_owed(traces: Traces) -> None:
    click.echo("still owed, and needed for it; run this again when they have ended:", err=True)
    for each in traces.owed[:_LONGEST_LIST]:
        click.echo(f"  {printable(each)}", err=True)
    if len(traces.owed) > _LONGEST_LIST:
        click.echo(f"  and {len(traces.owed) - _LONGEST_LIST} more", err=True)
