"""`clearance audit`: what operators did, and why.

Kept is what changed something: what was replayed, held and discarded, held letters resolved, lanes paused and resumed,
customers put on lists and taken off, addresses suppressed and cleared, addresses exported, customers forgotten. Exit
codes: 0 (also when there is nothing), 1 the ledger is away, 2 the settings or the arguments are wrong.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import click

from clearance.clock import utc_now
from clearance.ledger import operator_actions
from clearance.ledger.engine import Ledger
from clearance.ledger.operator_actions import OperatorAction
from config import settings
from workers.commands import ledger_here
from workers.commands.countdown import countdown, iso, moment
from workers.commands.listing import json_option, show_all
from workers.commands.moments import MOMENT

_COLUMNS = ("at", "age", "who", "action", "subject", "count", "why")
_PAGE = 500


@click.command()
@click.option("--subject", metavar="ID", help="Only of this batch, recipient, lane, list or customer.")
@click.option("--since", type=MOMENT, help="Only from then on; UTC unless it has an offset.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@json_option
def audit(subject: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List what operators did, the newest first: who, when, to what, and why."""
    ledger = ledger_here.ledger(settings.load())
    found = list(islice(_newest(ledger, subject, since), limit))
    if not found and not as_json:
        click.echo("operators did no such thing", err=True)
        return
    now = utc_now()
    rows = [_facts(each) if as_json else _row(each, now) for each in found]
    show_all(_COLUMNS, rows, as_json, whole=("subject",))


def _newest(ledger: Ledger, subject: str | None, since: datetime | None) -> Iterator[OperatorAction]:
    """A page a transaction, back to `since`."""
    before_id: str | None = None
    while True:
        with ledger.read() as connection:
            page = operator_actions.listed(connection, subject=subject, before_id=before_id, limit=_PAGE)
        for each in page:
            if since is not None and each.at < since:
                return
            yield each
        if len(page) < _PAGE:
            return
        before_id = page[-1].action_id


def _facts(action: OperatorAction) -> dict[str, object]:
    return {
        "id": action.action_id,
        "at": iso(action.at),
        "who": action.who,
        "action": action.action,
        "subject": action.subject,
        "count": action.count,
        "why": action.why,
    }


def _row(action: OperatorAction, now: datetime) -> dict[str, object]:
    return {
        "at": moment(action.at, now),
        "age": countdown(action.at, now),
        "who": action.who,
        "action": action.action,
        "subject": action.subject,
        "count": action.count,
        "why": action.why,
    }
