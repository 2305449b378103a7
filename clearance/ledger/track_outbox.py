"""How Bloomreach comes to be owed a command: rows and their obligations, in the transaction of what caused them.

A command with a key is kept once, whoever adds it again and however many processes do so at once. What is added
together leaves together, in batches of what one call may hold; each batch is one obligation of the track lane.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import orjson
from sqlalchemy import Connection, bindparam, select

from clearance.bloomreach.commands import Command, CommandState
from clearance.identifiers import new_id
from clearance.ledger import obligations
from clearance.ledger.insert_new import insert_new
from clearance.ledger.mail_tables import track_commands
from clearance.ledger.portions import portions
from clearance.obligations import Lane, Obligation, ObligationId

TASK = "clearance.track.send"
# Source: facts sheet, "Bloomreach Tracking API v2": 1 to 50 commands a call.
MOST_COMMANDS = 50
# What Bloomreach is told is not worth less later; but every obligation has a deadline.
_NEVER = timedelta(days=3650)


def add(
    connection: Connection, commands: Sequence[Command], *, now: datetime, trace_id: str
) -> tuple[Obligation, ...]:
    """Owe these commands from now on. Those whose key is known already, or comes twice here, are not added again.

    Returns:
        One obligation for each batch. The guardian publishes them at its next look; nobody else has to.
    """
    rows = [_row(command, now=now, trace_id=trace_id) for command in _once(_unknown(connection, commands))]
    batch_ids = [new_id(now) for _ in range(0, len(rows), MOST_COMMANDS)]
    for place, row in enumerate(rows):
        row.update(batch_id=batch_ids[place // MOST_COMMANDS], position=place % MOST_COMMANDS)
    if not rows:
        return ()
    # In one order everywhere: of two who add the same keys at once, one waits for the other, and not both.
    connection.execute(_INSERT, sorted(rows, key=lambda row: str(row["dedupe_key"])))
    # Where another was faster with all of a batch, nothing is owed for it.
    added = {
        batch_id
        for portion in portions(batch_ids)
        for batch_id in connection.execute(_ADDED, {"batch_ids": portion}).scalars()
    }
    new = tuple(owed(each, now=now, trace_id=trace_id) for each in batch_ids if each in added)
    obligations.add_many(connection, new)
    return new


def owed(batch_id: str, *, now: datetime, trace_id: str) -> Obligation:
    """To send a batch, at once."""
    return Obligation(
        obligation_id=ObligationId(f"track.send:{batch_id}"),
        lane=Lane.TRACK,
        task=TASK,
        subject=batch_id,
        created_at=now,
        run_at=now,
        deadline_at=now + _NEVER,
        publish_at=now,
        trace_id=trace_id,
    )


def _unknown(connection: Connection, commands: Sequence[Command]) -> list[Command]:
    """Those that seem to be new: a delivery that is repeated is mostly known, and need not be written to find out."""
    keys = [command.dedupe_key for command in commands if command.dedupe_key is not None]
    known = {
        key for portion in portions(keys) for key in connection.execute(_KNOWN, {"keys": portion}).scalars()
    }
    return [command for command in commands if command.dedupe_key not in known]


def _once(commands: Sequence[Command]) -> list[Command]:
    seen: set[str] = set()
    kept: list[Command] = []
    for command in commands:
        if command.dedupe_key is None or command.dedupe_key not in seen:
            kept.append(command)
            seen.update([command.dedupe_key] if command.dedupe_key else [])
    return kept


def _row(command: Command, *, now: datetime, trace_id: str) -> dict[str, object]:
    empty: Mapping[str, object] = dict.fromkeys(column.name for column in track_commands.columns)
    return {
        **empty,
        "id": new_id(now),
        "state": CommandState.OPEN.value,
        "name": command.name.value,
        "about": command.about,
        "dedupe_key": command.dedupe_key,
        "created_at": now,
        "attempts": 0,
        "trace_id": trace_id,
        "data": orjson.dumps(command.data).decode(),
    }


_KNOWN = select(track_commands.c.dedupe_key).where(
    track_commands.c.dedupe_key.in_(bindparam("keys", expanding=True))
)
_INSERT = insert_new(track_commands)
_ADDED = (
    select(track_commands.c.batch_id)
    .where(track_commands.c.batch_id.in_(bindparam("batch_ids", expanding=True)))
    .distinct()
)
