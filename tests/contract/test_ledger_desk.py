"""The retries desk: what waits, in which order and why; and what becomes of it when a person acts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from clearance.bloomreach.commands import Command, CommandName, CommandState
from clearance.clock import utc_now
from clearance.ledger import desk_reads, desk_replay, desk_stops, migrate, operator_actions, track_outbox
from clearance.ledger.desk import HELD_BY_OPERATOR, DeskFilter, DeskState
from clearance.ledger.desk_portions import Selection
from clearance.ledger.desk_reads import DeskItem
from clearance.ledger.desk_replay import Replay
from clearance.ledger.desk_stops import Stop, StopVerdict, StopWish
from clearance.ledger.desk_verdicts import Pace, Verdict
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.mail_tables import mail_batches, track_commands
from clearance.ledger.operator_actions import OperatorAction
from clearance.ledger.tables import notifications, obligations
from clearance.obligations import Done, Lane, MissedReason, Obligation, Parked, Retry, State
from tests.contract.scheduled import G, cancel, chunk, heads_up, hear, review, store
from tests.contract.test_ledger_plans import (
    Statements,
    plan_of,
    watched,  # noqa: F401  # a fixture
    whole_tables_read,
)
from tests.fakes.clock import START, ManualClock
from tests.fakes.owed import accept, claimed, finish, notification, obligation, owe, row

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_PARKED = Parked(reason="VendorCredentialsRefused", error="optimove: 401 credentials refused")
_RETRY = Retry(run_at=START + 9 * _SECOND, reason="VendorUnavailable", error="optimove: 503 from the vendor")


def _accept(ledger: Ledger, *names: str, deadline_at: datetime = START + _HOUR) -> None:
    accept(ledger, *(notification(name, deadline_at=deadline_at) for name in names))


def _park(ledger: Ledger, *names: str, **owed: Any) -> None:
    _accept(ledger, *names, **owed)
    for name in names:
        finish(ledger, claimed(ledger, name), _PARKED)


def _listed(ledger: Ledger, now: datetime = START, **wanted: Any) -> list[DeskItem]:
    with ledger.read() as connection:
        return desk_reads.listed(connection, DeskFilter(**wanted), now, 100)


def _names(ledger: Ledger, now: datetime = START, **wanted: Any) -> list[str]:
    return [each.item_id for each in _listed(ledger, now, **wanted)]


def _action(name: str = "retries.replay", *, action_id: str = "a1") -> OperatorAction:
    return OperatorAction(action_id=action_id, at=START, who="ada", action=name, subject="all", why="mended")


def _replay(
    ledger: Ledger,
    *ids: str,
    now: datetime = START,
    per_s: float = 1.0,
    is_planned: bool = False,
    action: OperatorAction | None = None,
    **wanted: Any,
) -> dict[Verdict, int]:
    wish = Replay(
        selection=Selection(ids=ids, wanted=DeskFilter(**wanted)),
        pace=Pace(per_s=dict.fromkeys(Lane, per_s), margins={Lane.TRIGGERED: timedelta(milliseconds=200)}),
        eta_window=5 * _SECOND,
        action=None if is_planned else action or _action(),
    )
    return dict(desk_replay.replay(ledger.read if is_planned else ledger.write, wish, lambda: now))


def _stop(ledger: Ledger, how: Stop, *ids: str, **wanted: Any) -> dict[StopVerdict, int]:
    selection = Selection(ids=ids, wanted=DeskFilter(**wanted))
    wish = StopWish(selection=selection, how=how, action=_action(f"retries.{how}"))
    return dict(desk_stops.stop(ledger.write, wish, START))


def _actions(ledger: Ledger) -> list[tuple[str, int]]:
    with ledger.read() as connection:
        return [(each.action, each.count) for each in operator_actions.listed(connection)]


def _of(task: str, lane: Lane, name: str, subject: str, **owed: Any) -> Obligation:
    return replace(obligation(name, **owed), task=task, lane=lane, subject=subject)


def test_what_still_has_time_comes_first_and_what_is_done_new_or_under_way_is_not_there(
    ledger: Ledger,
) -> None:
    _park(ledger, "hour", deadline_at=START + _HOUR)
    _park(ledger, "minute", deadline_at=START + timedelta(minutes=1))
    _accept(ledger, "new", "done", "running", "again")
    finish(ledger, claimed(ledger, "done"), Done())
    claimed(ledger, "running")
    finish(ledger, claimed(ledger, "again"), _RETRY)
    owe(ledger, obligation("missed", deadline_at=START - _SECOND, missed=MissedReason.PAST_ON_ARRIVAL))
    owe(ledger, obligation("older", deadline_at=START - _HOUR, missed=MissedReason.PAST_ON_ARRIVAL))

    found = _listed(ledger)

    assert [each.item_id for each in found] == ["minute", "again", "hour", "missed", "older"]
    minute, again, *_ = found
    assert (minute.state, minute.reason, minute.attempts) == (
        DeskState.PARKED,
        "VendorCredentialsRefused",
        1,
    )
    assert (minute.last_error, minute.since, minute.next_at) == (
        "optimove: 401 credentials refused",
        START,
        None,
    )
    assert (again.state, again.reason, again.next_at) == (
        DeskState.RETRY,
        "VendorUnavailable",
        START + 9 * _SECOND,
    )
    with ledger.read() as connection:
        counts = desk_reads.counted(connection, DeskFilter(), START)
    assert [(each.items, each.state, each.reason) for each in counts if each.items > 1] == [
        (2, "missed", "PAST_ON_ARRIVAL"),
        (2, "parked", "VendorCredentialsRefused"),
    ]
    assert counts[1].next_deadline_at == START + timedelta(minutes=1)


def test_a_filter_finds_by_lane_state_reason_time_and_deadline(ledger: Ledger) -> None:
    _park(ledger, "a", deadline_at=START + timedelta(minutes=1))
    _park(ledger, "b")
    _accept(ledger, "again")
    finish(ledger, claimed(ledger, "again"), _RETRY)
    with ledger.write() as connection:
        later = update(obligations).where(obligations.c.id == "b").values(finished_at=START + _SECOND)
        connection.execute(later)

    assert _names(ledger, lane=Lane.TRIGGERED) == ["a", "again", "b"]
    assert _names(ledger, lane=Lane.MAIL) == []
    assert _names(ledger, state=DeskState.RETRY) == ["again"]
    assert _names(ledger, state=DeskState.PARKED) == ["a", "b"]
    assert _names(ledger, state=DeskState.HELD) == []
    assert _names(ledger, reason="VendorUnavailable") == ["again"]
    assert _names(ledger, since=START + _SECOND) == ["again", "b"]
    assert _names(ledger, deadline_before=START + timedelta(minutes=2)) == ["a"]


def test_a_replay_gives_turns_one_after_the_other_the_nearest_deadline_first(ledger: Ledger) -> None:
    _park(ledger, "later")
    _park(ledger, "soon", deadline_at=START + timedelta(minutes=1))
    _park(ledger, "too_slow", deadline_at=START + 2 * _SECOND)
    _park(ledger, "first", deadline_at=START + 1.5 * _SECOND)
    _park(ledger, "late", deadline_at=START + _SECOND / 10)

    told = {Verdict.SENT: 3, Verdict.PAST_DEADLINE: 1, Verdict.TOO_SLOW: 1}
    assert _replay(ledger, per_s=0.5, is_planned=True) == told
    assert row(ledger, "first").state == State.PARKED
    assert _replay(ledger, per_s=0.5) == told

    rows = [row(ledger, name) for name in ("first", "soon", "later")]
    assert [(each.run_at - START).total_seconds() for each in rows] == [0, 2, 4]
    assert [each.publish_at for each in rows] == [each.run_at for each in rows]
    assert {(each.state, each.reason, each.finished_at, each.action_id) for each in rows} == {
        ("open", None, None, "a1")
    }
    assert row(ledger, "late").state == State.PARKED
    assert _actions(ledger) == [("retries.replay", 3)]
    assert claimed(ledger, "soon", now=START + 2 * _SECOND).attempt == 2


def test_a_replay_goes_through_more_than_one_portion(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearance.ledger.desk_portions._PORTION", 3)
    names = [f"o{number}" for number in range(8)]
    _park(ledger, *names)

    assert _replay(ledger, per_s=4) == {Verdict.SENT: 8}

    assert sorted((row(ledger, name).run_at - START).total_seconds() for name in names) == [
        number / 4 for number in range(8)
    ]
    assert _actions(ledger) == [("retries.replay", 8)]


def test_no_turn_is_over_when_its_portion_is_written_however_long_the_ones_before_took(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns that are over would be begun all at once."""
    monkeypatch.setattr("clearance.ledger.desk_portions._PORTION", 3)
    names = [f"o{number}" for number in range(6)]
    _park(ledger, *names)
    wish = Replay(
        selection=Selection(),
        pace=Pace(per_s=dict.fromkeys(Lane, 4.0)),
        eta_window=_SECOND,
        action=_action(),
    )

    @contextmanager
    def slow() -> Iterator[Connection]:
        with ledger.write() as connection:
            yield connection
        clock.advance(10)

    assert desk_replay.replay(slow, wish, clock) == {Verdict.SENT: 6}

    # Told apart what cannot be replayed: 10 s; the first portion: 10 s.
    assert [(row(ledger, name).run_at - START).total_seconds() for name in names] == [
        10,
        10.25,
        10.5,
        20,
        20.25,
        20.5,
    ]


