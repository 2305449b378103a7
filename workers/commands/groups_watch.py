"""`clearance groups show ID --watch`: a group's page drawn anew every second until it ended.

On a terminal one page, elsewhere (a log) a line whenever something moved. It ends with the group, with Ctrl-C, and a
minute after a deadline that nobody records: somebody has to be told then, not kept waiting.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import click
from rich.console import Console
from rich.live import Live

from clearance.clock import Clock
from clearance.ledger.group_details import Details
from clearance.ledger.group_facts import GroupState
from workers.commands.groups_facts import details_facts
from workers.commands.groups_shown import progress_line, shown

LOOK_EVERY_S = 1.0
_GIVE_UP_AFTER = timedelta(minutes=1)

Look = Callable[[], Details]


def watch(look: Look, console: Console, *, as_json: bool, now: Clock, sleep: Callable[[float], None]) -> None:
    """Show a group until it ended, or the operator has seen enough."""
    # Ctrl-C is how one stops to watch, not a failure.
    with suppress(KeyboardInterrupt):
        if as_json:
            _print_changes(look, now, sleep)
        elif console.is_terminal:
            _draw(look, console, now, sleep)
        else:
            _print_lines(look, console, now, sleep)


def _draw(look: Look, console: Console, now: Clock, sleep: Callable[[float], None]) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for details in _looks(look, now, sleep):
            live.update(shown(details, now(), with_bars=True), refresh=True)


def _print_lines(look: Look, console: Console, now: Clock, sleep: Callable[[float], None]) -> None:
    before = None
    details = None
    for details in _looks(look, now, sleep):
        if details.standing != before:
            click.echo(progress_line(details.standing, now()))
        before = details.standing
    if details is not None:
        click.echo()
        console.print(shown(details, now(), with_bars=False))


def _print_changes(look: Look, now: Clock, sleep: Callable[[float], None]) -> None:
    """A JSON object a line whenever something moved."""
    before = None
    for details in _looks(look, now, sleep):
        if details != before:
            click.echo(json.dumps(details_facts(details, now())))
        before = details


def _looks(look: Look, now: Clock, sleep: Callable[[float], None]) -> Iterator[Details]:
    while True:
        details = look()
        yield details
        group = details.standing.group
        if group.state is not GroupState.OPEN:
            return
        if now() > group.deadline_at + _GIVE_UP_AFTER:
            click.echo("nobody has recorded how it ended: does a worker of the lane `submit` run?", err=True)
            return
        sleep(LOOK_EVERY_S)
