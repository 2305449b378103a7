"""How what waits on the desk is owed again: obligations by conditional updates, commands to Bloomreach by new ones.

In: a selection, portion by portion. Out: how many had which verdict. What is replayed gets a turn, one after the other
(`desk_verdicts.Pace`), and the guardian publishes each at its turn. Of two operators at once, one changes a row; to the
other it has changed. Each portion is one transaction, with its part of the record of who did it, and gives no turn that
is over already: those would all be begun at once.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, null, select, update

from clearance.bloomreach.commands import CommandState
from clearance.clock import Clock
from clearance.identifiers import new_id
from clearance.ledger import obligations as work
from clearance.ledger import operator_actions, track_outbox
from clearance.ledger.desk import of_obligations
from clearance.ledger.desk_portions import (
    Opens,
    Selection,
    each_command,
    each_obligation,
    held_batches,
    unknown_ids,
)
from clearance.ledger.desk_verdicts import Pace, Verdict, judge
from clearance.ledger.mail_batches import POST
from clearance.ledger.mail_tables import mail_batches, track_commands
from clearance.ledger.operator_actions import OperatorAction
from clearance.ledger.tables import obligations
from clearance.mail_states import BatchState
from clearance.obligations import Lane, State

Verdicts = Counter[Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What is to be owed again, and how fast. Without an `action` it is only said what would become of it."""

    selection: Selection
    pace: Pace
    eta_window: timedelta
    action: OperatorAction | None = None


def replay(opens: Opens, wish: Replay, clock: Clock) -> Verdicts:
    """Do it, or say what it would do."""
    selection, now = wish.selection, clock()
    with opens() as connection:
        verdicts = _left_alone(connection, selection, now)
    verdicts += each_obligation(
        opens,
        selection,
        lambda connection, rows: _replay_obligations(connection, rows, wish, clock()),
        in_time_at=now,
    )
    verdicts += each_command(
        opens,
        selection,
        lambda connection, rows: _replay_commands(connection, rows, wish, clock()),
        are_changed=wish.action is not None,
    )
    return verdicts


def _left_alone(connection: Connection, selection: Selection, now: datetime) -> Verdicts:
    """What is meant and cannot be replayed, without a look at each."""
    verdicts = Verdicts({Verdict.NEEDS_DECISION: held_batches(connection, selection)})
    if selection.ids:
        verdicts[Verdict.NOT_ON_DESK] = unknown_ids(connection, selection)
    else:
        late = select(func.count()).where(
            and_(*of_obligations(selection.wanted)), obligations.c.deadline_at <= now
        )
        verdicts[Verdict.PAST_DEADLINE] = connection.execute(late).scalar_one()
    return +verdicts


def _replay_obligations(
    connection: Connection, rows: Sequence[Row[Any]], wish: Replay, now: datetime
) -> Verdicts:
    judged = judge(connection, rows, wish.pace, now)
    verdicts = Verdicts(each.verdict for each in judged)
    again = sorted(
        ((each.row, each.run_at) for each in judged if each.run_at is not None), key=lambda each: each[0].id
    )
    if wish.action is None or not again:
        return verdicts
    # A batch before its obligation: the order in which everybody locks them.
    letters = [{"the_id": row.subject, "at": run_at} for row, run_at in again if row.task == POST]
    if letters:
        connection.execute(_HASTEN_BATCH, sorted(letters, key=lambda each: str(each["the_id"])))
    owed_again = [_again(row, run_at, wish, wish.action, now) for row, run_at in again]
    won = connection.execute(_OWE_AGAIN, owed_again).rowcount
    _record(connection, wish.action, won)
    lost = len(again) - won
    return verdicts + Verdicts({Verdict.CHANGED: lost}) - Verdicts({Verdict.SENT: lost})


def _again(
    row: Row[Any], run_at: datetime, wish: Replay, action: OperatorAction, now: datetime
) -> dict[str, object]:
    is_planned = run_at == row.run_at
    return {
        "the_id": row.id,
        "was_state": row.state,
        "was_attempts": row.attempts,
        "was_run_at": row.run_at,
        "at": run_at,
        # What was planned is handed over a while before, so that it begins on the moment.
        "publish": max(now, run_at - wish.eta_window) if is_planned else run_at,
        "action": action.action_id,
    }


def _replay_commands(
    connection: Connection, rows: Sequence[Row[Any]], wish: Replay, now: datetime
) -> Verdicts:
    sendable = [row for row in rows if row.has_data]
    verdicts = +Verdicts({Verdict.SENT: len(sendable), Verdict.NOTHING_LEFT: len(rows) - len(sendable)})
    for first in range(0, len(sendable), track_outbox.MOST_COMMANDS):
        turn_at = wish.pace.next_turn(Lane.TRACK, now)
        wish.pace.take_turn(Lane.TRACK, turn_at)
        if wish.action is not None:
            batch = sendable[first : first + track_outbox.MOST_COMMANDS]
            _send_again(connection, batch, wish.action, now, turn_at)
    if wish.action is not None:
        _record(connection, wish.action, len(sendable))
    return verdicts


def _send_again(
    connection: Connection, batch: Sequence[Row[Any]], action: OperatorAction, now: datetime, at: datetime
) -> None:
    """As a batch of their own: what they were owed as has ended."""
    batch_id = new_id(now)
    places = [{"the_id": row.id, "in_batch": batch_id, "at_place": place} for place, row in enumerate(batch)]
    connection.execute(_OPEN_COMMAND, places)
    owed = track_outbox.owed(batch_id, now=now, trace_id=batch[0].trace_id)
    work.add_many(connection, [replace(owed, run_at=at, publish_at=at)])
    connection.execute(_NOTE_ACTION, {"the_id": owed.obligation_id, "action": action.action_id})


def _record(connection: Connection, action: OperatorAction, count: int) -> None:
    if count:
        operator_actions.record_portion(connection, replace(action, count=count))


_OWE_AGAIN = (
    update(obligations)
    .where(
        obligations.c.id == bindparam("the_id"),
        obligations.c.state == bindparam("was_state"),
        obligations.c.attempts == bindparam("was_attempts"),
        obligations.c.run_at == bindparam("was_run_at"),
        obligations.c.deadline_at > bindparam("at"),
    )
    .values(
        state=State.OPEN.value,
        reason=None,
        finished_at=None,
        run_at=bindparam("at"),
        publish_at=bindparam("publish"),
        publications=0,
        action_id=bindparam("action"),
    )
)
# Its own time counts, too.
_HASTEN_BATCH = (
    update(mail_batches)
    .where(mail_batches.c.id == bindparam("the_id"), mail_batches.c.state == BatchState.READY.value)
    .values(due_at=bindparam("at"))
)
_NOTE_ACTION = (
    update(obligations).where(obligations.c.id == bindparam("the_id")).values(action_id=bindparam("action"))
)
_OPEN_COMMAND = (
    update(track_commands)
    .where(track_commands.c.id == bindparam("the_id"), track_commands.c.state == CommandState.PARKED.value)
    .values(
        state=CommandState.OPEN.value,
        batch_id=bindparam("in_batch"),
        position=bindparam("at_place"),
        attempts=0,
        finished_at=null(),
        reason=null(),
        error=null(),
    )
)
