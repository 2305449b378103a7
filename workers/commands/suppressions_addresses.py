"""`clearance suppressions addresses`: which addresses get no letter, for which customer, and why.

Listed are digests of addresses, and what Optilyz said of a letter, which may quote one. `clearance mail show` has the
address of that letter, while it is kept. Exit codes: 0 done (what was so already is no error), 1 the ledger is away or
knows no such letter, 2 the settings or the arguments are wrong.
"""

from datetime import datetime

import click

from clearance.clock import utc_now
from clearance.ledger import address_suppressions, operator_actions
from clearance.ledger.address_suppressions import AddressSuppression
from config import settings
from workers import connections
from workers.commands.countdown import countdown, iso, moment
from workers.commands.customer_id import refuse_unstorable
from workers.commands.listing import json_option, printable, show_all
from workers.commands.reasons import REASON
from workers.commands.who import action, operator

EXIT_NOT_KNOWN = 1
BY_PERSON = "BY_PERSON"
_COLUMNS = ("customer", "letter", "reason", "error", "added", "age", "by")
_WHY = click.option("--why", type=REASON, help="Kept for the audit.")


class _CustomerKey(click.ParamType[str]):
    name = "kind:id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, colon, own_id = value.partition(":")
        if not (kind and colon and own_id):
            self.fail("must be KIND:ID, as registered:anna@example.com", param, ctx)
        try:
            refuse_unstorable("it", value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        (key,) = address_suppressions.customer_keys({kind: own_id})
        return key or self.fail("no customer can have this id", param, ctx)


_CUSTOMER = _CustomerKey()


@click.group()
def addresses() -> None:
    """Addresses that get no letter, for a customer, until they change: refused by Optilyz, or by a person."""


@addresses.command("list")
@click.option("--customer", metavar="KIND:ID", type=_CUSTOMER, help="Only of this customer.")
@click.option("--after", nargs=2, default=("", ""), metavar="CUSTOMER KEY", help="Go on after this entry.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@json_option
def addresses_list(customer: str | None, after: tuple[str, str], limit: int, as_json: bool) -> None:
    """List suppressed addresses, by customer: by whom, why, and which letter it was."""
    ledger = connections.ledger(settings.load())
    with ledger.read() as connection:
        found = address_suppressions.listed(connection, customer_key=customer, after=after, limit=limit + 1)
    if not found and not as_json:
        click.echo("no address is suppressed" + (" for this customer" if customer else ""), err=True)
        return
    now = utc_now()
    rows = [_facts(each) if as_json else _row(each, now) for each in found[:limit]]
    show_all(_COLUMNS, rows, as_json, whole=("letter",))
    if len(found) > limit:
        last = found[limit - 1]
        click.echo(f"there are more: --after '{printable(last.customer_key)}' {last.address_key}", err=True)


@addresses.command("add")
@click.argument("recipient_id", metavar="LETTER")
@_WHY
@click.pass_context
def addresses_add(ctx: click.Context, recipient_id: str, why: str | None) -> None:
    """Post nothing any more to the address of LETTER, for its customer. Another address is posted to."""
    ledger = connections.ledger(settings.load())
    now = utc_now()
    with ledger.write() as connection:
        added = address_suppressions.suppress_recipient(
            connection, recipient_id, reason=BY_PERSON, who=operator(), now=now
        )
        if added:
            record = action("suppressions.addresses.add", recipient_id, now, count=added, why=why)
            operator_actions.record(connection, record)
    if added is None:
        click.echo(f"no letter with an address is called {printable(recipient_id)}", err=True)
        ctx.exit(EXIT_NOT_KNOWN)
    click.echo(f"suppressed {added}" + ("" if added else ": it was already"))


@addresses.command("clear")
@click.option("--customer", metavar="KIND:ID", type=_CUSTOMER, help="Every address of this customer.")
@click.option("--recipient", metavar="LETTER", help="The address of this letter, for its customer.")
@_WHY
def addresses_clear(customer: str | None, recipient: str | None, why: str | None) -> None:
    """Post to an address again: say whose with --customer, or which with --recipient.

    A customer who came with several ids has an entry for each: --recipient clears all of them.
    """
    if (customer is None) is (recipient is None):
        raise click.UsageError("say either --customer or --recipient")
    subject = customer or recipient or ""
    ledger = connections.ledger(settings.load())
    with ledger.write() as connection:
        cleared = address_suppressions.remove(connection, customer_key=customer, recipient_id=recipient)
        if cleared:
            record = action("suppressions.addresses.clear", subject, utc_now(), count=cleared, why=why)
            operator_actions.record(connection, record)
    click.echo(f"cleared {cleared}")


def _facts(item: AddressSuppression) -> dict[str, object]:
    return {
        "customer": item.customer_key or None,
        "address_key": item.address_key,
        "reason": item.reason,
        "error": item.error,
        "added_at": iso(item.added_at),
        "added_by": item.added_by,
        "recipient_id": item.recipient_id,
    }


def _row(item: AddressSuppression, now: datetime) -> dict[str, object]:
    return {
        "customer": item.customer_key or None,
        "letter": item.recipient_id,
        "reason": item.reason,
        "error": item.error,
        "added": moment(item.added_at, now),
        "age": countdown(item.added_at, now),
        "by": item.added_by,
    }
