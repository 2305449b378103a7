"""The end of one batch and the beginning of the next: one transaction, in which either may fail to count alone."""

from collections.abc import Sequence
from datetime import timedelta

from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Answered, BatchEnd, Failed, Posted
from clearance.ledger.mail_posting import BatchToPost, BeginRequest
from clearance.ledger.mail_succession import Succeeded, Succession, succeed_many
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.obligations import Done, ObligationId
from tests.fakes.mail_owed import (
    LEASE,
    START,
    batches,
    begin,
    begun,
    letter,
    next_due,
    request,
    states,
    take,
    take_letters,
)

_LATER = START + timedelta(seconds=1)


def _succession(
    batch: BatchToPost,
    following: ObligationId | None,
    fence: int = 2,
    results: tuple[Posted | Failed, ...] = (),
) -> Succession:
    assert following is not None
    posted = tuple(Posted(vendor_id=f"v-{each.recipient_id}") for each in batch.letters)
    claim = ClaimRequest(obligation_id=following, now=_LATER, lease_until=_LATER + LEASE)
    return Succession(
        ended=BatchEnd(
            batch=batch,
            end=Answered(results=results or posted, status=200),
            finish=Finish(claimed=batch.claimed, outcome=Done(), now=_LATER),
            feedback=None,
            now=_LATER,
        ),
        following=BeginRequest(claim=claim, fence=fence),
    )


def _succeed(ledger: Ledger, *items: Succession) -> Sequence[Succeeded]:
    with ledger.write() as connection:
        return succeed_many(connection, items)


def test_a_batch_ends_and_the_next_is_begun(ledger: Ledger) -> None:
    take_letters(ledger, *"abcdef")
    first = begun(ledger)

    (told,) = _succeed(ledger, _succession(first, next_due(ledger, _LATER)))

    assert told.is_ours
    assert told.following is not None
    posted = {each.recipient_id for each in first.letters}
    assert {each.recipient_id for each in told.following.letters} == set("abcdef") - posted
    assert sorted((each.state, each.fence) for each in batches(ledger)) == [("posted", 1), ("posting", 2)]
    assert states(ledger) == {each: "posted" if each in posted else "queued" for each in "abcdef"}


def test_an_address_that_one_batch_shows_to_be_wrong_is_not_posted_to_in_the_next(ledger: Ledger) -> None:
    take_letters(ledger, *"abc")
    first = begun(ledger)
    same_address = letter("x", address="address-a", customer_ids={"customer_id": "c-a"})
    take(ledger, request(same_address, letter("y"), letter("z"), automation_id="automation-2"))
    results = (Failed(message="no such street"), Posted(vendor_id="v1"), Posted(vendor_id="v2"))

    (told,) = _succeed(ledger, _succession(first, next_due(ledger, _LATER), results=results))

    assert told.following is not None
    assert [each.recipient_id for each in told.following.letters] == ["y", "z"]
    assert [each.recipient_id for each in told.following.withheld] == ["x"]


def test_of_two_that_want_the_same_batch_one_gets_it_and_both_ends_count(ledger: Ledger) -> None:
    take_letters(ledger, *"abcdefghi")
    first, second = begun(ledger), begun(ledger)
    wanted = next_due(ledger, _LATER)

    told = _succeed(ledger, _succession(first, wanted), _succession(second, wanted))

    assert [each.is_ours for each in told] == [True, True]
    assert sorted(each.following is None for each in told) == [False, True]
    assert sorted(each.state for each in batches(ledger)) == ["posted", "posted", "posting"]


def test_an_end_that_does_not_count_any_more_keeps_nobody_from_the_next_batch(ledger: Ledger) -> None:
    take_letters(ledger, *"abcdef")
    first = begun(ledger)
    following = next_due(ledger, _LATER)
    successor = begin(ledger, first.claimed.obligation_id, now=START + LEASE + timedelta(seconds=1))
    assert successor is not None
    assert successor.was_abandoned

    (told,) = _succeed(ledger, _succession(first, following))

    assert not told.is_ours
    assert told.following is not None
    assert set(states(ledger).values()) == {"queued"}
