"""`clearance rejected`: which requests were refused at the door, and why."""

import click

from clearance.ledger import rejections
from config import settings
from workers import wiring
from workers.commands.listing import json_option, show_all

_COLUMNS = ("at", "route", "status", "reason", "detail", "body_bytes")


@click.group()
def rejected() -> None:
    """Requests that were refused at the door."""


@rejected.command("list")
@click.option("--last", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@json_option
def rejected_list(last: int, as_json: bool) -> None:
    """List the newest refused requests, newest first, without their content."""
    ledger = wiring.ledger(settings.load())
    with ledger.read() as connection:
        found = rejections.newest(connection, last)
    rows = [
        {
            "at": item.at.isoformat(timespec="milliseconds"),
            "route": item.route,
            "status": item.status,
            "reason": item.reason,
            "detail": item.detail,
            "body_bytes": item.body_bytes,
        }
        for item in found
    ]
    show_all(_COLUMNS, rows, as_json)
