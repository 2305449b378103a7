"""A mail worker: a slot for each request, from one batch to the next, and the end of a turn."""

from datetime import timedelta

import pytest
from structlog.typing import EventDict

from clearance.ledger.engine import Ledger
from clearance.limits.slots import Slot
from tasks.posting_batches import LONGEST_GAP_S
from tests.fakes.clock import START, ManualClock
from tests.fakes.mail_owed import batches, states, take_letters
from tests.unit.tasks.mail_worker import SILENCE, SLOT_LEASE_S, TIMEOUT_S, MailWorker, mail_worker


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> MailWorker:
    return mail_worker(ledger, clock, monkeypatch)


def test_without_a_slot_nothing_is_claimed_and_what_waits_comes_up_when_one_is_free_at_the_latest(
    worker: MailWorker,
) -> None:
    take_letters(worker.ledger, *"abc")
    held = [worker.slots.acquire(), worker.slots.acquire()]

    assert worker.run() == "0 batches; no slot"

    (owed,) = worker.owed()
    assert (owed.state, owed.attempts) == ("open", 0)
    assert START + timedelta(seconds=SLOT_LEASE_S) <= owed.publish_at < START + timedelta(seconds=30)
    assert all(isinstance(each, Slot) for each in held)
    assert worker.metrics.counted("mail_slots_total", outcome="busy") == 1