def test_what_is_past_its_deadline_or_forgotten_cannot_be_sent(ledger: Ledger) -> None:
    _park(ledger, "gone", "parked")
    owe(ledger, obligation("missed", deadline_at=START - _SECOND, missed=MissedReason.PAST_ON_ARRIVAL))
    with ledger.write() as connection:
        connection.execute(update(notifications).where(notifications.c.id == "n-gone").values(body=None))

    assert _replay(ledger) == {Verdict.SENT: 1, Verdict.NOTHING_LEFT: 1, Verdict.PAST_DEADLINE: 1}
    assert _replay(ledger, "gone", "missed", "nothing") == {
        Verdict.NOTHING_LEFT: 1,
        Verdict.PAST_DEADLINE: 1,
        Verdict.NOT_ON_DESK: 1,
    }


def test_of_two_operators_at_once_one_replays_and_the_other_is_told(ledger: Ledger) -> None:
    _park(ledger, "a", "b")
    wish = Replay(
        selection=Selection(),
        pace=Pace(per_s=dict.fromkeys(Lane, 1.0)),
        eta_window=_SECOND,
        action=_action(action_id="a2"),
    )
    with ledger.read() as connection:
        seen = connection.execute(select(obligations).order_by(obligations.c.id)).all()
    _replay(ledger, "a")

    with ledger.write() as connection:
        told = desk_replay._replay_obligations(connection, seen, wish, START)

    assert told == {Verdict.SENT: 1, Verdict.CHANGED: 1}
    assert (row(ledger, "a").action_id, row(ledger, "b").action_id) == ("a1", "a2")
    assert sorted(_actions(ledger)) == [("retries.replay", 1), ("retries.replay", 1)]


