"""`clearance mail`: letters, the batches in which they are posted, and what waits for a person.

Addresses are personal data, and what a terminal shows is kept by terminals and their logs: no listing has them. They
are told for one letter with `--address`, and in the export of those that failed. Exit codes: 0 (also when there are
none), 1 the ledger is away or knows no such letter, 2 the settings or the arguments are wrong.
"""

import json
from datetime import datetime

import click

from clearance.clock import utc_now
from clearance.ledger import mail_reads
from clearance.mail_states import BatchState, RecipientState
from config import settings
from workers import connections
from workers.commands.listing import json_option, printable, show_all
from workers.commands.mail_facts import (
    BATCH_COLUMNS,
    RECIPIENT_COLUMNS,
    batch_facts,
    batch_row,
    recipient_facts,
    recipient_row,
)
from workers.commands.mail_failed import failed
from workers.commands.mail_feedback import feedback
from workers.commands.mail_held import held
from workers.commands.mail_status import status
from workers.commands.mail_story import facts_of, lines_of, story_of
from workers.commands.moments import MOMENT

EXIT_NOT_KNOWN = 1
_LIMIT = click.IntRange(1, 10_000)


@click.group()
def mail() -> None:
    """Letters: what became of each, the batches they are posted in, and what waits for a person."""


mail.add_command(status)
mail.add_command(held)
mail.add_command(failed)
mail.add_command(feedback)


@mail.command("list")
@click.option("--automation", metavar="ID", help="Only of this automation.")
@click.option("--state", type=click.Choice([each.value for each in RecipientState]), help="Only those.")
@click.option("--since", type=MOMENT, help="Only received from then on; UTC unless it has an offset.")
@click.option("--before", metavar="ID", help="Go on after this letter, the last of the page before.")
@click.option("--limit", default=100, show_default=True, type=_LIMIT, help="How many.")
@json_option
def mail_list(
    *,
    automation: str | None,
    state: str | None,
    since: datetime | None,
    before: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List letters, the newest first, without addresses."""
    ledger = connections.ledger(settings.load())
    with ledger.read() as connection:
        found = mail_reads.recipients(
            connection,
            automation_id=automation,
            state=RecipientState(state) if state else None,
            since=since,
            before_id=before,
            limit=limit + 1,
        )
    if not found and not as_json:
        click.echo("there are no such letters", err=True)
        return
    now = utc_now()
    rows = [recipient_facts(each) if as_json else recipient_row(each, now) for each in found[:limit]]
    show_all(RECIPIENT_COLUMNS, rows, as_json, whole=("letter",))
    if len(found) > limit:
        click.echo(f"there are more: --before {found[limit - 1].recipient_id}", err=True)


@mail.command("show")
@click.argument("recipient_id", metavar="ID")
@click.option("--address", is_flag=True, help="Also print the address, while it is kept: personal data.")
@json_option
@click.pass_context
def mail_show(ctx: click.Context, recipient_id: str, address: bool, as_json: bool) -> None:
    """Tell the story of the letter ID: received, posted, answered, and what Bloomreach was told.

    Without --address its address is not shown: what a terminal prints is kept by terminals and their logs.
    """
    ledger = connections.ledger(settings.load())
    with ledger.read() as connection:
        story = story_of(connection, recipient_id)
    if story is None:
        click.echo(f"no letter is called {printable(recipient_id)}", err=True)
        ctx.exit(EXIT_NOT_KNOWN)
    if as_json:
        click.echo(json.dumps(facts_of(story, with_address=address)))
        return
    for line in lines_of(story, utc_now(), with_address=address):
        click.echo(printable(line))


@mail.command("batches")
@click.option("--automation", metavar="ID", help="Only of this automation.")
@click.option("--state", type=click.Choice([each.value for each in BatchState]), help="Only those.")
@click.option("--before", metavar="ID", help="Go on after this batch, the last of the page before.")
@click.option("--limit", default=50, show_default=True, type=_LIMIT, help="How many.")
@json_option
def mail_batches(
    *, automation: str | None, state: str | None, before: str | None, limit: int, as_json: bool
) -> None:
    """List batches, the newest first: each is one request to Optilyz."""
    ledger = connections.ledger(settings.load())
    with ledger.read() as connection:
        found = mail_reads.batches(
            connection,
            automation_id=automation,
            state=BatchState(state) if state else None,
            before_id=before,
            limit=limit + 1,
        )
    if not found and not as_json:
        click.echo("there are no such batches", err=True)
        return
    now = utc_now()
    rows = [batch_facts(each) if as_json else batch_row(each, now) for each in found[:limit]]
    show_all(BATCH_COLUMNS, rows, as_json, whole=("batch",))
    if len(found) > limit:
        click.echo(f"there are more: --before {found[limit - 1].batch_id}", err=True)