def test_a_slot_that_was_lost_after_the_ledger_was_told_sends_nothing(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc")
    worker.wipe_slots_after("begin_many")

    worker.run()
    assert worker.posted() == []
    assert (worker.batch().state, worker.batch().posts) == ("ready", 0)
    assert worker.metrics.counted("mail_slots_total", outcome="lost") == 1
    worker.clock.advance(2)
    worker.run()

    assert worker.posted() == [["a", "b", "c"]]


def test_the_next_batch_is_begun_first_and_the_end_before_it_is_written_meanwhile(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdefghi")

    worker.run()

    assert sorted(worker.posted()) == [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]]
    assert [operation for operation, _ in worker.commits.submitted] == [
        "begin_many",
        *["begin_many", "settle_many"] * 2,
        "settle_many",
    ]


def test_a_next_batch_that_cannot_be_begun_for_a_bug_does_not_cost_the_one_before_its_end(
    worker: MailWorker, log_events: list[EventDict]
) -> None:
    take_letters(worker.ledger, *"abcdef")
    worker.vendor.meanwhile = lambda: worker.break_step("begin_many")

    with pytest.raises(AssertionError, match="a bug"):  # of the next turn
        worker.run()

    assert sorted(worker.states().split()) == ["posted"] * 3 + ["queued"] * 3
    assert "mail.next_failed_on_a_bug" in {each["event"] for each in log_events}


def test_nothing_is_begun_after_an_end_that_could_not_be_written(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdefghi")
    worker.break_step("settle_many")

    with pytest.raises(AssertionError, match="a bug"):
        worker.run()

    assert len(worker.posted()) == 2
    assert sorted(each.state for each in batches(worker.ledger)) == ["posting", "posting", "ready"]
    assert worker.slots.held == 0


def test_an_end_that_could_not_be_written_is_written_when_the_ledger_is_back_before_another_is_begun(
    worker: MailWorker,
) -> None:
    take_letters(worker.ledger, *"abcdefghi")
    worker.lose_step("settle_many")

    worker.run()

    assert sorted(worker.states().split()) == ["posted"] * 9
    assert [operation for operation, _ in worker.commits.submitted][:6] == [
        "begin_many",
        "begin_many",
        "settle_many",
        "settle_many",
        "settle_many",
        "begin_many",
    ]


def test_a_slot_whose_request_was_cut_is_not_given_back_though_the_end_cannot_be_written(
    worker: MailWorker,
) -> None:
    take_letters(worker.ledger, *"abc")
    worker.vendor.answers = [SILENCE]
    worker.break_step("settle_many")

    with pytest.raises(AssertionError, match="a bug"):
        worker.run()

    assert worker.slots.held == 1


def test_a_slot_that_was_lost_after_the_next_batch_was_begun_sends_nothing_more(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdef")
    worker.vendor.meanwhile = lambda: worker.wipe_slots_after("begin_many")

    worker.run()

    (posted,) = worker.posted()
    assert states(worker.ledger) == {each: "posted" if each in posted else "queued" for each in "abcdef"}


def test_a_worker_that_was_slow_between_the_ledger_and_the_request_sends_nothing(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc")
    real = worker.slots.renew

    def slow(slot: Slot) -> bool:
        worker.clock.advance(LONGEST_GAP_S + 0.1)
        return real(slot)

    worker.slots.renew = slow  # type: ignore[method-assign]  # what happens between two steps
    worker.run()

    assert worker.posted() == []
    assert worker.batch().state == "ready"
    assert worker.slots.held == 0


def test_a_request_begins_only_with_more_of_the_slot_left_than_it_may_last(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc")
    worker.slots.left_s = lambda _: TIMEOUT_S  # type: ignore[method-assign]  # an answer of Redis that came late

    worker.run()

    assert worker.posted() == []
    assert worker.batch().state == "ready"


def test_while_redis_is_away_nothing_new_is_sent_and_what_is_under_way_ends(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdef")

    def away() -> None:
        worker.slots.is_away = True

    worker.vendor.meanwhile = away
    worker.run()
    assert len(worker.posted()) == 1
    assert sorted(row.state for row in batches(worker.ledger)) == ["posted", "ready"]

    assert worker.run() == "nobody knows whether a slot is free: nothing is sent"
    worker.slots.is_away = False
    worker.clock.advance(10)
    worker.run()

    assert sorted(worker.posted()) == [["a", "b", "c"], ["d", "e", "f"]]


def test_a_batch_that_became_due_while_the_slot_was_given_back_is_not_left_behind(worker: MailWorker) -> None:
    """Its message found no slot free; nobody else looks at it before a lease is over."""
    take_letters(worker.ledger, *"abc")
    real = worker.slots.release

    def meanwhile(slot: Slot) -> None:
        worker.slots.release = real  # type: ignore[method-assign]  # for one call only
        take_letters(worker.ledger, *"def")
        real(slot)

    worker.slots.release = meanwhile  # type: ignore[method-assign]  # what happens between two steps

    assert worker.run() == "2 batches"


# --- the end of a turn ----------------------------------------------------------------------------------------------


def test_a_worker_that_stops_ends_with_its_batch_gives_the_slot_back_and_calls_another(
    worker: MailWorker,
) -> None:
    take_letters(worker.ledger, *"abcdefghi")

    def stop() -> None:
        worker.is_stopping = True

    worker.vendor.meanwhile = stop

    assert worker.run() == "1 batches; another goes on"

    assert len(worker.posted()) == 1
    assert worker.slots.held == 0
    assert min(worker.published_at()) <= worker.clock()


def test_a_turn_ends_after_a_while_and_another_message_goes_on(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdefghi")
    worker.vendor.takes_s = 19

    assert worker.run() == "2 batches; another goes on"

    assert worker.slots.held == 0
    assert min(worker.published_at()) <= worker.clock()


def test_a_ledger_that_is_away_is_left_to_the_guardian_and_the_slot_is_free(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc")
    worker.commits.away = 1

    assert worker.run() == "the ledger is away: the guardian publishes it again"

    assert worker.posted() == []
    assert worker.slots.held == 0


def test_an_answer_is_recorded_however_long_the_ledger_is_away(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc")

    def away() -> None:
        worker.commits.away = 50

    worker.vendor.meanwhile = away
    worker.run()

    assert worker.states() == "posted posted posted"


def test_a_message_of_a_newer_release_is_left_alone(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc")

    assert worker.task.run("x", version=2, deadline_ms=0) == "left to a newer worker"
    assert worker.posted() == []
