"""`clearance purge`: forget what retention says is to be forgotten.

Decisions, and what was sent, stay; what decisions were made from goes. Run it every night; while it runs, everything
else does. Exit codes: 0 done, 1 the ledger is away (repeat it), 2 the settings are wrong.
"""

from datetime import datetime, timedelta

import click

from clearance.clock import utc_now
from clearance.ledger import inputs
from clearance.ledger.engine import Ledger
from config import settings
from workers import wiring
from workers.commands.listing import json_option, show_one


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count.")
@json_option
def purge(dry_run: bool, as_json: bool) -> None:
    """Remove what decisions were made from, once it is older than CLEARANCE_INPUTS_RETENTION_DAYS."""
    here = settings.load()
    ledger = wiring.ledger(here)
    before = utc_now() - timedelta(days=here.inputs_retention_days)
    with ledger.read() as connection:
        found = inputs.count_older(connection, before)
    removed = 0 if dry_run else _removed(ledger, before)
    told = {"what": "decision_inputs", "older_than": before.isoformat(timespec="seconds")}
    show_one(told | {"found": found, "removed": removed}, as_json)


def _removed(ledger: Ledger, before: datetime) -> int:
    """How many went, a portion a transaction: between two of them everybody else may write."""
    removed = 0
    while True:
        with ledger.write() as connection:
            portion = inputs.purge(connection, before)
        if not portion:
            return removed
        removed += portion
