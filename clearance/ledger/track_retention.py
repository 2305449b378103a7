"""Which commands to Bloomreach are forgotten: those that have ended, taken or not, once retention is over.

With a command goes its key: what caused it may then cause it again.
"""

from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, func, select

from clearance.bloomreach.commands import CommandState
from clearance.ledger.mail_tables import track_commands

_PORTION = 1_000


def count_older(connection: Connection, before: datetime) -> int:
    """How many ended before that moment."""
    found: int = connection.execute(_COUNT_OLDER, {"before": before}).scalar_one()
    return found


def purge(connection: Connection, before: datetime, *, portion: int = _PORTION) -> int:
    """Forget what ended before that moment, at most `portion` of it.

    Returns:
        How many: repeat, each time in a transaction of its own, until it is 0.
    """
    return connection.execute(_PURGE, {"before": before, "portion": portion}).rowcount


_HAS_ENDED = track_commands.c.state.in_(
    [CommandState.SENT.value, CommandState.PARKED.value, CommandState.DISCARDED.value]
)
_IS_OLDER = and_(_HAS_ENDED, track_commands.c.finished_at < bindparam("before"))
_COUNT_OLDER = select(func.count()).select_from(track_commands).where(_IS_OLDER)
_PURGE = delete(track_commands).where(
    track_commands.c.id.in_(
        select(track_commands.c.id).where(_IS_OLDER).order_by(track_commands.c.id).limit(bindparam("portion"))
    )
)
