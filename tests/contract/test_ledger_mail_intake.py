"""What is kept of a request to the relay: each letter once, in batches that are owed."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import func, select

from clearance.bloomreach.feedback import Feedback
from clearance.ledger import address_suppressions, due
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_intake import NewRequest, TakenAs, TakenLetter, TakenRequest
from clearance.ledger.mail_tables import mail_recipients, track_commands
from clearance.ledger.tables import obligations
from clearance.obligations import Lane
from tests.fakes.clock import START
from tests.fakes.mail_owed import (
    MAX_WAIT,
    WINDOW,
    batches,
    letter,
    person,
    plan,
    refused,
    request,
    states,
    take,
    take_letters,
)


def _told(taken: TakenRequest) -> list[tuple[TakenAs, str]]:
    return [(each.taken_as, each.recipient_id) for each in taken.letters]


def _places(ledger: Ledger) -> dict[str, tuple[str, int]]:
    with ledger.read() as connection:
        rows = connection.execute(select(mail_recipients).where(mail_recipients.c.batch_id.is_not(None)))
        return {row.id: (row.batch_id, row.position) for row in rows}


def _owed(ledger: Ledger) -> dict[str, tuple[object, object]]:
    with ledger.read() as connection:
        rows = connection.execute(select(obligations).where(obligations.c.lane == Lane.MAIL))
        return {row.id: (row.run_at, row.publish_at) for row in rows}


def test_a_new_letter_gathers_and_is_owed_when_it_has_waited_long_enough(ledger: Ledger) -> None:
    taken = take_letters(ledger, "a")

    assert taken == TakenRequest(letters=(TakenLetter(taken_as=TakenAs.QUEUED, recipient_id="a"),), due=())
    (batch,) = batches(ledger)
    assert (batch.state, batch.recipients, batch.due_at) == ("gathering", 1, START + MAX_WAIT)
    assert _owed(ledger) == {f"mail.post:{batch.id}": (START + MAX_WAIT, START + MAX_WAIT)}
    row = person(ledger, "a")
    assert (row.state, row.batch_id, row.position) == ("queued", batch.id, 0)
    assert (row.customer_ids, row.campaign, row.finished_at) == ('{"customer_id":"c-a"}', "spring", None)


def test_letters_fill_batches_in_order_and_full_ones_are_due_at_once(ledger: Ledger) -> None:
    take_letters(ledger, "a", "b")
    later = START + timedelta(seconds=1)

    taken = take_letters(ledger, *"cdefgh", now=later)

    first, second, third = batches(ledger)
    assert [(each.state, each.recipients) for each in (first, second, third)] == [
        ("ready", 3),
        ("ready", 3),
        ("gathering", 2),
    ]
    assert [each.subject for each in taken.due] == [first.id, second.id]
    assert [each.run_at for each in taken.due] == [later, later]
    assert _owed(ledger) == {
        f"mail.post:{first.id}": (later, later),
        f"mail.post:{second.id}": (later, later),
        f"mail.post:{third.id}": (later + MAX_WAIT, later + MAX_WAIT),
    }
    places = _places(ledger)
    assert [places[name] for name in "abcdefgh"] == [
        *((first.id, position) for position in range(3)),
        *((second.id, position) for position in range(3)),
        *((third.id, position) for position in range(2)),
    ]


def test_requests_of_one_group_share_batches_and_each_hears_what_it_filled(ledger: Ledger) -> None:
    taken = take(
        ledger,
        request(letter("a"), letter("b")),
        request(letter("x"), automation_id="automation-2"),
        request(letter("c"), letter("d")),
        request(letter("e"), is_dry_run=True),
    )

    assert [len(each.due) for each in taken] == [0, 0, 1, 0]
    told = Counter(
        (each.automation_id, each.is_dry_run, each.state, each.recipients) for each in batches(ledger)
    )
    assert told == {
        ("automation-1", False, "ready", 3): 1,
        ("automation-1", False, "gathering", 1): 1,
        ("automation-2", False, "gathering", 1): 1,
        ("automation-1", True, "gathering", 1): 1,
    }


def test_a_batch_that_gathers_is_closed_when_batches_have_become_smaller(ledger: Ledger) -> None:
    take_letters(ledger, "a", "b")

    take_letters(ledger, "c", "d", "e", plan=plan(2))

    assert [(each.state, each.recipients) for each in batches(ledger)] == [
        ("ready", 2),
        ("ready", 2),
        ("gathering", 1),
    ]


def test_the_same_letter_in_one_request_or_in_two_of_a_group_or_later_is_one(ledger: Ledger) -> None:
    first, second = take(
        ledger,
        request(letter("a"), letter("a2", same_as="a"), letter("b")),
        request(letter("b2", same_as="b")),
    )
    (third,) = take(ledger, request(letter("a3", same_as="a"), letter("c")))

    assert _told(first) == [(TakenAs.QUEUED, "a"), (TakenAs.DUPLICATE, "a"), (TakenAs.QUEUED, "b")]
    assert _told(second) == [(TakenAs.DUPLICATE, "b")]
    assert _told(third) == [(TakenAs.DUPLICATE, "a"), (TakenAs.QUEUED, "c")]
    assert set(states(ledger)) == {"a", "b", "c"}
    assert sum(each.recipients for each in batches(ledger)) == 3


def test_a_key_whose_window_is_over_is_taken_over(ledger: Ledger) -> None:
    take_letters(ledger, "a")
    before, over = START + WINDOW - timedelta(seconds=1), START + WINDOW

    (still,) = take(ledger, request(letter("a2", same_as="a"), now=before))
    (again,) = take(ledger, request(letter("a3", same_as="a"), now=over))
    (repeat,) = take(ledger, request(letter("a4", same_as="a"), now=over + timedelta(hours=1)))

    assert _told(still) == [(TakenAs.DUPLICATE, "a")]
    assert _told(again) == [(TakenAs.QUEUED, "a3")]
    assert _told(repeat) == [(TakenAs.DUPLICATE, "a3")]


def test_a_request_that_is_written_again_changes_nothing(ledger: Ledger) -> None:
    """A connection that is lost at commit leaves it open whether it was."""
    feedback = Feedback()
    again = request(letter("a"), refused("r"), letter("b"), feedback=feedback)
    take(ledger, again)

    (taken,) = take(ledger, again)

    assert _told(taken) == [(TakenAs.DUPLICATE, "a"), (TakenAs.REFUSED, "r"), (TakenAs.DUPLICATE, "b")]
    assert states(ledger) == {"a": "queued", "r": "refused", "b": "queued"}
    assert [each.recipients for each in batches(ledger)] == [2]
    with ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(track_commands)).scalar() == 1


def test_a_refused_recipient_is_kept_with_its_reason_and_told_to_bloomreach(ledger: Ledger) -> None:
    (taken,) = take(ledger, request(refused("r"), letter("a"), feedback=Feedback()))

    assert _told(taken) == [(TakenAs.REFUSED, "r"), (TakenAs.QUEUED, "a")]
    row = person(ledger, "r")
    assert (row.state, row.reason, row.error) == ("refused", "MISSING", "zipCode is missing")
    assert (row.batch_id, row.payload, row.finished_at) == (None, None, START)
    assert [each.lane for each in taken.due] == [Lane.TRACK]
    with ledger.read() as connection:
        (command,) = connection.execute(select(track_commands)).all()
    assert command.about == "r"


def test_bloomreach_is_told_nothing_of_a_rehearsal(ledger: Ledger) -> None:
    (taken,) = take(ledger, request(refused("r"), is_dry_run=True, feedback=Feedback()))

    assert taken.due == ()


def test_a_suppressed_address_is_not_batched_until_the_address_changes(ledger: Ledger) -> None:
    take_letters(ledger, "a", now=START - WINDOW)
    with ledger.write() as connection:
        assert (
            address_suppressions.suppress_recipient(connection, "a", reason="MOVED", who="ada", now=START)
            == 1
        )

    (taken,) = take(
        ledger,
        request(
            letter("a2", same_as="a"),
            letter("moved", same_as="a2", address="another", customer_ids={"customer_id": "c-a"}),
            letter("other", address="address-a"),
            feedback=Feedback(),
        ),
    )

    assert _told(taken) == [
        (TakenAs.SUPPRESSED, "a2"),
        (TakenAs.QUEUED, "moved"),
        (TakenAs.QUEUED, "other"),
    ]
    row = person(ledger, "a2")
    assert (row.state, row.reason, row.batch_id) == ("suppressed", "ADDRESS_SUPPRESSED", None)
    assert row.payload is not None
    assert [each.lane for each in taken.due if each.lane is Lane.TRACK] == [Lane.TRACK]


def test_a_letter_that_was_accepted_is_answered_as_before_though_its_address_is_suppressed_now(
    ledger: Ledger,
) -> None:
    take_letters(ledger, "a")
    with ledger.write() as connection:
        address_suppressions.suppress_recipient(connection, "a", reason="MOVED", who="ada", now=START)

    (taken,) = take(ledger, request(letter("a2", same_as="a")))

    assert _told(taken) == [(TakenAs.DUPLICATE, "a")]


def test_what_gathers_is_published_by_the_guardian_when_it_is_due(ledger: Ledger) -> None:
    take_letters(ledger, "a")

    with ledger.write() as connection:
        assert due.take_due(connection, START + MAX_WAIT / 2, 10, MAX_WAIT) == []
        (published,) = due.take_due(connection, START + MAX_WAIT, 10, MAX_WAIT)

    assert published.obligation_id == f"mail.post:{batches(ledger)[0].id}"


def test_doors_that_take_the_same_letters_at_once_take_each_once(ledger: Ledger) -> None:
    """Four doors, each with the same letters for three automations in an order of its own."""
    told = _at_once(lambda door, round_: take(ledger, *_requests(door, round_)))

    taken_as = Counter(letter.taken_as for each in told for letter in each.letters)
    assert taken_as == {TakenAs.QUEUED: 120, TakenAs.DUPLICATE: 360}
    assert len(states(ledger)) == 120
    _expect_batches_in_order(ledger, told)


def test_doors_that_fill_the_same_batches_at_once_never_overfill_one(ledger: Ledger) -> None:
    """Four doors with letters of their own, which open and fill the batches of new automations together."""

    def door(number: int, round_: int) -> list[TakenRequest]:
        return [
            taken
            for part in range(3)
            for taken in take(
                ledger,
                *(
                    request(
                        *(letter(f"{name}-{round_}-{part}-{number}-{each}") for each in range(4)),
                        automation_id=f"{name}-{round_}",
                        plan=plan(7),
                    )
                    for name in ["x", "y"][:: 1 if number % 2 else -1]
                ),
            )
        ]

    told = _at_once(door)

    assert len(states(ledger)) == 4 * 10 * 3 * 2 * 4
    _expect_batches_in_order(ledger, told)


def _at_once(door: Callable[[int, int], list[TakenRequest]]) -> list[TakenRequest]:
    """Four doors, ten rounds that begin together; the first error is the test's."""
    together = threading.Barrier(4)
    errors: list[BaseException] = []
    told: list[TakenRequest] = []

    def run(number: int) -> None:
        try:
            for round_ in range(10):
                together.wait()
                told.extend(door(number, round_))
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return told


