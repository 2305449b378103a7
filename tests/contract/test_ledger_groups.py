"""What the ledger makes of heads-ups: one revision for each thing that the vendor says, and what is owed for it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from clearance.decisions.decision import Campaign
from clearance.ledger import closing, due, groups, obligations
from clearance.ledger.chunks import ClaimedChunk
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import Cause, load_campaign
from clearance.ledger.obligations import Finish
from clearance.ledger.tables import obligations as obligation_table
from clearance.obligations import Due, Parked
from tests.contract.scheduled import (
    DEADLINE,
    HOUR,
    LATER,
    MARGIN,
    SECOND,
    G,
    call,
    cancel,
    chunk,
    chunk_rows,
    claim_chunk,
    claim_group,
    claimed_of,
    decision,
    end,
    fetched,
    finish_review,
    group_row,
    heads_up,
    hear,
    miss_what_is_left,
    next_numbers,
    review,
    revision_rows,
    store,
    submitted,
    write,
)
from tests.fakes.clock import START


def owed(ledger: Ledger) -> dict[str, tuple[str, datetime, datetime]]:
    """State, `run_at` and deadline of everything that is or was owed, by its id without the group's."""
    with ledger.read() as connection:
        rows = connection.execute(select(obligation_table)).all()
    return {row.id.replace(f":{G}", ""): (row.state, row.run_at, row.deadline_at) for row in rows}


def test_a_heads_up_owes_a_fetch_at_once_a_submission_in_time_and_a_close_at_the_deadline(
    ledger: Ledger,
) -> None:
    (heard,) = hear(ledger, heads_up())

    assert (heard.group_id, heard.revision, heard.cause, heard.is_late) == (G, 1, Cause.FIRST, False)
    hard_stop = DEADLINE - SECOND
    assert owed(ledger) == {
        "groups.fetch:1": ("open", START, hard_stop),
        "groups.submit:1": ("open", DEADLINE - MARGIN, hard_stop),
        "groups.close:1": ("open", DEADLINE, DEADLINE + timedelta(days=1)),
    }
    assert {each.obligation_id.replace(f":{G}", "") for each in heard.owed} == owed(ledger).keys()
    row = group_row(ledger)
    assert (row.state, row.revision, row.generation, row.deadline_at) == ("open", 1, 1, DEADLINE)
    assert load_campaign(row.campaign) == Campaign(lane="send_group", occurrence_id="o-1", tags=("a",))


