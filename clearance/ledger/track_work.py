"""How a worker holds a batch of commands, and how what became of each is written with the end of its attempt.

A batch is loaded with what is still open of it: what was taken or parked in an earlier attempt is not sent again.
Of a command that Bloomreach has taken the data is emptied, which is personal; of one that is parked it is kept, for
whoever looks into it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Connection, bindparam, case, null, select, update

from clearance.bloomreach.commands import Command, CommandName, CommandState
from clearance.ledger import due, lane_pauses, obligations
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.mail_tables import track_commands
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.obligations import Claimed, ObligationId

_LONGEST_ERROR_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCommand:
    """One command that is to be sent.

    Attributes:
        unconfirmed: How often it was sent without its being known whether it arrived.
    """

    command_id: str
    command: Command
    unconfirmed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBatch:
    """A batch that this worker holds, with what is still open of it, in order."""

    claimed: Claimed
    commands: tuple[OpenCommand, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one command. `reason` is a code; `error` is what Bloomreach said of a parked one."""

    command_id: str
    state: CommandState
    reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEnd:
    """How an attempt ended.

    Attributes:
        settled: What became of its commands so far.
        unconfirmed: Those of which it is not known whether they arrived: still open.
        pause: If nobody is to go on for now.
    """

    finish: Finish
    settled: tuple[Settled, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    pause: LanePause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """An obligation for which there is no turn now: look at it again at `publish_at`."""

    obligation_id: ObligationId
    publish_at: datetime


def claim_many(connection: Connection, requests: Sequence[ClaimRequest]) -> list[CommandBatch | None]:
    """Hold batches; None for one that another holds, that is finished, or while the lane is paused."""
    claims = obligations.claim_many(connection, requests)
    by_batch: dict[str, list[OpenCommand]] = {claimed.subject: [] for claimed in claims if claimed}
    if by_batch:
        for row in connection.execute(_LOAD, {"batch_ids": sorted(by_batch)}):
            command = Command(
                name=CommandName(row.name),
                data=orjson.loads(row.data),
                about=row.about,
                dedupe_key=row.dedupe_key,
            )
            by_batch[row.batch_id].append(
                OpenCommand(command_id=row.id, command=command, unconfirmed=row.attempts)
            )
    return [
        CommandBatch(claimed=claimed, commands=tuple(by_batch[claimed.subject])) if claimed else None
        for claimed in claims
    ]


def put_back_many(connection: Connection, items: Sequence[PutBack]) -> list[None]:
    """Claim nothing now: waiting for a turn is no attempt."""
    for item in sorted(items, key=lambda item: item.obligation_id):
        due.put_back(connection, [item.obligation_id], item.publish_at)
    return [None] * len(items)


def end_many(connection: Connection, ends: Sequence[TrackEnd]) -> list[bool]:
    """End attempts, with their commands. False for one that was taken over meanwhile: nothing of it is recorded."""
    are_ours = obligations.finish_many(connection, [end.finish for end in ends])
    ours = [end for end, is_ours in zip(ends, are_ours, strict=True) if is_ours]
    settled = [_settling(each, end.finish.now) for end in ours for each in end.settled]
    if settled:
        connection.execute(_SETTLE, sorted(settled, key=lambda row: str(row["the_id"])))
    unconfirmed = sorted(command_id for end in ours for command_id in end.unconfirmed)
    if unconfirmed:
        connection.execute(_UNCONFIRMED, {"ids": unconfirmed})
    for end in ends:
        # Whoever holds the batch now: what pauses the lane concerns all.
        if end.pause is not None:
            lane_pauses.pause(connection, end.pause)
    return are_ours


def _settling(item: Settled, now: datetime) -> Mapping[str, object]:
    return {
        "the_id": item.command_id,
        "new_state": item.state.value,
        "at": now,
        "new_reason": item.reason,
        "new_error": item.error[:_LONGEST_ERROR_CHARS] if item.error else None,
    }


_IS_OPEN = track_commands.c.state == CommandState.OPEN.value
_LOAD = (
    select(track_commands)
    .where(track_commands.c.batch_id.in_(bindparam("batch_ids", expanding=True)), _IS_OPEN)
    .order_by(track_commands.c.batch_id, track_commands.c.position)
)
_NEW_STATE = bindparam("new_state", type_=track_commands.c.state.type)
_SETTLE = (
    update(track_commands)
    .where(track_commands.c.id == bindparam("the_id"), _IS_OPEN)
    .values(
        state=_NEW_STATE,
        finished_at=bindparam("at"),
        reason=bindparam("new_reason"),
        error=bindparam("new_error"),
        data=case({CommandState.SENT.value: null()}, value=_NEW_STATE, else_=track_commands.c.data),
    )
)
_UNCONFIRMED = (
    update(track_commands)
    .where(track_commands.c.id.in_(bindparam("ids", expanding=True)), _IS_OPEN)
    .values(attempts=track_commands.c.attempts + 1)
)
