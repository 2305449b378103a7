"""How much of mail is unfinished: what waits, what is held, what Bloomreach is still to be told.

Read every few seconds. Each statement goes through what is unfinished, by an index: not through what ever was.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from clearance.bloomreach.commands import CommandState
from clearance.ledger import mail_reads
from clearance.ledger.mail_tables import UNFINISHED_BATCH, mail_batches, track_commands
from clearance.mail_states import BatchState


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLevel:
    """What waits for a person. `oldest_at`: since when the oldest does; None when nothing does."""

    batches: int
    letters: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailLevels:
    """What is unfinished. Rehearsals do not count.

    Attributes:
        waiting: Letters in batches that are not posted yet.
        oldest_waiting_at: When the first of these batches was opened.
        open_commands: What Bloomreach is still to be told.
        parked_commands: What it did not take.
    """

    waiting: int
    oldest_waiting_at: datetime | None
    held: HeldLevel
    open_commands: int
    parked_commands: int


def levels(connection: Connection) -> MailLevels:
    """All of it."""
    return MailLevels(
        waiting=connection.execute(_WAITING).scalar_one(),
        oldest_waiting_at=mail_reads.oldest_waiting_at(connection),
        held=held(connection),
        open_commands=_commands(connection, CommandState.OPEN),
        parked_commands=_commands(connection, CommandState.PARKED),
    )


def held(connection: Connection) -> HeldLevel:
    """What waits for a person."""
    row = connection.execute(_HELD).one()
    return HeldLevel(batches=row.batches, letters=row.letters, oldest_at=row.oldest_at)


def _commands(connection: Connection, state: CommandState) -> int:
    found: int = connection.execute(_COMMANDS, {"state": state.value}).scalar_one()
    return found


_WAITING = select(func.coalesce(func.sum(mail_batches.c.recipients), 0)).where(
    UNFINISHED_BATCH, mail_batches.c.is_dry_run.is_(False)
)
_HELD = select(
    func.count().label("batches"),
    func.coalesce(func.sum(mail_batches.c.recipients), 0).label("letters"),
    func.min(mail_batches.c.answered_at).label("oldest_at"),
).where(mail_batches.c.state == BatchState.HELD.value)
_COMMANDS = (
    select(func.count()).select_from(track_commands).where(track_commands.c.state == bindparam("state"))
)