def test_the_guardian_hands_the_submission_over_shortly_before_its_time(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    submit_at = DEADLINE - MARGIN

    def published(now: datetime) -> list[Due]:
        with ledger.write() as connection:
            return due.take_due(connection, now, 10, HOUR)

    published(START + SECOND)  # the fetch, which nobody has claimed
    assert published(submit_at - 5.1 * SECOND) == []
    (submission,) = published(submit_at - 5 * SECOND)
    assert (submission.obligation_id, submission.eta) == (f"groups.submit:{G}:1", submit_at)


def test_the_same_again_is_a_duplicate_and_changes_nothing(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    before = owed(ledger)

    told = hear(ledger, heads_up(group_id="x" * 32, told_at=START + SECOND), heads_up(group_id="y" * 32))

    assert [(each.group_id, each.revision, each.is_duplicate) for each in told] == [(G, 1, True)] * 2
    assert told[1].is_stale, "what was said between is not forgotten"
    assert owed(ledger) == before
    assert len(revision_rows(ledger)) == 1


def test_the_same_item_written_twice_after_a_lost_commit_is_one_revision(ledger: Ledger) -> None:
    (first,), (second,) = hear(ledger, heads_up()), hear(ledger, heads_up())

    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert len(revision_rows(ledger)) == 1
    assert len(owed(ledger)) == 3


def test_another_deadline_moves_the_schedule_and_what_is_still_to_be_done_with_it(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a", "b"), chunk(2, "c"))
    review(ledger, 1)

    (heard,) = hear(ledger, heads_up(LATER, told_at=START + SECOND))

    assert (heard.revision, heard.cause) == (2, Cause.MOVED)
    until = LATER - SECOND
    now = {name: (state, deadline_at) for name, (state, _, deadline_at) in owed(ledger).items()}
    assert now == {
        "groups.fetch:1": ("open", until),
        "groups.review:1:1": ("done", DEADLINE - SECOND),
        "groups.review:1:2": ("open", until),
        "groups.submit:1": ("cancelled", DEADLINE - SECOND),
        "groups.close:1": ("cancelled", DEADLINE + timedelta(days=1)),
        "groups.submit:2": ("open", until),
        "groups.close:2": ("open", LATER + timedelta(days=1)),
    }
    row = group_row(ledger)
    assert (row.revision, row.generation, row.fetched, row.chunk_count) == (2, 1, 3, 2)
    assert [(each.cause, each.ended_as) for each in revision_rows(ledger)] == [
        ("first", "superseded"),
        ("moved", None),
    ]


def test_to_and_fro_is_three_revisions(ledger: Ledger) -> None:
    told = [heads_up(at, told_at=START + n * SECOND) for n, at in enumerate((DEADLINE, LATER, DEADLINE))]

    heard = hear(ledger, *told)

    assert [each.revision for each in heard] == [1, 2, 3]
    assert group_row(ledger).deadline_at == DEADLINE
    assert [each.ended_as for each in revision_rows(ledger)] == ["superseded", "superseded", None]
    assert owed(ledger)["groups.submit:3"][:2] == ("open", DEADLINE - MARGIN)


def test_what_was_told_earlier_never_moves_a_deadline_back(ledger: Ledger) -> None:
    hear(ledger, heads_up(LATER, told_at=START + SECOND))

    (heard,) = hear(ledger, heads_up(DEADLINE, told_at=START, now=START + 2 * SECOND))

    assert (heard.is_stale, heard.is_duplicate, heard.revision) == (True, True, 1)
    assert group_row(ledger).deadline_at == LATER


def test_who_submits_a_revision_that_was_moved_finds_out(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"))
    review(ledger, 1)
    held = claimed_of(claim_group(ledger, "submit", 1, now=DEADLINE - MARGIN))
    assert next_numbers(ledger, 1) == (1,)

    hear(ledger, heads_up(LATER, told_at=START + SECOND))

    assert next_numbers(ledger, 1) is None
    assert next_numbers(ledger, 2) == (1,)
    with ledger.write() as connection:
        assert obligations.renew_many(connection, [(held, LATER)]) == [False]


def test_what_was_submitted_before_the_move_is_not_offered_again(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"), chunk(2, "b"))
    review(ledger, 1)
    review(ledger, 2)
    submitted(ledger, call(1, at=DEADLINE - MARGIN))

    hear(ledger, heads_up(LATER, told_at=START + SECOND))

    assert next_numbers(ledger, 2) == (2,)


def test_the_margin_that_what_was_fetched_needs_is_kept_when_the_deadline_moves(ledger: Ledger) -> None:
    hear(ledger, heads_up(expected=None))
    store(ledger, chunk(1, "a"))
    assert fetched(ledger, margin=5 * MARGIN)
    assert owed(ledger)["groups.submit:1"][1] == group_row(ledger).submit_at == DEADLINE - 5 * MARGIN

    hear(ledger, heads_up(LATER, told_at=START + SECOND, expected=None))

    assert owed(ledger)["groups.submit:2"][1] == group_row(ledger).submit_at == LATER - 5 * MARGIN


def test_a_fetch_that_ends_while_the_deadline_moves_is_planned_by_the_deadline_that_holds(
    ledger: Ledger,
) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"))
    held = claim_group(ledger, "fetch", 1, now=START)
    hear(ledger, heads_up(LATER, told_at=START + SECOND))

    assert fetched(ledger, margin=5 * MARGIN, held=held)

    assert owed(ledger)["groups.submit:2"][1] == group_row(ledger).submit_at == LATER - 5 * MARGIN
    assert revision_rows(ledger)[1].submit_at == LATER - 5 * MARGIN


def test_a_fetch_that_knows_of_fewer_customers_does_not_put_the_submission_off(ledger: Ledger) -> None:
    hear(ledger, heads_up())

    assert fetched(ledger, margin=SECOND)

    assert owed(ledger)["groups.submit:1"][1] == group_row(ledger).submit_at == DEADLINE - MARGIN
    assert group_row(ledger).fetched_at == START


def test_a_deadline_that_is_over_is_missed_at_once_with_how_late_it_was(ledger: Ledger) -> None:
    (heard,) = hear(ledger, heads_up(START - HOUR))

    assert (heard.is_late, heard.late_s, heard.owed) == (True, 3600.0, ())
    assert owed(ledger) == {}
    (revision,) = revision_rows(ledger)
    assert (revision.ended_as, revision.margin_ms) == ("missed", -3_600_000)
    assert group_row(ledger).state == "missed"


def test_a_deadline_that_moves_to_the_past_ends_the_work_and_leaves_only_the_books_to_close(
    ledger: Ledger,
) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a", "b"))

    (heard,) = hear(ledger, heads_up(START - HOUR, told_at=START + SECOND))

    assert heard.is_late
    assert {name: state for name, (state, _, _) in owed(ledger).items()} == {
        "groups.fetch:1": "cancelled",
        "groups.review:1:1": "cancelled",
        "groups.submit:1": "cancelled",
        "groups.close:1": "cancelled",
        "groups.close:2": "open",
    }
    assert claim_group(ledger, "close", 2, now=START + SECOND) is not None
    assert miss_what_is_left(ledger, 2, START + SECOND) == [2]
    assert revision_rows(ledger)[1].not_decided == 2


@pytest.mark.parametrize("ending", ["submitted", "missed", "cancelled"])
def test_after_an_end_the_customers_are_fetched_afresh(ledger: Ledger, ending: str) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"))
    if ending == "submitted":
        review(ledger, 1)
        fetched(ledger)
        submitted(ledger, call(1, at=DEADLINE - MARGIN))
        assert end(ledger, 1, DEADLINE - MARGIN, is_over=False).ended
    elif ending == "missed":
        miss_what_is_left(ledger, 1, DEADLINE)
        assert end(ledger, 1, DEADLINE, is_over=True).ended
    else:
        cancel(ledger, START + SECOND)
    assert group_row(ledger).state == ending

    (heard,) = hear(ledger, heads_up(LATER, told_at=DEADLINE + SECOND))

    assert (heard.revision, heard.cause) == (2, Cause.AGAIN)
    row = group_row(ledger)
    assert (row.state, row.generation, row.fetched, row.chunk_count) == ("open", 2, 0, 0)
    assert (row.fetched_at, row.finished_at) == (None, None)
    assert owed(ledger)["groups.fetch:2"][:2] == ("open", DEADLINE + SECOND)
    assert owed(ledger)["groups.close:1"][0] == "cancelled"
    assert [each.ended_as for each in revision_rows(ledger)] == [ending, None]
    assert len(chunk_rows(ledger)) == 1, "what was sent is still known"


def test_a_deadline_that_was_over_before_its_books_were_closed_is_missed_and_comes_again(
    ledger: Ledger,
) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a", "b"), chunk(2, "c"))
    review(ledger, 2)

    (heard,) = hear(ledger, heads_up(LATER, told_at=DEADLINE + SECOND))

    assert heard.cause is Cause.AGAIN
    former = revision_rows(ledger)[0]
    assert (former.ended_as, former.not_decided, former.not_sent) == ("missed", 2, 1)
    assert {(each.state, each.body) for each in chunk_rows(ledger)} == {("missed", None)}
    assert claim_chunk(ledger, 1, now=DEADLINE + SECOND) is None


def test_who_closes_a_revision_that_was_moved_gives_nothing_up(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"))
    hear(ledger, heads_up(LATER, told_at=START + SECOND))

    assert miss_what_is_left(ledger, 1, DEADLINE) == [0]

    assert chunk_rows(ledger)[0].state == "fetched"


def test_a_deadline_that_another_clock_found_over_is_over(ledger: Ledger) -> None:
    """One host has begun to close; a door's clock is behind, and it hears of another deadline."""
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"), chunk(2, "b"))
    left = closing.LeftChunk(group_id=G, revision=1, generation=1, number=1, now=DEADLINE)
    assert write(ledger, closing.miss_many, [left]) == [1]

    (heard,) = hear(ledger, heads_up(LATER, told_at=DEADLINE - 0.1 * SECOND))

    assert heard.cause is Cause.AGAIN
    assert revision_rows(ledger)[0].not_decided == 2


def test_what_was_missed_between_the_hard_stop_and_a_later_deadline_is_owed_again(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"))
    with ledger.write() as connection:
        due.take_overdue(connection, DEADLINE - SECOND, 10)
    assert owed(ledger)["groups.review:1:1"][0] == "missed"
    now = DEADLINE - 0.5 * SECOND

    hear(ledger, heads_up(LATER, told_at=now))

    assert owed(ledger)["groups.review:1:1"] == ("open", now, LATER - SECOND)
    assert owed(ledger)["groups.fetch:1"] == ("open", now, LATER - SECOND)
    review(ledger, 1, now=now)


def test_what_was_parked_is_owed_again_by_a_later_deadline(ledger: Ledger) -> None:
    """Credentials that were refused, say: whoever mended them need not mend the group as well."""
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"))
    for held in (claim_group(ledger, "fetch", 1, now=START), claim_chunk(ledger, 1)):
        parked = Finish(claimed=claimed_of(held), outcome=Parked(reason="R", error="401"), now=START)
        assert write(ledger, obligations.finish_many, [parked]) == [True]

    hear(ledger, heads_up(LATER, told_at=START + SECOND))

    due = owed(ledger)
    for name in ("groups.fetch:1", "groups.review:1:1"):
        assert due[name][0] == "open"
    assert claim_group(ledger, "fetch", 1, now=START + SECOND) is not None
    assert claim_chunk(ledger, 1, now=START + SECOND) is not None


def test_a_cancellation_stops_what_is_not_sent(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    store(ledger, chunk(1, "a"), chunk(2, "b"), chunk(3, "c"))
    review(ledger, 1)
    review(ledger, 2)
    submitted(ledger, call(1, at=START + SECOND))

    heard = cancel(ledger, START + SECOND)

    assert (heard.group_id, heard.cause) == (G, Cause.CANCELLED)
    assert {state for state, _, _ in owed(ledger).values()} == {"done", "cancelled"}
    assert next_numbers(ledger) is None
    assert [each.state for each in chunk_rows(ledger)] == ["submitted", "cancelled", "cancelled"]
    assert all(each.body is None for each in chunk_rows(ledger))
    assert revision_rows(ledger)[0].ended_as == "cancelled"
    assert not store(ledger, chunk(4, "d"))[0].is_wanted
    assert cancel(ledger, START + SECOND).is_duplicate


def test_a_cancellation_told_before_the_heads_up_that_holds_is_stale(ledger: Ledger) -> None:
    hear(ledger, heads_up(told_at=START + SECOND))

    assert cancel(ledger, START).is_stale
    assert group_row(ledger).state == "open"


def test_a_cancellation_that_overtakes_its_heads_up_still_holds(ledger: Ledger) -> None:
    assert cancel(ledger, START + SECOND).cause is Cause.CANCELLED

    (overtaken,) = hear(ledger, heads_up(told_at=START))
    assert overtaken.is_stale
    assert owed(ledger) == {}

    (anew,) = hear(ledger, heads_up(told_at=START + 2 * SECOND))
    assert anew.cause is Cause.AGAIN
    assert "groups.fetch:2" in {name.replace(f":{'c' * 32}", "") for name in owed(ledger)}


def test_a_cancelled_group_that_is_told_of_anew_with_the_same_deadline_comes_again(ledger: Ledger) -> None:
    hear(ledger, heads_up())
    cancel(ledger, START + SECOND)

    (heard,) = hear(ledger, heads_up(told_at=START + 2 * SECOND))

    assert (heard.revision, heard.cause) == (2, Cause.AGAIN)


def test_both_apis_may_use_the_same_id(ledger: Ledger) -> None:
    v2 = heads_up()
    v1 = replace(v2, group_id="h" * 32, heads_up=replace(v2.heads_up, api="v1"))

    told = hear(ledger, v2, v1)

    assert [(each.group_id, each.revision) for each in told] == [(G, 1), ("h" * 32, 1)]


def test_heads_ups_of_one_group_at_once_give_one_revision_each(ledger: Ledger) -> None:
    """Four doors, each with another deadline and several groups in an order of its own."""
    names = [f"sg-{number}" for number in range(10)]
    together = threading.Barrier(4)
    told: list[groups.Heard] = []
    errors: list[BaseException] = []

    def door(number: int) -> None:
        ordered = names if number % 2 else names[::-1]
        items = [
            heads_up(DEADLINE + number * HOUR, vendor_id=name, group_id=f"{number}-{name}")
            for name in ordered
        ]
        together.wait()
        try:
            told.extend(write(ledger, groups.hear_many, items))
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    doors = [threading.Thread(target=door, args=(number,)) for number in range(4)]
    for each in doors:
        each.start()
    for each in doors:
        each.join()

    assert errors == []
    revisions: dict[str, list[int]] = {}
    for heard in told:
        revisions.setdefault(heard.group_id, []).append(heard.revision)
    assert len(revisions) == 10
    assert {tuple(sorted(each)) for each in revisions.values()} == {(1, 2, 3, 4)}
    for group_id in revisions:
        ended = [each.ended_as for each in revision_rows(ledger, group_id)]
        assert ended == ["superseded", "superseded", "superseded", None]


def test_a_cancellation_and_reviews_at_once_do_not_wait_for_each_other_in_a_ring(ledger: Ledger) -> None:
    """Each reviewer decides its chunks while the group is cancelled: decided before, or not at all."""
    hear(ledger, heads_up())
    numbers = range(1, 41)
    store(ledger, *(chunk(number, *(f"{number}-{n}" for n in range(20))) for number in numbers))
    held = [each for number in numbers if (each := claim_chunk(ledger, number))]
    together = threading.Barrier(3)
    ours: list[tuple[int, bool]] = []
    errors: list[BaseException] = []

    def reviewer(mine: list[ClaimedChunk]) -> None:
        together.wait()
        for each in mine:
            decisions = [decision(customer.customer_id, each.number) for customer in each.customers()]
            ours.append((each.number, finish_review(ledger, each, decisions)))

    def canceller() -> None:
        together.wait()
        cancel(ledger, START + SECOND)

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    works = [lambda: reviewer(held[::2]), lambda: reviewer(held[1::2]), canceller]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert errors == []
    in_time = {number for number, is_ours in ours if is_ours}
    assert {each.number for each in chunk_rows(ledger) if each.decided_at} == in_time
    assert {each.state for each in chunk_rows(ledger)} == {"cancelled"}
    states = {name: state for name, (state, _, _) in owed(ledger).items() if "review" in name}
    assert {int(name.rsplit(":")[-1]) for name, state in states.items() if state == "done"} == in_time
