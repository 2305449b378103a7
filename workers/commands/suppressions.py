"""`clearance suppressions`: who must not get a campaign, by list, for the checks that name one.

Exit codes: 0 done (what was so already is no error), 1 the ledger is away or a file has bad lines, 2 the settings or
the arguments are wrong.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path

import click
from sqlalchemy import Connection

from clearance.clock import utc_now
from clearance.ledger import address_suppressions, operator_actions
from clearance.ledger import suppressions as ledger_lists
from clearance.ledger.engine import Ledger
from clearance.ledger.operator_actions import OperatorAction
from clearance.ledger.suppressions import LIST_NAME_PATTERN, Added, Suppression
from config import settings
from config.settings import Settings
from workers.commands import ledger_here
from workers.commands.customer_id import CustomerId
from workers.commands.listing import json_option, printable, show_all
from workers.commands.reasons import REASON
from workers.commands.suppression_file import BadLine, Entry, lines_of, note_of, until_of
from workers.commands.suppressions_addresses import addresses
from workers.commands.who import action, operator

EXIT_BAD_LINES = 1
# Lines of one transaction: about ten milliseconds in which nobody else writes to SQLite.
_PORTION = 1_000
# Portions: an operator sees that a million lines go on.
_TOLD_EVERY = 100


class _ListName(click.ParamType[str]):
    name = "list"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(LIST_NAME_PATTERN, value):
            self.fail("a list's name is 1 to 64 of a-z, 0-9 and -", param, ctx)
        return value


class _Until(click.ParamType[datetime | None]):
    name = "date"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | None:
        if isinstance(value, datetime):
            return value
        try:
            until = until_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if until is not None and until <= utc_now():
            self.fail("until: is past already", param, ctx)
        return until


_LIST, _CUSTOMER = _ListName(), CustomerId()


@click.group()
def suppressions() -> None:
    """Lists of customers who must not get a campaign; and addresses that get no letter."""


suppressions.add_command(addresses)


@suppressions.command()
@click.argument("list_name", metavar="LIST", type=_LIST)
@click.argument("customers", metavar="CUSTOMER...", nargs=-1, required=True, type=_CUSTOMER)
@click.option("--note", default="", help="Why; shown in listings.")
@click.option(
    "--until", type=_Until(), help="The last day (UTC), or a time with its offset; without: for good."
)
def add(list_name: str, customers: tuple[str, ...], note: str, until: datetime | None) -> None:
    """Put each CUSTOMER on LIST. For one who is there, --until holds as it is told now."""
    try:
        checked_note = note_of(note)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--note") from None
    entries = [Entry(customer_id=each, note=checked_note, until=until) for each in dict.fromkeys(customers)]
    ledger = ledger_here.ledger(settings.load())
    _tell_if_new(ledger, list_name)
    with ledger.write() as connection:
        done = ledger_lists.add_many(connection, _suppressions(list_name, entries))
        _record(connection, action("suppressions.add", list_name, utc_now(), count=done.added + done.changed))
    click.echo(_told(done))


@suppressions.command()
@click.argument("list_name", metavar="LIST", type=_LIST)
@click.argument("customers", metavar="CUSTOMER...", nargs=-1, required=True, type=_CUSTOMER)
@click.option("--why", type=REASON, help="Kept for the audit; name nobody.")
def remove(list_name: str, customers: tuple[str, ...], why: str | None) -> None:
    """Take each CUSTOMER off LIST."""
    ledger = ledger_here.ledger(settings.load())
    with ledger.write() as connection:
        removed = ledger_lists.remove_many(connection, list_name, customers)
        _record(connection, action("suppressions.remove", list_name, utc_now(), count=len(removed), why=why))
    for customer_id in dict.fromkeys(customers):
        if customer_id not in removed:
            click.echo(f"not on {list_name}: {printable(customer_id)}", err=True)
    click.echo(f"removed {len(removed)}")


@suppressions.command("list")
@click.argument("list_name", metavar="[LIST]", required=False, type=_LIST)
@click.option(
    "--customer", type=_CUSTOMER, help="Only this customer; without LIST, every list that he is on."
)
@click.option("--after", default="", help="Go on after this customer id.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1), help="At most so many.")
@json_option
def list_(list_name: str | None, customer: str | None, after: str, limit: int, as_json: bool) -> None:
    """List who is on LIST, by customer id; without LIST, the lists there are."""
    now = utc_now()
    here = settings.load()
    ledger = ledger_here.ledger(here)
    with ledger.read() as connection:
        if customer is not None:
            _tell_addresses(connection, here, customer)
            of_customer = ledger_lists.of_customer(connection, customer)
            found = [each for each in of_customer if list_name in (None, each.list_name)]
        elif list_name is None:
            rows = [
                {"list": each.list_name, "customers": each.standing, "expired": each.expired}
                for each in ledger_lists.counts(connection, now)
            ]
            show_all(("list", "customers", "expired"), rows, as_json)
            return
        else:
            found = ledger_lists.listed(connection, list_name, after=after, limit=limit + 1)
    show_all(_COLUMNS, [_row(each, now) for each in found[:limit]], as_json)
    if len(found) > limit:
        click.echo(f"there are more: --after '{printable(found[limit - 1].customer_id)}'", err=True)


@suppressions.command("import")
@click.argument("file", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--list", "list_name", required=True, type=_LIST, help="The list to add to.")
@click.option("--skip-bad", is_flag=True, help="Import the good lines although there are bad ones.")
@click.pass_context
def import_(ctx: click.Context, file: Path, list_name: str, skip_bad: bool) -> None:
    """Add everybody in FILE.csv: a column customer_id, and if wanted note and until.

    The whole file is looked through first: with one bad line nothing is imported. A repeat changes nothing, also after
    an import that was interrupted.
    """
    ledger = ledger_here.ledger(settings.load())
    good, bad, spaced, is_readable = _looked_through(file)
    if bad and not (skip_bad and is_readable):
        click.echo(f"nothing imported: {bad} bad, {good} good", err=True)
        ctx.exit(EXIT_BAD_LINES)
    if spaced:
        click.echo(f"{spaced} customer ids begin or end with a space: they are kept as written", err=True)
    _tell_if_new(ledger, list_name)
    total, imported = Added(), action("suppressions.import", list_name, utc_now())
    for number, portion in enumerate(_portions(lines_of(file), is_any_bad_fine=skip_bad), 1):
        with ledger.write() as connection:
            done = ledger_lists.add_many(connection, _suppressions(list_name, portion))
            _record(connection, replace(imported, count=done.added + done.changed))
        total = Added(
            added=total.added + done.added,
            changed=total.changed + done.changed,
            unchanged=total.unchanged + done.unchanged,
        )
        if number % _TOLD_EVERY == 0:
            click.echo(f"{total.added + total.changed + total.unchanged} of {good}", err=True)
    click.echo(_told(total) + (f", skipped {bad} bad" if bad else ""))


_COLUMNS = ("list", "customer_id", "stands", "until", "note", "added_at", "added_by")


def _looked_through(file: Path) -> tuple[int, int, int, bool]:
    """How many lines are good and how many bad, how many ids have spaces around them, and if there is a header."""
    good, bad, spaced, is_readable = 0, 0, 0, True
    for line in lines_of(file):
        if isinstance(line, BadLine):
            click.echo(f"{printable(str(file))}:{line.line}: {line.told}", err=True)
            bad += 1
            is_readable = is_readable and not line.is_header
            continue
        good += 1
        spaced += line.customer_id != line.customer_id.strip()
    return good, bad, spaced, is_readable


def _portions(lines: Iterator[Entry | BadLine], *, is_any_bad_fine: bool) -> Iterator[list[Entry]]:
    while portion := list(islice(lines, _PORTION)):
        entries = [line for line in portion if isinstance(line, Entry)]
        if len(entries) < len(portion) and not is_any_bad_fine:
            raise click.ClickException("the file has changed while it was read: import it again")
        if entries:
            yield entries


def _suppressions(list_name: str, entries: Iterable[Entry]) -> list[Suppression]:
    now, who = utc_now(), operator()
    return [
        Suppression(
            list_name=list_name,
            customer_id=entry.customer_id,
            added_at=now,
            added_by=who,
            note=entry.note,
            until=entry.until,
        )
        for entry in entries
    ]


def _record(connection: Connection, done: OperatorAction) -> None:
    """By list and number: whom it was about is on the list, with who put him there, and nowhere once he is off it."""
    if done.count:
        operator_actions.record_portion(connection, done)


def _tell_if_new(ledger: Ledger, list_name: str) -> None:
    with ledger.read() as connection:
        is_known = ledger_lists.is_known(connection, list_name)
    if not is_known:
        click.echo(f"{list_name} is a new list: it counts once a check of the rules names it", err=True)


def _tell_addresses(connection: Connection, here: Settings, customer: str) -> None:
    """Letters know a customer by Bloomreach's ids, which may or may not be those of the lists."""
    for field in here.optilyz_id_fields:
        kind = field.partition("=")[2]
        keys = address_suppressions.customer_keys({kind: customer})
        if keys != [""] and address_suppressions.listed(connection, customer_key=keys[0], limit=1):
            whose = printable(f"{kind}:{customer}")
            told = f"clearance suppressions addresses list --customer '{whose}'"
            click.echo(f"addresses of {whose} are suppressed, too: {told}", err=True)


def _told(done: Added) -> str:
    return f"added {done.added}, changed {done.changed}, already there {done.unchanged}"


def _row(item: Suppression, now: datetime) -> dict[str, object]:
    return {
        "list": item.list_name,
        "customer_id": item.customer_id,
        "stands": item.until is None or item.until > now,
        "until": item.until.isoformat() if item.until else None,
        "note": item.note,
        "added_at": item.added_at.isoformat(timespec="milliseconds"),
        "added_by": item.added_by,
    }
