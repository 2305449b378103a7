"""The track outbox: what is owed to Bloomreach is kept once, leaves in batches, and ends command by command."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from clearance.bloomreach.commands import Command, CommandName, CommandState
from clearance.ledger import lane_pauses, track_outbox, track_reads, track_work
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.ledger.tables import obligations
from clearance.ledger.track_work import CommandBatch, PutBack, Settled, TrackEnd
from clearance.obligations import Done, Lane, Obligation, ObligationId, Outcome, Retry
from tests.fakes.clock import START

_LEASE = timedelta(seconds=15)
_LATER = START + timedelta(seconds=1)


def _command(number: int, *, key: str | None = None) -> Command:
    return Command(
        name=CommandName.EVENT,
        data={"customer_ids": {"registered": f"c{number}@example.com"}, "event_type": "campaign"},
        about=f"r{number}",
        dedupe_key=f"k{number}" if key is None else key,
    )


def _add(ledger: Ledger, *commands: Command) -> tuple[Obligation, ...]:
    with ledger.write() as connection:
        return track_outbox.add(connection, commands, now=START, trace_id="t1")


def _claim(ledger: Ledger, *owed: Obligation) -> list[CommandBatch]:
    requests = [
        ClaimRequest(obligation_id=each.obligation_id, now=START, lease_until=START + _LEASE) for each in owed
    ]
    with ledger.write() as connection:
        return [batch for batch in track_work.claim_many(connection, requests) if batch]


def _end(ledger: Ledger, batch: CommandBatch, outcome: Outcome | None = None, **ends: object) -> bool:
    finish = Finish(claimed=batch.claimed, outcome=outcome or Done(), now=_LATER)
    with ledger.write() as connection:
        return track_work.end_many(connection, [TrackEnd(finish=finish, **ends)])[0]  # type: ignore[arg-type]  # as the test names them


def _listed(ledger: Ledger, state: CommandState) -> list[track_reads.ShownCommand]:
    with ledger.read() as connection:
        return track_reads.listed(connection, state)


def _publish_at(ledger: Ledger, owed: Obligation) -> object:
    with ledger.read() as connection:
        found = select(obligations.c.publish_at).where(obligations.c.id == owed.obligation_id)
        return connection.execute(found).scalar_one()


def _numbers(commands: Sequence[track_work.OpenCommand]) -> list[str]:
    return [each.command.about for each in commands]


def test_commands_leave_in_order_in_batches_of_what_one_call_holds(ledger: Ledger) -> None:
    owed = _add(ledger, *(_command(number) for number in range(120)))

    batches = _claim(ledger, *owed)

    assert [len(batch.commands) for batch in batches] == [50, 50, 20]
    assert _numbers([each for batch in batches for each in batch.commands]) == [f"r{n}" for n in range(120)]
    assert [each.obligation_id for each in owed] == [f"track.send:{b.claimed.subject}" for b in batches]
    assert {(each.lane, each.task) for each in owed} == {(Lane.TRACK, "clearance.track.send")}


def test_a_command_is_loaded_as_it_was_added(ledger: Ledger) -> None:
    (owed,) = _add(ledger, _command(1))

    (batch,) = _claim(ledger, owed)

    assert [each.command for each in batch.commands] == [_command(1)]


def test_nothing_to_tell_owes_nothing(ledger: Ledger) -> None:
    assert _add(ledger) == ()


def test_the_same_command_is_kept_once_in_one_call_and_in_two(ledger: Ledger) -> None:
    (first,) = _add(ledger, _command(1), _command(2), _command(1))
    (second,) = _add(ledger, _command(2), _command(3), _command(1))

    assert [_numbers(batch.commands) for batch in _claim(ledger, first, second)] == [["r1", "r2"], ["r3"]]
    assert _add(ledger, _command(1), _command(3)) == ()


def test_a_command_without_a_key_has_no_like(ledger: Ledger) -> None:
    unkeyed = Command(name=CommandName.CUSTOMER, data={}, about="r1")

    (owed,) = _add(ledger, unkeyed, unkeyed)

    (batch,) = _claim(ledger, owed)
    assert len(batch.commands) == 2


def test_of_many_who_add_the_same_at_once_each_command_is_kept_once(ledger: Ledger) -> None:
    def added(seed: int) -> tuple[Obligation, ...]:
        numbers = range(200) if seed % 2 else range(199, -1, -1)
        return _add(ledger, *(_command(number) for number in numbers))

    with ThreadPoolExecutor(8) as pool:
        owed = [each for every in pool.map(added, range(8)) for each in every]

    kept = [number for batch in _claim(ledger, *owed) for number in _numbers(batch.commands)]
    assert sorted(kept) == sorted(f"r{number}" for number in range(200))


def test_what_was_taken_is_emptied_and_what_was_parked_is_kept_with_its_reason(ledger: Ledger) -> None:
    (owed,) = _add(ledger, _command(1), _command(2))
    (batch,) = _claim(ledger, owed)
    one, two = (each.command_id for each in batch.commands)

    assert _end(
        ledger,
        batch,
        settled=(
            Settled(command_id=one, state=CommandState.SENT),
            Settled(command_id=two, state=CommandState.PARKED, reason="REFUSED", error="x" * 900),
        ),
    )

    (sent,) = _listed(ledger, CommandState.SENT)
    assert (sent.about, sent.data, sent.finished_at) == ("r1", None, _LATER)
    (parked,) = _listed(ledger, CommandState.PARKED)
    assert (parked.about, parked.data, parked.reason) == ("r2", _command(2).data, "REFUSED")
    assert parked.error == "x" * 500


def test_a_batch_that_comes_again_holds_only_what_is_open_and_how_often_it_was_in_doubt(
    ledger: Ledger,
) -> None:
    (owed,) = _add(ledger, *(_command(number) for number in range(3)))
    (batch,) = _claim(ledger, owed)
    ids = [each.command_id for each in batch.commands]
    again = Retry(run_at=START, reason="VendorUnavailable", error="no answer")

    settled = (Settled(command_id=ids[0], state=CommandState.SENT),)
    _end(ledger, batch, again, settled=settled, unconfirmed=(ids[1],))

    (batch,) = _claim(ledger, owed)
    assert [(each.command.about, each.unconfirmed) for each in batch.commands] == [("r1", 1), ("r2", 0)]


def test_who_lost_a_batch_changes_nothing(ledger: Ledger) -> None:
    (owed,) = _add(ledger, _command(1))
    (batch,) = _claim(ledger, owed)
    _end(ledger, batch, Retry(run_at=START, reason="VendorUnavailable", error="503"))
    _claim(ledger, owed)
    (command,) = batch.commands

    settled = (Settled(command_id=command.command_id, state=CommandState.SENT),)
    assert not _end(ledger, batch, settled=settled, unconfirmed=(command.command_id,))

    (still,) = _listed(ledger, CommandState.OPEN)
    assert (still.data, still.unconfirmed) == (_command(1).data, 0)


def test_while_the_lane_is_paused_nothing_is_claimed(ledger: Ledger) -> None:
    (owed,) = _add(ledger, _command(1))
    with ledger.write() as connection:
        lane_pauses.pause(connection, _pause())

    assert _claim(ledger, owed) == []

    with ledger.write() as connection:
        lane_pauses.resume(connection, Lane.TRACK)
    assert len(_claim(ledger, owed)) == 1


def test_the_end_that_found_the_credentials_refused_pauses_the_lane(ledger: Ledger) -> None:
    (owed,) = _add(ledger, _command(1))
    (batch,) = _claim(ledger, owed)

    _end(ledger, batch, Retry(run_at=START, reason="LanePaused", error="401"), pause=_pause())

    with ledger.read() as connection:
        assert lane_pauses.paused(connection) == {Lane.TRACK: _pause()}


def test_what_is_put_back_is_not_claimed_and_comes_up_at_its_moment(ledger: Ledger) -> None:
    (owed,) = _add(ledger, _command(1))

    with ledger.write() as connection:
        track_work.put_back_many(connection, [PutBack(obligation_id=owed.obligation_id, publish_at=_LATER)])

    assert _publish_at(ledger, owed) == _LATER
    (batch,) = _claim(ledger, owed)
    assert batch.claimed.attempt == 1


def test_commands_are_counted_listed_page_by_page_and_found_by_what_they_are_about(ledger: Ledger) -> None:
    (owed,) = _add(ledger, *(_command(number) for number in range(3)))
    (batch,) = _claim(ledger, owed)
    _end(ledger, batch, settled=(Settled(command_id=batch.commands[1].command_id, state=CommandState.SENT),))

    with ledger.read() as connection:
        counts = track_reads.counts(connection)
        (first,) = track_reads.listed(connection, CommandState.OPEN, limit=1)
        rest = track_reads.listed(connection, CommandState.OPEN, after_id=first.command_id)
        (about,) = track_reads.about(connection, "r1")

    assert [(each.state, each.commands, each.oldest_at) for each in counts] == [
        (CommandState.OPEN, 2, START),
        (CommandState.SENT, 1, START),
    ]
    assert sorted([first.about, *(each.about for each in rest)]) == ["r0", "r2"]
    assert about.state is CommandState.SENT


@pytest.mark.parametrize("obligation_id", ["", "track.send:nothing"])
def test_what_nobody_owes_is_not_claimed(ledger: Ledger, obligation_id: str) -> None:
    request = ClaimRequest(obligation_id=ObligationId(obligation_id), now=START, lease_until=START + _LEASE)
    with ledger.write() as connection:
        assert track_work.claim_many(connection, [request]) == [None]


def _pause() -> LanePause:
    return LanePause(lane=Lane.TRACK, paused_at=START, paused_by="worker", reason="bloomreach: 401")