def _expect_batches_in_order(ledger: Ledger, told: list[TakenRequest]) -> None:
    """Full but for one that gathers; positions without gaps; who filled one was told to publish it."""
    places = _places(ledger)
    assert places.keys() == states(ledger).keys()
    by_batch: dict[str, list[int]] = {}
    for batch_id, position in places.values():
        by_batch.setdefault(batch_id, []).append(position)
    for batch in batches(ledger):
        assert sorted(by_batch.pop(batch.id)) == list(range(batch.recipients)), batch.id
        assert batch.recipients == 7 if batch.state == "ready" else batch.recipients < 7
    assert by_batch == {}
    gathering = Counter(each.automation_id for each in batches(ledger) if each.state == "gathering")
    assert set(gathering.values()) <= {1}
    published = [each.subject for taken in told for each in taken.due]
    assert sorted(published) == sorted(each.id for each in batches(ledger) if each.state == "ready")


def _requests(door: int, round_: int) -> list[NewRequest]:
    order = 1 if door % 2 else -1
    return [
        request(
            *(
                letter(f"{automation}-{round_}-{number}-by-{door}", same_as=f"{automation}-{round_}-{number}")
                for number in list(range(4))[::order]
            ),
            automation_id=automation,
            plan=plan(7),
        )
        for automation in ["x", "y", "z"][::order]
    ]
