"""What operators see of letters and batches, and which addresses are forgotten."""

from datetime import timedelta

from clearance.ledger import address_suppressions, mail_reads, mail_retention
from clearance.ledger.address_suppressions import AddressSuppression, customer_keys
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Answered, Failed, Held, Posted, Split
from clearance.mail_states import BatchState, HeldReason, RecipientState
from tests.fakes.clock import START
from tests.fakes.mail_owed import (
    MAX_WAIT,
    WINDOW,
    begun,
    letter,
    person,
    refused,
    request,
    settle,
    states,
    take,
    take_letters,
)

LATER = START + timedelta(hours=1)
HELD = Held(reason=HeldReason.MAY_HAVE_ARRIVED, error="timed out")


def _two_posted_one_failed(ledger: Ledger) -> str:
    take_letters(ledger, *"abc")
    batch = begun(ledger)
    results = (Posted(vendor_id="v1"), Failed(message="no such street"), Posted(vendor_id="v3"))
    assert settle(ledger, batch, Answered(results=results, status=200))
    return batch.batch_id


def test_recipients_are_listed_the_newest_first_page_by_page(ledger: Ledger) -> None:
    take_letters(ledger, *"abc", automation_id="one")
    take(ledger, request(letter("d"), refused("e"), automation_id="two", now=LATER))
    with ledger.read() as connection:
        first = mail_reads.recipients(connection, limit=3)
        rest = mail_reads.recipients(connection, limit=3, before_id=first[-1].recipient_id)
        of_two = mail_reads.recipients(connection, automation_id="two", state=RecipientState.QUEUED)
        late = mail_reads.recipients(connection, since=LATER)

    assert [each.recipient_id for each in first + rest] == list("edcba")
    assert [each.recipient_id for each in of_two] == ["d"]
    assert [each.recipient_id for each in late] == ["e", "d"]
    assert of_two[0].customer_ids == {"customer_id": "c-d"}
    assert {each.payload for each in first} == {None}


def test_one_recipient_is_read_whole(ledger: Ledger) -> None:
    batch_id = _two_posted_one_failed(ledger)
    with ledger.read() as connection:
        found = mail_reads.recipient(connection, "b")
        assert mail_reads.recipient(connection, "nobody") is None

    assert found is not None
    assert (found.payload, found.batch_id, found.position) == (letter("b").payload, batch_id, 1)
    assert (found.state, found.reason, found.error) == (
        RecipientState.FAILED,
        "ADDRESS_REFUSED",
        "no such street",
    )


def test_batches_are_listed_and_one_is_read_with_its_letters(ledger: Ledger) -> None:
    batch_id = _two_posted_one_failed(ledger)
    take_letters(ledger, *"def", now=LATER)
    split = begun(ledger, now=LATER)
    assert settle(ledger, split, Split(error="HTTP 422", status=422), now=LATER)
    with ledger.read() as connection:
        listed = mail_reads.batches(connection, limit=1)
        older = mail_reads.batches(connection, before_id=split.batch_id)
        ready = mail_reads.batches(connection, automation_id="automation-1", state=BatchState.READY)
        posted = mail_reads.batch(connection, batch_id)
        letters = mail_reads.letters(connection, batch_id)
        assert mail_reads.batch(connection, "unknown") is None

    assert listed[0].state in {BatchState.READY, BatchState.SPLIT}
    assert batch_id in {each.batch_id for each in older}
    assert posted is not None
    assert (posted.posted, posted.failed, posted.status, posted.parent_id) == (2, 1, 200, None)
    assert [each.recipient_id for each in letters] == list("abc")
    assert {each.parent_id for each in ready} == {split.batch_id}
    assert sorted(each.recipients for each in ready) == [1, 2]


def test_what_is_held_is_listed_the_oldest_first(ledger: Ledger) -> None:
    batch_ids = []
    for hour in range(3):
        now = START + timedelta(hours=hour)
        take_letters(ledger, *(f"{hour}{name}" for name in "abc"), now=now)
        batch = begun(ledger, now=now)
        assert settle(ledger, batch, HELD, now=now)
        batch_ids.append(batch.batch_id)
    with ledger.read() as connection:
        first = mail_reads.held(connection, limit=2)
        rest = mail_reads.held(connection, after_id=first[-1].batch_id)

    assert [each.batch_id for each in first + rest] == batch_ids
    assert (first[0].reason, first[0].error, first[0].answered_at) == ("MAY_HAVE_ARRIVED", "timed out", START)


def test_letters_are_counted_by_automation_and_state(ledger: Ledger) -> None:
    _two_posted_one_failed(ledger)
    take(ledger, request(letter("d"), refused("e"), automation_id="automation-2", is_dry_run=True))
    with ledger.read() as connection:
        found = mail_reads.counts(connection)

    assert [(each.automation_id, each.state, each.is_dry_run, each.recipients) for each in found] == [
        ("automation-1", "failed", False, 1),
        ("automation-1", "posted", False, 2),
        ("automation-2", "queued", True, 1),
        ("automation-2", "refused", True, 1),
    ]