def test_what_waits_for_a_retry_is_tried_at_once(ledger: Ledger) -> None:
    _accept(ledger, "again")
    finish(ledger, claimed(ledger, "again"), _RETRY)

    assert _replay(ledger, "again") == {Verdict.SENT: 1}

    assert claimed(ledger, "again").attempt == 2
    assert row(ledger, "again").reason is None


def test_what_is_tried_again_sooner_by_itself_does_not_wait_for_a_turn(ledger: Ledger) -> None:
    names = ["a", "b", "c"]
    _accept(ledger, *names)
    for name in names:
        finish(ledger, claimed(ledger, name), _RETRY)

    assert _replay(ledger, per_s=0.1) == {Verdict.SENT: 3}

    assert [(row(ledger, name).run_at - START).total_seconds() for name in names] == [0, 9, 9]
    assert _actions(ledger) == [("retries.replay", 1)]


def test_what_is_held_is_left_alone_until_it_is_replayed(ledger: Ledger) -> None:
    _accept(ledger, "again")
    finish(ledger, claimed(ledger, "again"), _RETRY)
    owe(ledger, obligation("planned", run_at=START + _HOUR, deadline_at=START + 2 * _HOUR))
    running = obligation("running")
    owe(ledger, running)
    claimed(ledger, "running")

    assert _stop(ledger, Stop.HOLD, "again", "planned", "running") == {
        StopVerdict.STOPPED: 2,
        StopVerdict.NOT_WAITING: 1,
    }

    assert _names(ledger, state=DeskState.HELD) == ["again", "planned"]
    assert _names(ledger, state=DeskState.PARKED) == []
    assert row(ledger, "again").reason == HELD_BY_OPERATOR
    assert _stop(ledger, Stop.HOLD, "again") == {StopVerdict.IS_STOPPED: 1}
    accept(ledger, notification("x"))
    with ledger.write() as connection:
        connection.execute(update(obligations).where(obligations.c.id == "planned").values(subject="n-x"))
    assert _replay(ledger, state=DeskState.HELD) == {Verdict.SENT: 2}
    planned = row(ledger, "planned")
    assert (planned.run_at, planned.publish_at) == (START + _HOUR, START + _HOUR - 5 * _SECOND)


