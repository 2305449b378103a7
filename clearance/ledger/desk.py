"""What waits for another try or for a person: which rows these are, and which of them somebody asks for.

On the desk are obligations that are to be tried again, parked, missed or held by an operator; commands to Bloomreach
that are parked; and batches of letters of which somebody has to say whether they were posted. An obligation to post
that is parked is not: its batch is.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, TextClause, and_, func, or_, text

from clearance.bloomreach.commands import CommandState
from clearance.ledger import mail_batches
from clearance.ledger.mail_tables import mail_batches as batches
from clearance.ledger.mail_tables import track_commands
from clearance.ledger.tables import ON_DESK, obligations
from clearance.mail_states import BatchState
from clearance.obligations import Lane, State

HELD_BY_OPERATOR = "HELD_BY_OPERATOR"
"""The reason of an obligation that is parked because a person said so."""


class Kind(StrEnum):
    """What a thing on the desk is."""

    OBLIGATION = "obligation"
    COMMAND = "command"
    BATCH = "batch"


class DeskState(StrEnum):
    """Why it is there."""

    RETRY = "retry"  # an attempt failed, and another is planned
    PARKED = "parked"  # a person must act first
    MISSED = "missed"  # its deadline is over
    HELD = "held"  # a person stopped it, or must say what became of it


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskFilter:
    """What is asked for; None does not matter.

    Attributes:
        since: Parked, missed or held from then on; what waits for a retry always counts.
    """

    lane: Lane | None = None
    state: DeskState | None = None
    reason: str | None = None
    since: datetime | None = None
    deadline_before: datetime | None = None


Conditions = list[ColumnElement[bool] | TextClause]


def of_obligations(wanted: DeskFilter) -> Conditions:
    """Which obligations are asked for."""
    table = obligations.c
    found: Conditions = [_ON_DESK, ~_IS_UP_TO_ITS_BATCH]
    if wanted.lane is not None:
        found.append(table.lane == wanted.lane.value)
    if wanted.state is not None:
        found.append(_OBLIGATION_IS[wanted.state])
    if wanted.reason is not None:
        found.append(table.reason == wanted.reason)
    if wanted.since is not None:
        found.append(or_(table.state == State.OPEN.value, table.finished_at >= wanted.since))
    if wanted.deadline_before is not None:
        found.append(table.deadline_at < wanted.deadline_before)
    return found


def of_commands(wanted: DeskFilter) -> Conditions | None:
    """Which commands to Bloomreach are asked for; None for none. They have no deadline."""
    if (
        wanted.lane not in (None, Lane.TRACK)
        or wanted.state not in (None, DeskState.PARKED)
        or wanted.deadline_before is not None
    ):
        return None
    found: Conditions = [track_commands.c.state == CommandState.PARKED.value]
    if wanted.reason is not None:
        found.append(track_commands.c.reason == wanted.reason)
    if wanted.since is not None:
        found.append(track_commands.c.finished_at >= wanted.since)
    return found


def of_batches(wanted: DeskFilter) -> Conditions | None:
    """Which batches of letters are asked for; None for none. They have no deadline."""
    if (
        wanted.lane not in (None, Lane.MAIL)
        or wanted.state not in (None, DeskState.HELD)
        or wanted.deadline_before is not None
    ):
        return None
    found: Conditions = [batches.c.state == BatchState.HELD.value]
    if wanted.reason is not None:
        found.append(batches.c.reason == wanted.reason)
    if wanted.since is not None:
        found.append(wanted.since <= HELD_SINCE)
    return found


HELD_SINCE = func.coalesce(batches.c.answered_at, batches.c.sent_at, batches.c.created_at)
"""Since when a batch waits for a person."""

# The index' own words, in brackets.
_ON_DESK = text(f"({ON_DESK.text})")
_IS_PARKED = obligations.c.state == State.PARKED.value
_IS_UP_TO_ITS_BATCH = and_(_IS_PARKED, obligations.c.task == mail_batches.POST)
_OBLIGATION_IS: dict[DeskState, ColumnElement[bool]] = {
    DeskState.RETRY: obligations.c.state == State.OPEN.value,
    DeskState.PARKED: and_(
        _IS_PARKED, or_(obligations.c.reason.is_(None), obligations.c.reason != HELD_BY_OPERATOR)
    ),
    DeskState.MISSED: obligations.c.state == State.MISSED.value,
    DeskState.HELD: and_(_IS_PARKED, obligations.c.reason == HELD_BY_OPERATOR),
}
