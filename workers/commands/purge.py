"""`clearance purge`: forget what retention says is to be forgotten.

Decisions, and what was sent, stay; what decisions were made from goes. Letters stay, their addresses go. Notifications
stay, what they said goes once nobody can answer them any more. Run it every night; while it runs, everything else does.
Exit codes: 0 done, 1 the ledger is away (repeat it), 2 the settings are wrong.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import click
from sqlalchemy import Connection

from clearance.clock import utc_now
from clearance.ledger import inputs, mail_retention, notification_retention, track_retention
from clearance.ledger.engine import Ledger
from config import settings
from config.settings import Settings
from workers.commands import ledger_here
from workers.commands.listing import json_option, show_all

_COLUMNS = ("what", "older_than", "found", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Retention:
    """What goes once it is older than `before`. `purge` removes a portion and says how many: until it is 0."""

    what: str
    before: datetime
    count: Callable[[Connection, datetime], int]
    purge: Callable[[Connection, datetime], int]


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count.")
@json_option
def purge(dry_run: bool, as_json: bool) -> None:
    """Remove what is past its retention.

    What notifications said that were not answered: once their deadline is over. What decisions were made from:
    CLEARANCE_INPUTS_RETENTION_DAYS. Addresses of letters that have ended, and what
    Bloomreach was told: CLEARANCE_MAIL_RETENTION_DAYS. What the same letter is recognised by: once its window is over.
    """
    here = settings.load()
    ledger = ledger_here.ledger(here)
    rows = []
    for each in _retentions(here, utc_now()):
        with ledger.read() as connection:
            found = each.count(connection, each.before)
        removed = 0 if dry_run else _removed(ledger, each)
        told = {"what": each.what, "older_than": each.before.isoformat(timespec="seconds")}
        rows.append(told | {"found": found, "removed": removed})
    show_all(_COLUMNS, rows, as_json)


def _retentions(here: Settings, now: datetime) -> Iterator[_Retention]:
    mail_before = now - timedelta(days=here.mail_retention_days)
    yield _Retention(
        what="notification_bodies",
        before=now,
        count=notification_retention.count_over,
        purge=notification_retention.purge,
    )
    yield _Retention(
        what="decision_inputs",
        before=now - timedelta(days=here.inputs_retention_days),
        count=inputs.count_older,
        purge=inputs.purge,
    )
    yield _Retention(
        what="mail_addresses",
        before=mail_before,
        count=mail_retention.count_older,
        purge=mail_retention.purge,
    )
    yield _Retention(
        what="mail_keys", before=now, count=mail_retention.count_keys, purge=mail_retention.purge_keys
    )
    yield _Retention(
        what="track_commands",
        before=mail_before,
        count=track_retention.count_older,
        purge=track_retention.purge,
    )


def _removed(ledger: Ledger, retention: _Retention) -> int:
    """How many went, a portion a transaction: between two of them everybody else may write."""
    removed = 0
    while True:
        with ledger.write() as connection:
            portion = retention.purge(connection, retention.before)
        if not portion:
            return removed
        removed += portion
