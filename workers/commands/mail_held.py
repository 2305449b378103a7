"""`clearance mail held`: batches of which nobody knows whether they were posted, and a person's decision about them.

Nothing posts them again by itself: a repeat may print every letter twice. Exit codes: 0 done, 1 the ledger is away, the
batch is not held, or the operator did not want it after all, 2 the settings or the arguments are wrong.
"""

import json
from collections.abc import Iterator
from datetime import datetime

import click

from clearance.clock import utc_now
from clearance.ledger import mail_held, mail_reads
from clearance.ledger.mail_reads import ShownBatch
from clearance.mail_states import BatchState, HeldReason, Resolution
from config import settings
from workers import connections
from workers.commands.countdown import countdown, exact, moment
from workers.commands.listing import json_option, printable, show_all
from workers.commands.mail_facts import batch_facts, held_meaning, held_since
from workers.commands.reasons import REASON
from workers.commands.who import operator
from workers.mail_plan import feedback

EXIT_NOT_DONE = 1
_COLUMNS = ("batch", "automation", "letters", "since", "age", "reason", "status", "error")
# Certain not to have been posted: to post them again prints nothing twice.
_NOT_POSTED = {HeldReason.REFUSED_AS_A_WHOLE.value, HeldReason.AUTOMATION_UNKNOWN.value}


@click.group()
def held() -> None:
    """Batches that wait for a person: whether their letters were posted is not known."""


@held.command("list")
@click.option("--after", default="", metavar="ID", help="Go on after this batch.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@json_option
def held_list(after: str, limit: int, as_json: bool) -> None:
    """List held batches, the oldest first: since when, why, and how many letters."""
    ledger = connections.ledger(settings.load())
    with ledger.read() as connection:
        found = mail_reads.held(connection, after_id=after, limit=limit + 1)
    if not found and not as_json:
        click.echo("no batch is held", err=True)
        return
    now = utc_now()
    rows = [_facts(each, now) if as_json else _row(each, now) for each in found[:limit]]
    show_all(_COLUMNS, rows, as_json, whole=("batch",))
    if len(found) > limit:
        click.echo(f"there are more: --after {found[limit - 1].batch_id}", err=True)
    if not as_json:
        click.echo("decide: clearance mail held resolve ID (--posted|--repost|--drop) --why TEXT", err=True)


@held.command("resolve")
@click.argument("batch_id", metavar="ID")
@click.option("--posted", "how", flag_value="posted", help="Optilyz has the letters: they count as posted.")
@click.option("--repost", "how", flag_value="repost", help="Optilyz does not have them: post them.")
@click.option("--drop", "how", flag_value="drop", help="Give them up.")
@click.option("--why", required=True, type=REASON, help="Kept for the audit: how you know.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def held_resolve(
    ctx: click.Context, *, batch_id: str, how: str | None, why: str, yes: bool, as_json: bool
) -> None:
    """Decide about the held batch ID, once you know from Optilyz what it has. Says what will happen, and asks."""
    if how is None:
        raise click.UsageError("say what is the case: --posted, --repost or --drop")
    here = settings.load()
    ledger = connections.ledger(here)
    with ledger.read() as connection:
        batch = mail_reads.batch(connection, batch_id)
    if batch is None:
        click.echo(f"no batch is called {printable(batch_id)}", err=True)
        ctx.exit(EXIT_NOT_DONE)
    if batch.state is not BatchState.HELD:
        click.echo(printable(_not_held(batch)), err=True)
        ctx.exit(EXIT_NOT_DONE)
    resolution = Resolution(how)
    now = utc_now()
    for line in _told_first(batch, resolution, now):
        click.echo(printable(line), err=True)
    if not yes:
        click.confirm("Do it?", abort=True, err=True)
    with ledger.write() as connection:
        resolved = mail_held.resolve(
            connection,
            batch.batch_id,
            how=resolution,
            who=operator(),
            why=why,
            now=utc_now(),
            feedback=feedback(here),
        )
    if not resolved.is_resolved:
        by = f" by {resolved.resolved_by}, as {resolved.resolved_as}" if resolved.resolved_by else ""
        click.echo(printable(f"it was resolved meanwhile{by}: nothing was done"), err=True)
        ctx.exit(EXIT_NOT_DONE)
    if as_json:
        told = {"batch_id": batch.batch_id, "resolved_as": resolution.value, "letters": resolved.recipients}
        click.echo(json.dumps(told))
        return
    click.echo(f"{_DONE[resolution]}: {resolved.recipients}")


_DONE = {
    Resolution.POSTED: "letters that count as posted",
    Resolution.REPOST: "letters that will be posted again",
    Resolution.DROP: "letters dropped",
}


def _told_first(batch: ShownBatch, resolution: Resolution, now: datetime) -> Iterator[str]:
    """What is known, what will happen, and what is risked."""
    since = held_since(batch)
    yield f"batch {batch.batch_id} of automation {batch.automation_id}, letters: {batch.recipients}"
    yield f"held since {exact(since)} UTC, {countdown(since, now)}: {batch.reason}"
    yield f"  {held_meaning(batch)}" + (f" ({batch.error})" if batch.error else "")
    yield from _CONSEQUENCES[resolution]
    yield f"risk: {_risk(batch, resolution)}"


_CONSEQUENCES = {
    Resolution.POSTED: ("--posted: the letters count as posted, without Optilyz' ids.",),
    Resolution.REPOST: ("--repost: the letters are posted, at the next free slot.",),
    Resolution.DROP: (
        "--drop: the letters are given up. The same letter is taken again if it is sent again.",
    ),
}


def _risk(batch: ShownBatch, resolution: Resolution) -> str:
    if batch.reason in _NOT_POSTED:
        return _RISK_IF_NOT_POSTED[resolution]
    return _RISK_IF_NOT_KNOWN[resolution]


_RISK_IF_NOT_KNOWN = {
    Resolution.POSTED: "if Optilyz does not have them, they are never printed.",
    Resolution.REPOST: "if Optilyz has them, they are printed and paid for twice.",
    Resolution.DROP: "if Optilyz has them, they are printed all the same; if not, never.",
}
_RISK_IF_NOT_POSTED = {
    Resolution.POSTED: "Optilyz did not take them: they are never printed.",
    Resolution.REPOST: "none is printed twice; what caused the refusal must be mended, or it is held again.",
    Resolution.DROP: "they are never printed.",
}


def _not_held(batch: ShownBatch) -> str:
    if batch.resolved_by and batch.resolved_at:
        at = exact(batch.resolved_at)
        return (
            f"batch {batch.batch_id} is {batch.state}: {batch.resolved_by} resolved it"
            f" as {batch.resolved_as}, {at} UTC"
        )
    return f"batch {batch.batch_id} is {batch.state}, not held: there is nothing to decide"


def _facts(batch: ShownBatch, now: datetime) -> dict[str, object]:
    held_s = round((now - held_since(batch)).total_seconds(), 3)
    return batch_facts(batch) | {"held_s": held_s, "meaning": held_meaning(batch)}


def _row(batch: ShownBatch, now: datetime) -> dict[str, object]:
    since = held_since(batch)
    return {
        "batch": batch.batch_id,
        "automation": batch.automation_id,
        "letters": batch.recipients,
        "since": moment(since, now),
        "age": countdown(since, now),
        "reason": batch.reason,
        "status": batch.status,
        "error": batch.error,
    }