def test_what_is_discarded_is_over_and_forgotten_and_what_is_missed_stays_on_record(ledger: Ledger) -> None:
    _park(ledger, "a", deadline_at=START - _SECOND)
    owe(ledger, obligation("missed", missed=MissedReason.PAST_ON_ARRIVAL))
    owe(ledger, _of("clearance.groups.close", Lane.SUBMIT, "close", "g1:1"))

    told = _stop(ledger, Stop.DISCARD, lane=Lane.TRIGGERED)

    assert told == {StopVerdict.STOPPED: 1, StopVerdict.IS_MISSED: 1}
    kept = row(ledger, "a")
    assert (kept.state, kept.reason, kept.action_id) == ("cancelled", "DISCARDED", "a1")
    with ledger.read() as connection:
        assert connection.execute(select(notifications.c.body)).scalars().all() == [None]
    assert _names(ledger) == ["missed"]
    assert _stop(ledger, Stop.DISCARD, "close") == {StopVerdict.MUST_BE_CLOSED: 1}
    assert _actions(ledger) == [("retries.discard", 1)]


def _told(ledger: Ledger, count: int) -> Sequence[Obligation]:
    commands = [
        Command(
            name=CommandName.EVENT,
            data={"customer_ids": {"registered": f"C{number}"}, "event_type": "x"},
            about=f"r{number}",
        )
        for number in range(count)
    ]
    with ledger.write() as connection:
        return track_outbox.add(connection, commands, now=utc_now(), trace_id="t")


