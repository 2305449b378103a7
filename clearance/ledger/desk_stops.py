"""How a person keeps what waits from being done: holds it, until it is replayed, or discards it, for good.

What is held is parked, with a reason of its own. What is discarded is cancelled, and what it was about is forgotten.
Missed obligations stay: that they were missed is on record. Batches of letters are decided about elsewhere
(`mail_held`), and the books of a group are always closed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, null, update

from clearance.bloomreach.commands import CommandState
from clearance.ledger import group_obligations, notifications, operator_actions, track_outbox
from clearance.ledger.desk import HELD_BY_OPERATOR
from clearance.ledger.desk_portions import (
    Opens,
    Selection,
    each_command,
    each_obligation,
    held_batches,
    unknown_ids,
)
from clearance.ledger.mail_batches import POST
from clearance.ledger.mail_tables import track_commands
from clearance.ledger.operator_actions import OperatorAction
from clearance.ledger.tables import obligations
from clearance.obligations import Lane, State

DISCARDED = "DISCARDED"
"""The reason of an obligation that a person gave up."""


class Stop(StrEnum):
    """How."""

    HOLD = "hold"
    DISCARD = "discard"


class StopVerdict(StrEnum):
    """What would become of one, or became of it."""

    STOPPED = "stopped"
    IS_STOPPED = "is_stopped"  # to be held, and parked already
    IS_MISSED = "is_missed"
    NEEDS_DECISION = "needs_decision"
    MUST_BE_CLOSED = "must_be_closed"
    NOT_WAITING = "not_waiting"  # unknown, done, discarded, or a worker is at it
    CHANGED = "changed"


StopVerdicts = Counter[StopVerdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWish:
    """What is to be stopped, and how. Without an `action` it is only said what would become of it."""

    selection: Selection
    how: Stop
    action: OperatorAction | None = None


def stop(opens: Opens, wish: StopWish, now: datetime) -> StopVerdicts:
    """Do it, or say what it would do."""
    selection = wish.selection
    with opens() as connection:
        verdicts = _left_alone(connection, selection)
    verdicts += each_obligation(
        opens, selection, lambda connection, rows: _stop_obligations(connection, rows, wish, now)
    )
    verdicts += each_command(
        opens,
        selection,
        lambda connection, rows: _stop_commands(connection, [row.id for row in rows], wish, now),
        are_changed=wish.action is not None,
    )
    return verdicts


def _left_alone(connection: Connection, selection: Selection) -> StopVerdicts:
    verdicts = StopVerdicts({StopVerdict.NEEDS_DECISION: held_batches(connection, selection)})
    if selection.ids:
        verdicts[StopVerdict.NOT_WAITING] = unknown_ids(connection, selection)
    return +verdicts


def _stop_obligations(
    connection: Connection, rows: Sequence[Row[Any]], wish: StopWish, now: datetime
) -> StopVerdicts:
    verdict_by_id = {row.id: _verdict(row, wish.how) for row in rows}
    stopped = sorted(
        (row for row in rows if verdict_by_id[row.id] is StopVerdict.STOPPED), key=lambda row: str(row.id)
    )
    verdicts = StopVerdicts(verdict_by_id.values())
    if wish.action is None or not stopped:
        return verdicts
    statement = _HOLD if wish.how is Stop.HOLD else _DISCARD
    action_id = wish.action.action_id
    won = [row for row in stopped if connection.execute(statement, _asked(row, action_id, now)).rowcount]
    if wish.how is Stop.DISCARD:
        _forget(connection, won, now)
    if won:
        operator_actions.record_portion(connection, replace(wish.action, count=len(won)))
    lost = len(stopped) - len(won)
    return verdicts + StopVerdicts({StopVerdict.CHANGED: lost}) - StopVerdicts({StopVerdict.STOPPED: lost})


def _asked(row: Row[Any], action_id: str, now: datetime) -> dict[str, object]:
    return {"the_id": row.id, "was": row.state, "tries": row.attempts, "now": now, "action": action_id}


def _verdict(row: Row[Any], how: Stop) -> StopVerdict:
    if row.state == State.MISSED:
        return StopVerdict.IS_MISSED
    if row.state not in (State.OPEN, State.PARKED):
        return StopVerdict.NOT_WAITING
    if row.task == POST:
        return StopVerdict.NEEDS_DECISION
    if how is Stop.HOLD:
        return StopVerdict.STOPPED if row.state == State.OPEN else StopVerdict.IS_STOPPED
    is_close = row.task == group_obligations.CLOSE
    return StopVerdict.MUST_BE_CLOSED if is_close else StopVerdict.STOPPED


def _forget(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> None:
    """What will not be sent is kept no longer."""
    subjects = [row.subject for row in rows if row.lane == Lane.TRIGGERED]
    if subjects:
        notifications.forget_bodies(connection, sorted(subjects))
    for row in rows:
        if row.task == track_outbox.TASK:
            connection.execute(_DISCARD_OPEN_COMMANDS, {"batch": row.subject, "now": now})


def _stop_commands(
    connection: Connection, command_ids: Sequence[str], wish: StopWish, now: datetime
) -> StopVerdicts:
    if wish.how is Stop.HOLD:
        return StopVerdicts({StopVerdict.IS_STOPPED: len(command_ids)})
    if wish.action is not None:
        connection.execute(_DISCARD_COMMANDS, {"ids": list(command_ids), "now": now})
        operator_actions.record_portion(connection, replace(wish.action, count=len(command_ids)))
    return StopVerdicts({StopVerdict.STOPPED: len(command_ids)})


_AS_IT_WAS = (
    obligations.c.id == bindparam("the_id"),
    obligations.c.state == bindparam("was"),
    obligations.c.attempts == bindparam("tries"),
)
_HOLD = (
    update(obligations)
    .where(*_AS_IT_WAS)
    .values(
        state=State.PARKED.value,
        reason=HELD_BY_OPERATOR,
        finished_at=bindparam("now"),
        action_id=bindparam("action"),
    )
)
_DISCARD = (
    update(obligations)
    .where(*_AS_IT_WAS)
    .values(
        state=State.CANCELLED.value,
        reason=DISCARDED,
        finished_at=bindparam("now"),
        action_id=bindparam("action"),
    )
)
_DISCARDED_COMMAND = {
    "state": CommandState.DISCARDED.value,
    "finished_at": bindparam("now"),
    "data": null(),
}
_DISCARD_COMMANDS = (
    update(track_commands)
    .where(
        track_commands.c.id.in_(bindparam("ids", expanding=True)),
        track_commands.c.state == CommandState.PARKED.value,
    )
    .values(**_DISCARDED_COMMAND)
)
_DISCARD_OPEN_COMMANDS = (
    update(track_commands)
    .where(track_commands.c.batch_id == bindparam("batch"), track_commands.c.state == CommandState.OPEN.value)
    .values(**_DISCARDED_COMMAND)
)
