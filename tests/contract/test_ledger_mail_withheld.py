"""Letters whose address is suppressed while they wait: what becomes of them, of their batch and of the others in it."""

from datetime import timedelta

import orjson
from sqlalchemy import select

from clearance.bloomreach.feedback import Feedback
from clearance.ledger import address_suppressions
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Answered, Held, NothingLeft, NotSent, Posted
from clearance.ledger.mail_intake import TakenAs
from clearance.ledger.mail_tables import track_commands
from clearance.mail_states import HeldReason
from clearance.obligations import Retry
from tests.fakes.clock import START
from tests.fakes.mail_owed import (
    LEASE,
    batches,
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

LATER = START + timedelta(seconds=1)


def _suppress(ledger: Ledger, *names: str) -> None:
    with ledger.write() as connection:
        for name in names:
            address_suppressions.suppress_recipient(connection, name, reason="MOVED", who="ada", now=START)


def _told(ledger: Ledger) -> dict[str, tuple[str, str | None]]:
    """What Bloomreach is told, by the letter that it is about: the status, and the reason."""
    with ledger.read() as connection:
        rows = connection.execute(select(track_commands))
        told = {row.about: orjson.loads(row.data)["properties"] for row in rows}
    return {name: (event["status"], event.get("reason")) for name, event in told.items()}


def test_a_letter_whose_address_is_suppressed_while_it_waits_is_not_posted(ledger: Ledger) -> None:
    neighbour = letter("c", address="address-b")
    take(ledger, request(letter("a"), letter("b"), neighbour))
    _suppress(ledger, "b")

    batch = begun(ledger)
    results = (Posted(vendor_id="v1"), Posted(vendor_id="v2"))
    assert settle(ledger, batch, Answered(results=results, status=200), feedback=Feedback())

    assert [each.recipient_id for each in batch.letters] == ["a", "c"]
    assert states(ledger) == {"a": "posted", "b": "suppressed", "c": "posted"}
    (row,), withheld = batches(ledger), person(ledger, "b")
    assert (row.state, row.recipients, row.posted, row.failed) == ("posted", 2, 2, 0)
    assert (person(ledger, "a").position, person(ledger, "c").position) == (0, 1)
    assert (withheld.reason, withheld.batch_id, withheld.position) == ("ADDRESS_SUPPRESSED", None, None)
    assert withheld.finished_at == START
    assert _told(ledger) == {
        "a": ("enqueued", None),
        "b": ("failed", "ADDRESS_SUPPRESSED"),
        "c": ("enqueued", None),
    }
    (again,) = take(ledger, request(letter("b2", same_as="b")))
    assert again.letters[0].taken_as is TakenAs.SUPPRESSED


def test_a_letter_that_was_withheld_does_not_come_back_with_the_retry_of_its_batch(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    _suppress(ledger, "a")
    retry = Retry(run_at=LATER, reason="VendorUnavailable", error="500")
    assert settle(ledger, begun(ledger), NotSent(error="500"), outcome=retry)
    with ledger.write() as connection:
        address_suppressions.remove(connection, recipient_id="a")

    again = begun(ledger, now=LATER)

    assert ([each.recipient_id for each in again.letters], again.withheld) == (["b", "c"], ())
    assert states(ledger)["a"] == "suppressed"


def test_a_batch_of_which_nothing_is_left_ends_and_nothing_is_owed_for_it(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    _suppress(ledger, *"abc")
    batch = begun(ledger)
    assert batch.letters == ()

    assert settle(ledger, batch, NothingLeft(), now=LATER, feedback=Feedback())

    (row,) = batches(ledger)
    assert (row.state, row.reason, row.recipients) == ("failed", "ADDRESS_SUPPRESSED", 0)
    assert set(states(ledger).values()) == {"suppressed"}
    assert _told(ledger) == dict.fromkeys("abc", ("failed", "ADDRESS_SUPPRESSED"))
    assert next_due(ledger, START + LEASE) is None


def test_a_letter_that_may_have_been_posted_is_held_though_its_address_is_suppressed_now(
    ledger: Ledger,
) -> None:
    take_letters(ledger, *"abc")
    begun(ledger)
    _suppress(ledger, "b")

    found = begun(ledger, now=START + LEASE)
    assert settle(ledger, found, Held(reason=HeldReason.WORKER_LOST, error="lost"), now=START + LEASE)

    assert set(states(ledger).values()) == {"held"}
