"""The commands `clearance optimove ...`: what an operator sets up at Optimove, once or while rotating a secret.

Exit codes: 0 done, 1 Optimove refused or could not be reached, 2 the settings or the arguments are wrong.
Changes are in `clearance audit`. Secrets are never printed, and neither are the values in a URL's query: a token may be
among them.
"""

import os
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import click

from clearance.clock import utc_now
from clearance.errors import LedgerUnavailable, Park, RetryLater
from clearance.ledger import operator_actions
from clearance.optimove.client import OptimoveClient
from clearance.optimove.replies import Listener, Webhook, WebhookSettings
from config import settings
from config.settings import Settings, SettingsError
from workers.commands import ledger_here
from workers.commands.listing import json_option, printable, show_all, show_one
from workers.commands.optimove_output import HIDDEN, shown, told
from workers.commands.who import action

EXIT_REFUSED, EXIT_SETTINGS = 1, 2
# Not among the settings: it is for one command, and on the command line every user of the machine could read it.
NEW_SECRET_VARIABLE = "OPTIMOVE_NEW_WEBHOOK_SECRET"  # noqa: S105  # the name of a variable, not a secret
V1_EVENT, V1_CANCEL_EVENT, V2_EVENT = "5", "4", "18"

_event_option = click.option(
    "--event",
    required=True,
    type=click.Choice([V1_EVENT, V1_CANCEL_EVENT, V2_EVENT]),
    help="5 for V1 campaigns and 4 for their cancellations, 18 for V2.",
)


