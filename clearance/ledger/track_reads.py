"""What operators see of what Bloomreach is told. Each function takes a connection and changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, func, select

from clearance.bloomreach.commands import CommandName, CommandState
from clearance.ledger.mail_tables import track_commands


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandCount:
    """How many commands are in a state, and since when the oldest of them exists."""

    state: CommandState
    commands: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCommand:
    """One command.

    Attributes:
        about: The recipient that it is about, or the delivery of a mailing state.
        unconfirmed: How often it was sent without its being known whether it arrived.
        data: Its body, with the customer's ids; None once Bloomreach has taken it.
    """

    command_id: str
    batch_id: str
    state: CommandState
    name: CommandName
    about: str
    created_at: datetime
    finished_at: datetime | None
    unconfirmed: int
    reason: str | None
    error: str | None
    trace_id: str
    data: Mapping[str, Any] | None


def counts(connection: Connection) -> list[CommandCount]:
    """Every state that a command is in, by name."""
    return [
        CommandCount(state=CommandState(row.state), commands=row.commands, oldest_at=row.oldest_at)
        for row in connection.execute(_COUNTS)
    ]


def listed(
    connection: Connection, state: CommandState, *, after_id: str = "", limit: int = 100
) -> list[ShownCommand]:
    """A page of the commands in a state, the oldest first; the next begins after the last of this one."""
    rows = connection.execute(_PAGE, {"state": state.value, "after": after_id, "limit": limit})
    return [_shown(row) for row in rows]


def about(connection: Connection, recipient_id: str) -> Sequence[ShownCommand]:
    """What Bloomreach is told of one recipient, the oldest first."""
    return [_shown(row) for row in connection.execute(_ABOUT, {"about": recipient_id})]


def _shown(row: Row[Any]) -> ShownCommand:
    return ShownCommand(
        command_id=row.id,
        batch_id=row.batch_id,
        state=CommandState(row.state),
        name=CommandName(row.name),
        about=row.about,
        created_at=row.created_at,
        finished_at=row.finished_at,
        unconfirmed=row.attempts,
        reason=row.reason,
        error=row.error,
        trace_id=row.trace_id,
        data=orjson.loads(row.data) if row.data else None,
    )


_COUNTS = (
    select(
        track_commands.c.state,
        func.count().label("commands"),
        func.min(track_commands.c.created_at).label("oldest_at"),
    )
    .group_by(track_commands.c.state)
    .order_by(track_commands.c.state)
)
_PAGE = (
    select(track_commands)
    .where(track_commands.c.state == bindparam("state"), track_commands.c.id > bindparam("after"))
    .order_by(track_commands.c.id)
    .limit(bindparam("limit"))
)
_ABOUT = (
    select(track_commands).where(track_commands.c.about == bindparam("about")).order_by(track_commands.c.id)
)
