"""`clearance mail failed`: letters that were not posted, and the list of addresses that somebody has to check.

Failed are those that Optilyz refused, those that were refused at the door (of which no address is kept: it was not read
as one), and those whose address is suppressed.

Exit codes: 0 (also when there are none), 1 the ledger is away, 2 the settings or the arguments are wrong, or the file
exists.
"""

import csv
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TextIO

import click

from clearance.clock import utc_now
from clearance.ledger import mail_reads, operator_actions
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_reads import ShownRecipient
from config import settings
from workers import connections
from workers.commands.listing import json_option, show_all
from workers.commands.mail_csv import Columns
from workers.commands.mail_facts import RECIPIENT_COLUMNS, recipient_facts, recipient_row, said
from workers.commands.moments import MOMENT
from workers.commands.who import action

_PAGE = 1_000
_OWNER_ONLY = 0o600

_automation = click.option("--automation", metavar="ID", help="Only of this automation.")
_since = click.option("--since", type=MOMENT, help="Only received from then on; UTC unless it has an offset.")


@click.group()
def failed() -> None:
    """Letters that were refused, by Optilyz or at the door, or suppressed: whose address to check, and why."""


@failed.command("list")
@_automation
@_since
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@json_option
def failed_list(automation: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List failed letters, the oldest first, with what was said of them: Optilyz may quote an address."""
    ledger = connections.ledger(settings.load())
    found = list(islice(_failed(ledger, automation, since), limit + 1))
    if not found and not as_json:
        click.echo("no letter has failed", err=True)
        return
    now = utc_now()
    rows = [
        (recipient_facts(each) if as_json else recipient_row(each, now)) | said(each)
        for each in found[:limit]
    ]
    show_all((*RECIPIENT_COLUMNS, "error"), rows, as_json, whole=("letter",))
    if len(found) > limit:
        click.echo(
            f"there are more than {limit}: --since, --limit, or clearance mail failed export", err=True
        )


@failed.command("export")
@click.option("--csv", "as_csv", is_flag=True, default=True, help="The format; CSV is the only one.")
@_automation
@_since
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file, readable by you alone; without it, standard output.",
)
def failed_export(
    as_csv: bool,  # noqa: ARG001 - said for whoever reads the script
    automation: str | None,
    since: datetime | None,
    output: Path | None,
) -> None:
    """Export failed letters with their addresses, as far as these are kept: personal data. Kept for the audit.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    here = settings.load()
    ledger = connections.ledger(here)
    columns = Columns(field.partition("=")[2] for field in here.optilyz_id_fields)
    letters = _failed(ledger, automation, since)
    if output is None:
        exported, without = _written(sys.stdout, columns, letters)
    else:
        exported, without = _written_to_file(output, columns, letters)
    record = action("mail.failed.export", automation or "all", utc_now(), count=exported)
    with ledger.write() as connection:
        operator_actions.record(connection, record)
    gone = f", {without} without an address: refused at the door, or past its retention" if without else ""
    click.echo(f"exported {exported} letters{gone}", err=True)


def _failed(ledger: Ledger, automation: str | None, since: datetime | None) -> Iterator[ShownRecipient]:
    """A page a transaction: however many there are, neither memory nor the database is held up."""
    after_id = ""
    while True:
        with ledger.read() as connection:
            page = mail_reads.failed(
                connection, automation_id=automation, since=since, after_id=after_id, limit=_PAGE
            )
        yield from page
        if len(page) < _PAGE:
            return
        after_id = page[-1].recipient_id


def _written_to_file(path: Path, columns: Columns, letters: Iterator[ShownRecipient]) -> tuple[int, int]:
    """A file that is not complete does not stay."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        raise click.BadParameter("exists: it is not overwritten", param_hint="--output") from None
    except OSError as error:
        raise click.BadParameter(error.strerror or "cannot be written", param_hint="--output") from None
    try:
        # With its mark, so that spreadsheets take it for UTF-8.
        with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as file:
            return _written(file, columns, letters)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _written(file: TextIO, columns: Columns, letters: Iterator[ShownRecipient]) -> tuple[int, int]:
    """How many letters there are, and how many of them without an address."""
    writer = csv.writer(file)
    writer.writerow(columns.header)
    exported, without = 0, 0
    for letter in letters:
        writer.writerow(columns.row(letter))
        exported += 1
        without += letter.payload is None
    return exported, without