class _Commands(click.Group):
    """Tells in one line what Optimove or the settings have against a command, and ends it with that exit code."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            click.echo("\n".join(error.problems), err=True)
            ctx.exit(EXIT_SETTINGS)
        except (RetryLater, Park) as error:
            click.echo(told(error), err=True)
            ctx.exit(EXIT_REFUSED)


@click.group(cls=_Commands)
def optimove() -> None:
    """Webhooks, settings and listeners at Optimove."""


@optimove.group()
def webhooks() -> None:
    """Where triggered notifications go: all of them go to each webhook."""


@webhooks.command("create")
@click.argument("url")
@json_option
def create_webhook(url: str, as_json: bool) -> None:
    """Send triggered notifications to URL too."""
    here = settings.load()
    webhook = _client(here).create_webhook(_checked(url))
    _record(here, "webhooks.create", webhook.id)
    show_one(_webhook_row(webhook), as_json)


@webhooks.command("list")
@json_option
def list_webhooks(as_json: bool) -> None:
    """The webhooks that there are."""
    show_all(("id", "url"), map(_webhook_row, _client(settings.load()).list_webhooks()), as_json)


@webhooks.command("get")
@click.argument("webhook_id", metavar="ID")
@json_option
def get_webhook(webhook_id: str, as_json: bool) -> None:
    """The webhook with this ID."""
    show_one(_webhook_row(_client(settings.load()).get_webhook(webhook_id)), as_json)


@webhooks.command("delete")
@click.argument("webhook_id", metavar="ID")
def delete_webhook(webhook_id: str) -> None:
    """Send nothing to the webhook with this ID any more."""
    here = settings.load()
    _client(here).delete_webhook(webhook_id)
    _record(here, "webhooks.delete", webhook_id)
    click.echo(f"deleted {printable(webhook_id)}")


@optimove.group("settings")
def tenant() -> None:
    """The response timeout and the secret that notifications are signed with."""


@tenant.command("show")
@json_option
def show_settings(as_json: bool) -> None:
    """What holds at Optimove."""
    here = settings.load()
    _show_settings(here, _client(here).get_settings(), as_json)


@tenant.command("set")
@click.option("--timeout-ms", type=click.IntRange(min=1), help="How long Optimove waits for an answer.")
@click.option(
    "--secret",
    "is_secret_set",
    is_flag=True,
    help=f"Set the secret: from {NEW_SECRET_VARIABLE}, or asked for.",
)
@json_option
def set_settings(timeout_ms: int | None, is_secret_set: bool, as_json: bool) -> None:
    """Change what holds at Optimove; what is not named is not sent."""
    if timeout_ms is None and not is_secret_set:
        raise click.UsageError("nothing to set: give --timeout-ms, --secret, or both")
    here = settings.load()
    client = _client(here)
    secret = _new_secret() if is_secret_set else None
    if secret is not None and secret not in here.optimove_webhook_secrets:
        click.echo(
            "this secret is not in CLEARANCE_OPTIMOVE_WEBHOOK_SECRETS here: an ingest without it refuses "
            "every notification",
            err=True,
        )
    found = client.update_settings(timeout_ms=timeout_ms, secret=secret)
    changed = [
        *([] if timeout_ms is None else [f"timeout {timeout_ms} ms"]),
        *([] if secret is None else ["secret"]),
    ]
    _record(here, "settings.set", ", ".join(changed))
    _show_settings(here, found, as_json)


@optimove.group()
def listeners() -> None:
    """Where notifications of scheduled campaigns go: one listener an event."""


@listeners.command("register")
@_event_option
@click.option("--url", required=True, help="With the listener's token, where one is set.")
def register_listener(event: str, url: str) -> None:
    """Send an event to a URL."""
    here = settings.load()
    _client(here).register_listener(int(event), _checked(url))
    _record(here, "listeners.register", f"event {event}")
    click.echo(f"event {event} goes to {shown(url)}")


@listeners.command("unregister")
@_event_option
def unregister_listener(event: str) -> None:
    """Send an event nowhere."""
    here = settings.load()
    _client(here).unregister_listener(int(event))
    _record(here, "listeners.unregister", f"event {event}")
    click.echo(f"event {event} goes nowhere")


@listeners.command("list")
@json_option
def list_listeners(as_json: bool) -> None:
    """The listeners that there are."""
    rows = map(_listener_row, _client(settings.load()).list_listeners())
    show_all(("event", "url"), rows, as_json)


def _client(here: Settings) -> OptimoveClient:
    from workers import wiring

    problems = [
        f"CLEARANCE_{name}: required by `clearance optimove`"
        for name, value in (
            ("OPTIMOVE_BASE_URL", here.optimove_base_url),
            ("OPTIMOVE_API_KEY", here.optimove_api_key),
        )
        if not value
    ]
    if problems:
        raise SettingsError(tuple(problems))
    try:
        return wiring.optimove_client(here, pool_size=1)
    except ValueError as error:
        raise SettingsError((f"CLEARANCE_OPTIMOVE_BASE_URL, CLEARANCE_OPTIMOVE_API_KEY: {error}",)) from None


def _record(here: Settings, command: str, subject: str) -> None:
    """Afterwards: what Optimove did not take has not happened, and what it took holds without our ledger, too."""
    try:
        with ledger_here.ledger(here).write() as connection:
            operator_actions.record(connection, action(f"optimove.{command}", subject, utc_now()))
    except LedgerUnavailable as error:
        click.echo(f"done at Optimove, but not on record for `clearance audit`: {error}", err=True)


def _new_secret() -> str:
    from_environment = os.environ.get(NEW_SECRET_VARIABLE)
    if from_environment:
        return from_environment
    asked: str = click.prompt("New secret", hide_input=True, confirmation_prompt=True, err=True)
    return asked


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.BadParameter("must be http(s)://host[:port]/path")
    return url


def _webhook_row(webhook: Webhook) -> dict[str, Any]:
    return asdict(webhook) | {"url": shown(webhook.url)}


def _listener_row(listener: Listener) -> dict[str, Any]:
    return {"event": listener.event_type_id, "url": shown(listener.url)}


def _show_settings(here: Settings, found: WebhookSettings, as_json: bool) -> None:
    show_one({"timeout_ms": found.timeout_ms, "secret": HIDDEN if found.has_secret else None}, as_json)
    if found.timeout_ms is not None and found.timeout_ms != here.triggered_timeout_ms:
        click.echo(f"CLEARANCE_TRIGGERED_TIMEOUT_MS is {here.triggered_timeout_ms} here", err=True)
    if not found.has_secret:
        click.echo("without a secret Optimove signs nothing, and ingest refuses every notification", err=True)
