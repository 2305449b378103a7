"""Which batch is posted next, how a worker holds it, and what each end makes of its letters."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Row, select

from clearance.bloomreach.feedback import Feedback
from clearance.ledger import address_suppressions, mail_posting
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import (
    Answered,
    End,
    Failed,
    Held,
    NothingLeft,
    NotSent,
    Posted,
    RefusedSingle,
    Rehearsed,
    Split,
)
from clearance.ledger.mail_intake import TakenAs
from clearance.ledger.mail_posting import BatchToPost
from clearance.ledger.mail_tables import track_commands
from clearance.ledger.tables import obligations
from clearance.mail_states import HeldReason
from clearance.obligations import Parked, Retry
from tests.fakes.clock import START
from tests.fakes.mail_owed import (
    LEASE,
    MAX_WAIT,
    batches,
    begin,
    begun,
    letter,
    next_due,
    person,
    request,
    settle,
    states,
    take,
    take_letters,
)

HELD = Held(reason=HeldReason.MAY_HAVE_ARRIVED, error="timed out")
LATER = START + timedelta(seconds=1)
_ALL_POSTED = Answered(
    results=(Posted(vendor_id="v1"), Posted(vendor_id="v2"), Posted(vendor_id="v3")), status=200
)


def _batch(ledger: Ledger, batch_id: str) -> Row[Any]:
    (row,) = [each for each in batches(ledger) if each.id == batch_id]
    return row


def _owed(ledger: Ledger, batch_id: str) -> list[tuple[str, str]]:
    with ledger.read() as connection:
        rows = connection.execute(
            select(obligations).where(obligations.c.subject == batch_id).order_by(obligations.c.id)
        )
        return [(row.id, row.state) for row in rows]


def _posting_until(ledger: Ledger, now: datetime) -> datetime | None:
    with ledger.read() as connection:
        return mail_posting.posting_until(connection, now, timedelta(seconds=60))


def _suppressed(ledger: Ledger) -> list[tuple[str, str, str, str | None]]:
    with ledger.read() as connection:
        return [
            (each.customer_key, each.address_key, each.reason, each.error)
            for each in address_suppressions.listed(connection, limit=10)
        ]


def _events(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """What Bloomreach is told, by the letter that it is about."""
    with ledger.read() as connection:
        rows = connection.execute(select(track_commands))
        return {row.about: orjson.loads(row.data)["properties"] for row in rows}


def test_a_batch_that_is_begun_is_marked_as_being_posted_and_has_its_letters_in_order(ledger: Ledger) -> None:
    take_letters(ledger, "a", "b")
    take_letters(ledger, "c")
    assert _posting_until(ledger, START) is None

    batch = begin(ledger, next_due(ledger, LATER), now=LATER, fence=7)

    assert batch is not None
    row = _batch(ledger, batch.batch_id)
    assert (row.state, row.posts, row.fence, row.sent_at) == ("posting", 1, 7, LATER)
    assert (batch.automation_id, batch.is_dry_run, batch.posts, batch.was_abandoned) == (
        "automation-1",
        False,
        1,
        False,
    )
    assert [(each.recipient_id, each.position) for each in batch.letters] == [("a", 0), ("b", 1), ("c", 2)]
    assert batch.letters[0].payload == letter("a").payload
    assert batch.letters[0].customer_ids == {"customer_id": "c-a"}
    assert next_due(ledger, LATER) is None
    assert _posting_until(ledger, LATER) == LATER + timedelta(seconds=60)
    assert _posting_until(ledger, LATER + timedelta(seconds=60)) is None


def test_a_batch_that_gathers_is_begun_when_it_has_waited_and_takes_no_letter_any_more(
    ledger: Ledger,
) -> None:
    take_letters(ledger, "a")
    assert next_due(ledger, START + MAX_WAIT - timedelta(seconds=1)) is None

    batch = begun(ledger, now=START + MAX_WAIT)
    take_letters(ledger, "b")

    assert [each.recipient_id for each in batch.letters] == ["a"]
    assert sorted(each.state for each in batches(ledger)) == ["gathering", "posting"]


def test_of_workers_that_begin_the_same_batch_at_once_one_has_it(ledger: Ledger) -> None:
    take_letters(ledger, *(f"{number:02}" for number in range(30)))
    owed = [f"mail.post:{each.id}" for each in batches(ledger)]
    together = threading.Barrier(3)
    won: list[str] = []
    errors: list[BaseException] = []

    def worker(order: int) -> None:
        try:
            together.wait()
            for name in owed[::order]:
                batch = begin(ledger, name)  # type: ignore[arg-type]  # an id as text
                if batch is not None:
                    won.append(batch.batch_id)
                    settle(ledger, batch, _ALL_POSTED)
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    threads = [threading.Thread(target=worker, args=(order,)) for order in (1, -1, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sorted(won) == sorted(each.id for each in batches(ledger))
    assert set(states(ledger).values()) == {"posted"}


def test_the_automation_whose_turn_is_longest_ago_comes_first_then_its_oldest_batch(ledger: Ledger) -> None:
    take_letters(ledger, *"abcdef", automation_id="big")
    take_letters(ledger, *"ghi", automation_id="big", now=LATER)
    take_letters(ledger, *"xyz", automation_id="small", now=LATER)
    turns = []
    for second in range(1, 5):
        batch = begun(ledger, now=START + timedelta(seconds=second))
        turns.append((batch.automation_id, batch.letters[0].recipient_id in "ad"))

    assert turns == [("big", True), ("small", False), ("big", True), ("big", False)]


def test_what_waits_for_a_retry_is_not_due_before_it(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    retry = Retry(run_at=START + timedelta(seconds=9), reason="VendorUnavailable", error="500")
    batch = begun(ledger)

    assert settle(ledger, batch, NotSent(error="500", status=500), outcome=retry)

    row = _batch(ledger, batch.batch_id)
    assert (row.state, row.posts, row.status, row.error) == ("ready", 0, 500, "500")
    assert set(states(ledger).values()) == {"queued"}
    assert next_due(ledger, START + timedelta(seconds=8)) is None
    again = begun(ledger, now=START + timedelta(seconds=9))
    assert (again.batch_id, again.posts, again.was_abandoned) == (batch.batch_id, 1, False)
    assert _posting_until(ledger, START + timedelta(seconds=9)) is not None


def test_a_batch_that_waits_for_a_retry_does_not_stand_in_the_way_of_the_next(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    take_letters(ledger, *"def", now=LATER)
    retry = Retry(run_at=START + timedelta(seconds=9), reason="VendorUnavailable", error="500")
    put_off = begun(ledger, now=LATER)
    assert settle(ledger, put_off, NotSent(error="500"), outcome=retry, now=LATER)

    assert [each.recipient_id for each in begun(ledger, now=LATER).letters] == ["d", "e", "f"]


def test_a_batch_that_was_not_sent_and_is_not_owed_any_more_is_held(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    parked = Parked(reason="BUG", error="KeyError")
    batch = begun(ledger)

    assert settle(ledger, batch, NotSent(error="KeyError"), outcome=parked)

    assert _batch(ledger, batch.batch_id).state == "held"
    assert set(states(ledger).values()) == {"held"}


def test_a_batch_whose_worker_disappeared_may_have_been_posted(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    lost = begun(ledger)
    assert next_due(ledger, START + LEASE - LATER.resolution) is None

    found = begun(ledger, now=START + LEASE)

    assert (found.batch_id, found.was_abandoned, found.posts) == (lost.batch_id, True, 1)
    assert len(found.letters) == 3
    row = _batch(ledger, lost.batch_id)
    assert (row.state, row.sent_at) == ("posting", START)


@pytest.mark.parametrize(
    "late", [_ALL_POSTED, HELD, NotSent(error="x"), Split(error="x", status=400), Rehearsed()]
)
def test_a_worker_that_comes_late_changes_nothing(ledger: Ledger, late: End) -> None:
    take_letters(ledger, *"abc")
    lost = begun(ledger)
    found = begun(ledger, now=START + LEASE)
    assert settle(ledger, found, Held(reason=HeldReason.WORKER_LOST, error="lost"), now=START + LEASE)
    before = (batches(ledger), states(ledger))

    assert not settle(ledger, lost, late, now=START + LEASE, feedback=Feedback())

    assert (batches(ledger), states(ledger)) == before
    assert _suppressed(ledger) == []
    assert _events(ledger) == {}


def test_an_answer_ends_each_letter_by_its_position(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    results = (Posted(vendor_id="v1"), Failed(message="no such street"), Posted(vendor_id="v3"))
    batch = begun(ledger)

    assert settle(
        ledger,
        batch,
        Answered(results=results, status=200, vendor_request_id="r1"),
        now=LATER,
        feedback=Feedback(),
    )

    row = _batch(ledger, batch.batch_id)
    assert (row.state, row.posted, row.failed, row.status) == ("posted", 2, 1, 200)
    assert (row.vendor_request_id, row.answered_at, row.finished_at) == ("r1", LATER, LATER)
    assert [(person(ledger, name).state, person(ledger, name).vendor_id) for name in "abc"] == [
        ("posted", "v1"),
        ("failed", None),
        ("posted", "v3"),
    ]
    failed = person(ledger, "b")
    assert (failed.reason, failed.error, failed.finished_at) == ("ADDRESS_REFUSED", "no such street", LATER)
    assert _suppressed(ledger) == [("customer_id:c-b", "address-b", "ADDRESS_REFUSED", "no such street")]
    events = _events(ledger)
    assert {name: event["status"] for name, event in events.items()} == {
        "a": "enqueued",
        "b": "failed",
        "c": "enqueued",
    }
    assert _owed(ledger, batch.batch_id) == [(f"mail.post:{batch.batch_id}", "done")]


def test_a_letter_that_failed_is_no_duplicate_but_its_address_is_suppressed(ledger: Ledger) -> None:
    without_ids = letter("b", customer_ids={})
    take(ledger, request(letter("a"), without_ids, letter("c")))
    results = (Posted(vendor_id="v1"), Failed(message="no"), Failed(message="no"))
    settle(ledger, begun(ledger), Answered(results=results, status=200))

    (taken,) = take(
        ledger,
        request(
            letter("a2", same_as="a"),
            letter("b2", same_as="b", customer_ids={}),
            letter("c2", same_as="c"),
        ),
    )

    assert [each.taken_as for each in taken.letters] == [
        TakenAs.DUPLICATE,
        TakenAs.SUPPRESSED,
        TakenAs.SUPPRESSED,
    ]
    assert [each[0] for each in _suppressed(ledger)] == ["", "customer_id:c-c"]


def test_a_suppression_that_is_cleared_lets_the_letter_be_sent_again(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    failed = Failed(message="no")
    settle(ledger, begun(ledger), Answered(results=(failed, failed, failed), status=200))
    with ledger.write() as connection:
        assert address_suppressions.remove(connection, recipient_id="a") == 1
        assert address_suppressions.remove(connection, customer_key="customer_id:c-b") == 1
        assert address_suppressions.remove(connection, recipient_id="nobody") == 0

    (taken,) = take(ledger, request(*(letter(f"{name}2", same_as=name) for name in "abc")))

    assert [each.taken_as for each in taken.letters] == [
        TakenAs.QUEUED,
        TakenAs.QUEUED,
        TakenAs.SUPPRESSED,
    ]


def test_what_may_have_arrived_is_held_and_not_due(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    batch = begun(ledger)

    assert settle(ledger, batch, HELD, now=LATER, feedback=Feedback())

    row = _batch(ledger, batch.batch_id)
    assert (row.state, row.reason, row.error) == ("held", "MAY_HAVE_ARRIVED", "timed out")
    assert (row.answered_at, row.finished_at) == (LATER, None)
    assert set(states(ledger).values()) == {"held"}
    assert (person(ledger, "a").reason, person(ledger, "a").finished_at) == ("MAY_HAVE_ARRIVED", None)
    assert next_due(ledger, START + timedelta(days=300)) is None
    # Optilyz may still be at the request: a slot that was lost with Redis is not given again before.
    assert _posting_until(ledger, LATER) == START + timedelta(seconds=60)
    assert _events(ledger) == {}


def test_a_batch_that_was_refused_is_split_until_one_letter_is_left(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    batch = begun(ledger)

    assert settle(ledger, batch, Split(error="HTTP 422", status=422), now=LATER)

    assert _batch(ledger, batch.batch_id).state == "split"
    halves = [each for each in batches(ledger) if each.parent_id == batch.batch_id]
    assert sorted((each.state, each.recipients) for each in halves) == [("ready", 1), ("ready", 2)]
    owed = [_owed(ledger, each.id) for each in halves]
    assert owed == [[(f"mail.post:{each.id}", "open")] for each in halves]
    first, second = sorted((begun(ledger, now=LATER) for _ in halves), key=_first_letter)
    assert [each.recipient_id for each in first.letters] == ["a", "b"]
    assert [(each.recipient_id, each.position) for each in second.letters] == [("c", 0)]

    assert settle(ledger, second, RefusedSingle(error="HTTP 422", status=422), now=LATER, feedback=Feedback())

    row = _batch(ledger, second.batch_id)
    assert (row.state, row.failed, row.status) == ("failed", 1, 422)
    assert (person(ledger, "c").state, person(ledger, "c").reason) == ("failed", "LETTER_REFUSED")
    assert _suppressed(ledger) == []
    assert _events(ledger)["c"]["status"] == "failed"
    (again,) = take(ledger, request(letter("c2", same_as="c")))
    assert again.letters[0].taken_as is TakenAs.QUEUED


def _first_letter(batch: BatchToPost) -> str:
    return batch.letters[0].recipient_id


def test_a_single_letter_is_not_split(ledger: Ledger) -> None:
    take_letters(ledger, "a")
    batch = begun(ledger, now=START + MAX_WAIT)

    assert settle(ledger, batch, Split(error="HTTP 422", status=422))

    assert [(each.state, each.failed) for each in batches(ledger)] == [("failed", 1)]
    assert states(ledger) == {"a": "failed"}


def test_a_rehearsal_ends_without_a_post_and_bloomreach_is_told_nothing(ledger: Ledger) -> None:
    take_letters(ledger, *"abc", is_dry_run=True)
    batch = begun(ledger)
    assert batch.is_dry_run
    assert _posting_until(ledger, START) is None

    assert settle(ledger, batch, Rehearsed(), feedback=Feedback())

    assert _batch(ledger, batch.batch_id).state == "rehearsed"
    assert set(states(ledger).values()) == {"rehearsed"}
    assert _events(ledger) == {}


def test_an_answer_of_another_length_is_a_bug_and_changes_nothing(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    batch = begun(ledger)

    with pytest.raises(ValueError, match="zip"):
        settle(ledger, batch, Answered(results=(Posted(vendor_id="v"),), status=200))

    assert _batch(ledger, batch.batch_id).state == "posting"


def test_doors_and_workers_at_once_do_not_block_each_other(ledger: Ledger) -> None:
    """Letters that fail free their keys while the same ones come again: nobody waits in a ring."""
    names = [f"{number:02}" for number in range(12)]
    together = threading.Barrier(4)
    errors: list[BaseException] = []

    def door(order: int) -> None:
        for round_ in range(15):
            letters = [
                letter(f"{order}-{round_}-{name}", same_as=name, address=f"{round_}-{name}") for name in names
            ]
            take(ledger, request(*letters[::order]))

    def worker(_order: int) -> None:
        for _ in range(60):
            owed = next_due(ledger, START)
            batch = begin(ledger, owed) if owed else None
            if batch is not None:
                # Fewer than three: a letter came before its address was refused, and waited until after.
                fails = (Failed(message="no"),) * len(batch.letters)
                assert settle(ledger, batch, Answered(results=fails, status=200) if fails else NothingLeft())

    def run(of: Sequence[Any]) -> None:
        try:
            together.wait()
            of[0](of[1])
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    jobs = [(door, 1), (door, -1), (worker, 1), (worker, -1)]
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert {each.state for each in batches(ledger)} <= {"posted", "failed", "ready", "gathering"}
