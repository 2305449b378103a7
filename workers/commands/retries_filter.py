"""Which of what waits is meant: the options that every command of the retries desk has."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from clearance.ledger.desk import DeskFilter, DeskState
from clearance.obligations import Lane
from workers.commands.moments import MOMENT

_Command = TypeVar("_Command", bound=Callable[..., Any])


def filter_options(command: _Command) -> _Command:
    """Which of what waits is meant."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


_FILTERS = (
    click.option("--lane", type=click.Choice([each.value for each in Lane]), help="Only of this lane."),
    click.option(
        "--state",
        type=click.Choice([each.value for each in DeskState]),
        help="Only those to be tried again, parked, missed, or held by an operator or for a decision.",
    ),
    click.option("--reason", metavar="CODE", help="Only for this reason, as listed."),
    click.option(
        "--since", type=MOMENT, help="Only parked, missed or held from then on; UTC unless it has an offset."
    ),
    click.option(
        "--deadline-before", type=MOMENT, help="Only with a deadline before; UTC unless it has an offset."
    ),
)


def wanted_by(
    *,
    lane: str | None,
    state: str | None,
    reason: str | None,
    since: datetime | None,
    deadline_before: datetime | None,
) -> DeskFilter:
    """The filter that was asked for."""
    return DeskFilter(
        lane=Lane(lane) if lane else None,
        state=DeskState(state) if state else None,
        reason=reason,
        since=since,
        deadline_before=deadline_before,
    )