def test_the_oldest_that_waits_counts_until_it_is_answered_and_rehearsals_do_not(ledger: Ledger) -> None:
    take_letters(ledger, "r", is_dry_run=True, now=START - MAX_WAIT)
    with ledger.read() as connection:
        assert mail_reads.oldest_waiting_at(connection) is None
    take_letters(ledger, *"abc")
    take_letters(ledger, *"def", now=LATER)
    with ledger.read() as connection:
        assert mail_reads.oldest_waiting_at(connection) == START
    for _ in range(2):
        batch = begun(ledger, now=START)
        if not batch.is_dry_run:
            assert settle(ledger, batch, HELD)
    with ledger.read() as connection:
        assert mail_reads.oldest_waiting_at(connection) == LATER


def test_what_failed_is_exported_with_address_and_reason_whoever_refused_it(ledger: Ledger) -> None:
    _two_posted_one_failed(ledger)
    take(ledger, request(letter("b2", same_as="b"), refused("r"), now=LATER))
    take(ledger, request(refused("rehearsed"), is_dry_run=True, now=LATER))
    with ledger.read() as connection:
        first = mail_reads.failed(connection, limit=1)
        rest = mail_reads.failed(connection, after_id=first[-1].recipient_id)
        late = mail_reads.failed(connection, since=LATER)
        elsewhere = mail_reads.failed(connection, automation_id="automation-2")

    assert [(each.recipient_id, each.reason, each.payload) for each in first + rest] == [
        ("b", "ADDRESS_REFUSED", letter("b").payload),
        ("b2", "ADDRESS_SUPPRESSED", letter("b").payload),
        ("r", "MISSING", None),
    ]
    assert [each.recipient_id for each in late] == ["b2", "r"]
    assert elsewhere == []


def test_addresses_of_letters_that_ended_are_forgotten_in_portions(ledger: Ledger) -> None:
    _two_posted_one_failed(ledger)
    take_letters(ledger, "waits")
    late = START + timedelta(days=1)
    with ledger.write() as connection:
        assert mail_retention.count_older(connection, START) == 0
        assert mail_retention.purge(connection, START) == 0
        assert mail_retention.count_older(connection, late) == 3
        assert [mail_retention.purge(connection, late, portion=2) for _ in range(3)] == [2, 1, 0]
        (suppression,) = address_suppressions.listed(connection, limit=10)

    assert [person(ledger, name).payload for name in "abc"] == [None] * 3
    assert (person(ledger, "b").error, person(ledger, "b").reason) == (None, "ADDRESS_REFUSED")
    assert (suppression.recipient_id, suppression.error) == ("b", None)
    assert person(ledger, "waits").payload is not None
    assert states(ledger)["b"] == "failed"


def test_keys_whose_window_is_over_are_forgotten_in_portions(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    with ledger.write() as connection:
        assert mail_retention.purge_keys(connection, START + WINDOW - LATER.resolution) == 0
        assert [mail_retention.purge_keys(connection, START + WINDOW, portion=2) for _ in range(3)] == [
            2,
            1,
            0,
        ]


def test_a_customer_has_a_key_for_each_id_that_names_one() -> None:
    assert customer_keys({"email": "a@b.example", "customer_id": " C1 ", "cookie": "null"}) == [
        "customer_id:C1",
        "email:a@b.example",
    ]
    assert customer_keys({"cookie": "undefined"}) == customer_keys({}) == [""]
    (long,) = customer_keys({"customer_id": "x" * 1_000})
    assert len(long) <= 300
    assert customer_keys({"customer_id": "x" * 999 + "y"}) != [long]


def test_suppressions_are_listed_page_by_page_and_the_first_one_stands(ledger: Ledger) -> None:
    items = [
        AddressSuppression(
            customer_key=customer,
            address_key=address,
            reason="MOVED",
            added_at=START,
            added_by="ada",
            recipient_id=None,
        )
        for customer, address in [("id:1", "x"), ("id:1", "y"), ("id:2", "x"), ("", "x")]
    ]
    with ledger.write() as connection:
        assert address_suppressions.add_many(connection, items) == 4
        assert address_suppressions.add_many(connection, items[:2]) == 0
        pages = []
        after = ("", "")
        while page := address_suppressions.listed(connection, after=after, limit=3):
            pages.append([(each.customer_key, each.address_key) for each in page])
            after = pages[-1][-1]
        of_one = address_suppressions.listed(connection, customer_key="id:1", limit=10)
        asked = [
            letter("a", address="x", customer_ids={"id": "1"}),
            letter("b", address="y", customer_ids={"id": "2"}),
            letter("c", address="x", customer_ids={"id": "3", "email": "a@b.example"}),
            letter("d", address="x", customer_ids={}),
            letter("e", address="y", customer_ids={"id": "1", "email": "a@b.example"}),
        ]
        suppressed = address_suppressions.suppressed(connection, asked)

    assert pages == [[("", "x"), ("id:1", "x"), ("id:1", "y")], [("id:2", "x")]]
    assert [each.address_key for each in of_one] == ["x", "y"]
    assert suppressed == {"a", "d", "e"}