def _park_commands(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(
            update(track_commands).values(
                state="parked", reason="REFUSED", error="no", finished_at=START, attempts=2
            )
        )


def _commands(ledger: Ledger) -> list[Any]:
    with ledger.read() as connection:
        return list(connection.execute(select(track_commands).order_by(track_commands.c.id)).all())


def test_parked_commands_are_owed_again_in_batches_of_what_a_call_may_hold(ledger: Ledger) -> None:
    first, _ = _told(ledger, 60)
    _park_commands(ledger)
    for owed in ("track.send:" + each for each in {each.batch_id for each in _commands(ledger)}):
        finish(ledger, claimed(ledger, owed, now=utc_now()), Done(), now=utc_now())
    assert len(_names(ledger, state=DeskState.PARKED)) == 60

    assert _replay(ledger, lane=Lane.TRACK, is_planned=True) == {Verdict.SENT: 60}
    assert _replay(ledger, lane=Lane.TRACK) == {Verdict.SENT: 60}

    commands = _commands(ledger)
    assert {(each.state, each.attempts, each.reason, each.error) for each in commands} == {
        ("open", 0, None, None)
    }
    batches = sorted({each.batch_id for each in commands})
    assert first.subject not in batches
    # Batches made in one millisecond have no order.
    assert sorted(sum(each.batch_id == batch for each in commands) for batch in batches) == [10, 50]
    owed_again = [row(ledger, f"track.send:{batch}") for batch in batches]
    assert sorted((each.state, each.run_at - START, each.action_id) for each in owed_again) == [
        ("open", timedelta(0), "a1"),
        ("open", _SECOND, "a1"),
    ]
    assert _replay(ledger, commands[0].id) == {Verdict.NOT_ON_DESK: 1}


def test_a_discarded_command_is_emptied_and_one_without_data_is_not_sent(ledger: Ledger) -> None:
    _told(ledger, 2)
    _park_commands(ledger)
    given_up, emptied = _commands(ledger)

    assert _stop(ledger, Stop.DISCARD, given_up.id) == {StopVerdict.STOPPED: 1}
    with ledger.write() as connection:
        forget = update(track_commands).where(track_commands.c.id == emptied.id).values(data=None)
        connection.execute(forget)

    first = _commands(ledger)[0]
    assert (first.state, first.data) == (CommandState.DISCARDED, None)
    assert _replay(ledger, given_up.id, emptied.id) == {Verdict.NOT_ON_DESK: 1, Verdict.NOTHING_LEFT: 1}


def test_a_batch_of_commands_is_discarded_with_what_is_open_of_it(ledger: Ledger) -> None:
    (owed,) = _told(ledger, 2)
    finish(ledger, claimed(ledger, owed.obligation_id, now=utc_now()), _RETRY, now=utc_now())

    assert _stop(ledger, Stop.DISCARD, owed.obligation_id) == {StopVerdict.STOPPED: 1}

    assert {(each.state, each.data) for each in _commands(ledger)} == {("discarded", None)}


def test_a_held_batch_of_letters_is_there_and_a_person_must_decide(ledger: Ledger) -> None:
    owe(ledger, _of("clearance.mail.post", Lane.MAIL, "mail.post:b1", "b1"))
    finish(ledger, claimed(ledger, "mail.post:b1"), Parked(reason="LanePaused", error="x"))
    batch = _batch(state="held", answered_at=START + _SECOND, reason="NO_ANSWER")
    with ledger.write() as connection:
        connection.execute(mail_batches.insert(), batch)

    (held,) = _listed(ledger)

    assert (held.item_id, held.state, held.reason, held.since) == (
        "b1",
        DeskState.HELD,
        "NO_ANSWER",
        START + _SECOND,
    )
    assert _names(ledger, since=START + 2 * _SECOND) == []
    assert _replay(ledger) == _replay(ledger, "b1") == {Verdict.NEEDS_DECISION: 1}
    assert _stop(ledger, Stop.DISCARD, "b1") == {StopVerdict.NEEDS_DECISION: 1}
    assert _actions(ledger) == []


def test_what_a_group_does_not_want_any_more_has_nothing_left_to_send(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"), chunk(2, "b"))
    review(ledger, 1)
    names = [f"groups.{each}" for each in (f"fetch:{G}:1", f"review:{G}:1:2", f"submit:{G}:1")]
    decided, later = f"groups.review:{G}:1:1", START + timedelta(minutes=59, seconds=30)
    with ledger.write() as connection:
        parked = update(obligations).where(obligations.c.id.in_([*names, decided]))
        connection.execute(parked.values(state="parked", attempts=1, finished_at=START))

    assert _replay(ledger, *names, decided, is_planned=True, now=later) == {
        Verdict.SENT: 3,
        Verdict.NOTHING_LEFT: 1,
    }
    cancel(ledger, START + _SECOND)
    assert _replay(ledger, *names, is_planned=True, now=later) == {Verdict.NOTHING_LEFT: 3}


def test_no_look_at_the_desk_and_no_act_reads_a_whole_table_or_sorts_what_waits(
    watched: tuple[Ledger, Statements],  # noqa: F811  # the fixture
) -> None:
    ledger, statements = watched
    _park(ledger, "a", "b", "c")
    _told(ledger, 2)
    _park_commands(ledger)
    statements.clear()

    assert len(_listed(ledger)) == 5
    with ledger.read() as connection:
        assert desk_reads.item(connection, "a") is not None
        assert len(desk_reads.counted(connection, DeskFilter(), START)) == 2
    _replay(ledger, lane=Lane.TRIGGERED)
    _stop(ledger, Stop.HOLD, "a", "b")
    _stop(ledger, Stop.DISCARD)

    assert whole_tables_read(ledger, statements) == {}
    # Of a few ids that somebody typed, the order costs nothing.
    by_filter = [each for each in statements if "obligations.id IN" not in each[0]]
    pages = plan_of(ledger, by_filter, "ORDER BY obligations.deadline_at")
    assert pages
    assert not [step for step in pages if "TEMP B-TREE" in step]


@pytest.mark.services
def test_on_postgresql_what_waits_is_counted_from_its_index_and_not_from_all_that_was_ever_owed(
    postgres_url: str,
) -> None:
    ledger = open_ledger(postgres_url, timeout_s=10)
    migrate.upgrade(ledger)
    with ledger.read() as connection:
        asked = desk_reads._count_obligations(DeskFilter(), START).compile(connection)
        # Few rows: it would read the table for its size.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {asked}", asked.params).scalars().all()
    ledger.close()

    assert any("Index Only Scan using ix_obligations_desk" in step for step in plan), plan


def test_a_batch_of_letters_that_is_tried_again_later_is_due_when_it_is_replayed(ledger: Ledger) -> None:
    owe(ledger, _of("clearance.mail.post", Lane.MAIL, "mail.post:b1", "b1", deadline_at=START + _HOUR))
    finish(ledger, claimed(ledger, "mail.post:b1"), _RETRY)
    with ledger.write() as connection:
        connection.execute(mail_batches.insert(), _batch(state="ready", due_at=START + 9 * _SECOND))

    assert _replay(ledger, lane=Lane.MAIL) == {Verdict.SENT: 1}

    assert row(ledger, "mail.post:b1").run_at == START
    with ledger.read() as connection:
        assert connection.execute(select(mail_batches.c.due_at)).scalar_one() == START


def _batch(**given: Any) -> dict[str, Any]:
    return (
        dict.fromkeys(mail_batches.c.keys())
        | {
            "id": "b1",
            "automation_id": "auto",
            "is_dry_run": False,
            "recipients": 3,
            "created_at": START,
            "due_at": START,
            "posts": 1,
            "posted": 0,
            "failed": 0,
            "trace_id": "t",
        }
        | given
    )
