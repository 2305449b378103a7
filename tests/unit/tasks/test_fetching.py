"""Fetching a group: every customer is stored once, whatever breaks off, and reviewed from the moment he is stored."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import Retry as CeleryRetry

from clearance.decisions.decision import Campaign, Customer
from clearance.errors import VendorCredentialsRefused, VendorRefused, VendorThrottled, VendorUnavailable
from clearance.ledger import chunks as chunk_operations
from clearance.ledger.chunk_bodies import load_customers
from clearance.ledger.engine import Ledger
from clearance.ledger.tables import chunks, groups, obligations
from clearance.optimove.customer_stream import MalformedRow
from clearance.optimove.http import VENDOR
from tasks.base import ObligationMissed, ObligationParked
from tests.fakes.clock import START, ManualClock
from tests.fakes.scheduled_vendor import Fetched, Row, named
from tests.fakes.told_groups import CAMPAIGN, DEADLINE, MINUTE, SECOND, cancel, hear
from tests.unit.tasks.scheduled import HARD_STOP, SUBMIT_AT, ScheduledWorker

_BROKEN = VendorUnavailable(VENDOR, "the reply broke off")


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock) -> ScheduledWorker:
    made = ScheduledWorker(ledger, clock)
    made.vendor.rows = named("C1", "C2", "C3", "C4", "C5", plan="gold")
    return made


def _stored(worker: ScheduledWorker, generation: int = 1) -> list[list[str]]:
    """Who is stored, by chunk."""
    rows = [row for row in worker.rows(chunks) if row.generation == generation]
    return [[each.customer_id for each in load_customers(row.body)] for row in rows]


def _malformed(position: int) -> MalformedRow:
    return MalformedRow(position=position, problem="customer_id must be text")


def test_customers_are_stored_in_chunks_each_with_a_review_of_its_own(worker: ScheduledWorker) -> None:
    hear(worker.ledger, expected_customers=5)

    assert worker.fetch() == "done"

    assert _stored(worker) == [["C1", "C2"], ["C3", "C4"], ["C5"]]
    reviews = [row for row in worker.rows(obligations) if row.lane == "review"]
    assert [row.subject for row in reviews] == ["g1:1:1", "g1:1:2", "g1:1:3"]
    assert {row.deadline_at for row in reviews} == {HARD_STOP}
    group = worker.group()
    assert (group.fetched, group.chunk_count, group.fetched_at) == (5, 3, START)


def test_a_review_is_owed_before_the_stream_ends(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    states: list[list[str]] = []
    worker.vendor.on_row = lambda _: states.append(worker.states())

    worker.fetch()

    assert states == [[], [], ["fetched"], ["fetched"], ["fetched"] * 2]


def test_attributes_asked_for_are_those_that_the_rules_use(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.fetch()
    hear(worker.ledger, "g2", vendor_id="8", api="v1", campaign=Campaign(lane="campaign", tags=("asks",)))
    worker.fetch("g2")

    assert worker.vendor.fetches == [
        Fetched(api="v2", vendor_id="7", attributes=("plan", "age")),
        Fetched(api="v1", vendor_id="8", attributes=("plan",)),
    ]


@pytest.mark.parametrize("is_new_process", [False, True])
@pytest.mark.parametrize("rows", range(6))
def test_a_stream_that_breaks_off_is_repeated_and_stores_nobody_twice(
    worker: ScheduledWorker, rows: int, is_new_process: bool
) -> None:
    hear(worker.ledger, expected_customers=5)
    worker.vendor.breaks.append((rows, _BROKEN))
    with pytest.raises(CeleryRetry):
        worker.fetch()
    assert worker.group().fetched_at is None
    if is_new_process:
        worker.start_anew()
    worker.clock.advance(1)

    assert worker.fetch() == "done"

    together = [name for names in _stored(worker) for name in names]
    assert together == ["C1", "C2", "C3", "C4", "C5"]
    assert worker.group().fetched == 5
    assert worker.planned == [(DEADLINE, 5)]


@pytest.mark.parametrize("error", [_BROKEN, VendorRefused(VENDOR, 200, "a row of more than 1048576 bytes")])
def test_who_came_before_a_stream_broke_off_is_stored_whatever_becomes_of_the_rest(
    worker: ScheduledWorker, error: Exception
) -> None:
    hear(worker.ledger, expected_customers=5)
    worker.vendor.breaks.append((3, error))

    with pytest.raises((CeleryRetry, ObligationParked)):
        worker.fetch()

    assert _stored(worker) == [["C1", "C2"], ["C3"]]
    assert [row.subject for row in worker.rows(obligations) if row.lane == "review"] == ["g1:1:1", "g1:1:2"]


def test_of_a_slow_stream_what_came_within_a_second_is_a_chunk(worker: ScheduledWorker) -> None:
    hear(worker.ledger, expected_customers=5)
    worker.chunk_customers = 100
    worker.vendor.on_row = lambda _: worker.clock.advance(0.6)

    assert worker.fetch() == "done"

    assert _stored(worker) == [["C1", "C2", "C3"], ["C4", "C5"]]


def test_a_customer_for_whom_a_page_was_waited_long_waits_for_others_too(worker: ScheduledWorker) -> None:
    hear(worker.ledger, api="v1")
    worker.vendor.on_row = lambda position: worker.clock.advance(60) if position in {0, 2} else None

    assert worker.fetch() == "done"

    assert _stored(worker) == [["C1", "C2"], ["C3", "C4"], ["C5"]]


def test_a_stream_that_trickles_is_left_soon_after_nobody_wants_it_any_more(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.chunk_customers = 1000
    worker.vendor.rows = named(*(f"C{number}" for number in range(1000)))
    last = 0

    def trickle(position: int) -> None:
        nonlocal last
        last = position
        worker.clock.advance(1)
        if position == 5:
            cancel(worker.ledger)

    worker.vendor.on_row = trickle

    worker.fetch()

    assert worker.states() == ["cancelled"] * 2
    assert last < 10


@pytest.mark.parametrize("rows", range(6))
def test_a_page_that_fails_is_asked_for_again_from_the_row_where_it_failed(
    worker: ScheduledWorker, rows: int
) -> None:
    hear(worker.ledger, api="v1")
    worker.vendor.rows = [*worker.vendor.rows[:1], _malformed(1), *worker.vendor.rows[1:]]
    worker.vendor.breaks.extend([(rows, _BROKEN), (0, _BROKEN)])

    assert worker.fetch() == "done"

    assert [each.start for each in worker.vendor.fetches] == [0, rows, rows]
    assert _stored(worker) == [["C1", "C2"], ["C3", "C4"], ["C5"]]
    assert worker.metrics.counted("group_rows_malformed_total") == 1
    assert worker.pauses == pytest.approx([0.2, 0.4])


def test_a_page_that_keeps_failing_gives_the_fetch_back(worker: ScheduledWorker) -> None:
    hear(worker.ledger, api="v1")
    worker.vendor.breaks.extend([(2, _BROKEN), *[(0, _BROKEN)] * 15, (1, _BROKEN)])

    with pytest.raises(CeleryRetry):
        worker.fetch()

    assert [each.start for each in worker.vendor.fetches] == [0] + [2] * 15
    assert _stored(worker) == [["C1", "C2"]]
    worker.vendor.breaks.clear()
    worker.clock.advance(1)

    assert worker.fetch() == "done"

    assert worker.vendor.fetches[-1].start == 0, "another attempt begins anew, and knows whom it has"
    assert _stored(worker) == [["C1", "C2"], ["C3", "C4"], ["C5"]]


def test_a_row_between_two_failures_is_progress(worker: ScheduledWorker) -> None:
    hear(worker.ledger, api="v1")
    worker.vendor.breaks.extend([*[(0, _BROKEN)] * 15, (1, _BROKEN), *[(0, _BROKEN)] * 14])

    assert worker.fetch() == "done"

    assert [each.start for each in worker.vendor.fetches] == [0] * 16 + [1] * 15


def test_a_page_is_not_waited_for_beyond_the_hard_stop(worker: ScheduledWorker) -> None:
    hear(worker.ledger, api="v1")
    worker.clock.now = HARD_STOP - SECOND
    worker.vendor.breaks.extend([(0, VendorUnavailable(VENDOR, "503", status=503))] * 100)

    with pytest.raises((CeleryRetry, ObligationMissed)):
        worker.fetch()

    assert worker.clock() < HARD_STOP
    assert len(worker.vendor.fetches) <= 4


def test_who_was_decided_meanwhile_is_not_stored_again(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.vendor.breaks.append((3, _BROKEN))
    with pytest.raises(CeleryRetry):
        worker.fetch()
    worker.review(1)
    worker.start_anew()
    worker.clock.advance(1)

    worker.fetch()

    assert worker.states() == ["decided", "fetched", "fetched"]
    assert worker.group().fetched == 5


def test_a_customer_who_comes_twice_is_stored_once_and_the_count_differs(
    worker: ScheduledWorker, log_events: list[Any]
) -> None:
    hear(worker.ledger, expected_customers=4)
    worker.vendor.rows = named("C1", "C2", "C1", "C3")

    worker.fetch()

    assert _stored(worker) == [["C1", "C2"], ["C3"]]
    assert worker.metrics.counted("group_counts_differ_total", api="v2") == 1


@pytest.mark.parametrize("told", [4, 6, 0])
def test_a_count_that_differs_is_counted_and_logged(
    worker: ScheduledWorker, told: int, log_events: list[Any]
) -> None:
    hear(worker.ledger, expected_customers=told)

    assert worker.fetch() == "done"

    assert worker.metrics.counted("group_counts_differ_total", api="v2") == 1
    (event,) = [each for each in log_events if each["event"] == "group.count_differs"]
    assert (event["told"], event["fetched"], event["log_level"]) == (told, 5, "error")


@pytest.mark.parametrize("told", [5, None])
def test_a_count_that_is_right_or_was_not_told_does_not_differ(
    worker: ScheduledWorker, told: int | None
) -> None:
    hear(worker.ledger, expected_customers=told)

    worker.fetch()

    assert worker.metrics.counted("group_counts_differ_total", api="v2") == 0


def test_malformed_rows_are_counted_and_the_others_stored(
    worker: ScheduledWorker, log_events: list[Any]
) -> None:
    hear(worker.ledger, expected_customers=4)
    rows: list[Row] = [_malformed(0), *named("C1"), _malformed(2), *named("C2")]
    worker.vendor.rows = rows

    worker.fetch()

    assert _stored(worker) == [["C1", "C2"]]
    assert worker.metrics.counted("group_rows_malformed_total") == 2
    assert worker.metrics.counted("group_counts_differ_total", api="v2") == 0, "they are customers, too"
    assert [each["position"] for each in log_events if each["event"] == "group.row_malformed"] == [0, 2]


def test_malformed_rows_that_a_repeat_sees_again_are_counted_once(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.vendor.rows = [_malformed(0), *named("C1", "C2")]
    worker.vendor.breaks.append((2, _BROKEN))
    with pytest.raises(CeleryRetry):
        worker.fetch()
    worker.clock.advance(1)

    worker.fetch()

    assert worker.metrics.counted("group_rows_malformed_total") == 1


def test_a_stream_of_malformed_rows_does_not_flood_the_log(
    worker: ScheduledWorker, log_events: list[Any]
) -> None:
    hear(worker.ledger)
    worker.vendor.rows = [_malformed(position) for position in range(500)]

    worker.fetch()

    assert len([each for each in log_events if each["event"] == "group.row_malformed"]) == 10
    assert worker.metrics.counted("group_rows_malformed_total") == 500


def test_a_group_that_is_cancelled_while_it_is_fetched_is_left_alone(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.vendor.on_row = lambda position: cancel(worker.ledger) if position == 3 else None

    worker.fetch()

    assert worker.states() == ["cancelled"]
    assert worker.group().fetched_at is None, "not everybody was fetched"
    assert worker.obligation("groups.fetch:g1:1").state == "cancelled"


def test_a_group_that_came_again_while_it_was_fetched_is_fetched_afresh_only(
    worker: ScheduledWorker,
) -> None:
    hear(worker.ledger)

    def cancel_and_tell_again(position: int) -> None:
        if position == 3 and worker.group().generation == 1:
            cancel(worker.ledger)
            hear(worker.ledger, deadline_at=DEADLINE + MINUTE, at=START + 2 * SECOND)

    worker.vendor.on_row = cancel_and_tell_again
    worker.fetch()
    assert worker.group().fetched_at is None
    worker.clock.advance(2)

    worker.fetch(generation=2)

    assert _stored(worker, generation=2) == [["C1", "C2"], ["C3", "C4"], ["C5"]]
    assert worker.group().fetched == 5


def test_a_group_whose_deadline_is_over_is_not_called_complete(worker: ScheduledWorker) -> None:
    hear(worker.ledger)

    def close_late(position: int) -> None:
        if position == 3:
            worker.clock.now = DEADLINE
            worker.close()

    worker.vendor.on_row = close_late

    with pytest.raises(ObligationMissed):
        worker.fetch()

    assert (worker.group().state, worker.group().fetched_at) == ("missed", None)


def test_a_fetch_of_a_group_that_has_ended_asks_nobody(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    with worker.ledger.write() as connection:
        connection.execute(groups.update().values(state="missed"))

    worker.fetch()

    assert worker.vendor.fetches == []


def test_a_deadline_that_moved_away_leaves_time_to_repeat_what_broke_off(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.vendor.breaks.append((4, _BROKEN))

    def move(position: int) -> None:
        if position == 1 and worker.group().revision == 1:
            hear(worker.ledger, deadline_at=DEADLINE + 20 * MINUTE, at=START + SECOND)
        if position == 3 and len(worker.vendor.fetches) == 1:
            worker.clock.now = DEADLINE  # over, as the message had it

    worker.vendor.on_row = move
    with pytest.raises(CeleryRetry):
        worker.fetch()
    worker.clock.advance(1)

    assert worker.fetch() == "done"

    assert worker.group().fetched == 5
    assert worker.planned == [(DEADLINE + 20 * MINUTE, 5)]


def test_two_who_store_the_same_group_lose_nobody(worker: ScheduledWorker) -> None:
    """A worker that was taken for dead goes on; the vendor gives each another order."""
    hear(worker.ledger)
    other = chunk_operations.NewChunk(
        group_id="g1",
        generation=1,
        number=2,
        customers=[each for each in named("C5", "C1") if not isinstance(each, MalformedRow)],
        now=START,
        hedge_after=SECOND,
        trace_id="t",
    )

    def store(position: int) -> None:
        if position == 3 and len(worker.vendor.fetches) == 1:
            with worker.ledger.write() as connection:
                chunk_operations.add_many(connection, [other])

    worker.vendor.on_row = store
    with pytest.raises(CeleryRetry):
        worker.fetch()
    worker.clock.advance(1)

    worker.fetch()

    together = {name for names in _stored(worker) for name in names}
    assert together == {"C1", "C2", "C3", "C4", "C5"}


def test_more_customers_than_planned_for_are_submitted_earlier(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.submit_at_by_plan = SUBMIT_AT - MINUTE

    worker.fetch()

    assert worker.group().submit_at == SUBMIT_AT - MINUTE
    assert worker.obligation("groups.submit:g1:1").run_at == SUBMIT_AT - MINUTE


@pytest.mark.parametrize("unconfirmed", [False, True])
@pytest.mark.parametrize("commit", range(5))
def test_a_ledger_that_fails_at_any_commit_leaves_everybody_stored_once(
    worker: ScheduledWorker, commit: int, unconfirmed: bool
) -> None:
    hear(worker.ledger)
    worker.fail_commit(commit, unconfirmed=unconfirmed)
    for _ in range(3):
        with suppress(CeleryRetry):
            worker.fetch()
        # Long enough for a lease that nobody knows of to run out.
        worker.clock.advance(61)
        if worker.obligation("groups.fetch:g1:1").state == "done":
            break

    assert [name for names in _stored(worker) for name in names] == ["C1", "C2", "C3", "C4", "C5"]
    assert worker.group().fetched_at is not None
    assert worker.obligation("groups.fetch:g1:1").state == "done"


def test_a_ledger_that_cannot_be_read_is_asked_later(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.reads.away = 1

    with pytest.raises(CeleryRetry):
        worker.fetch()

    assert worker.vendor.fetches == []


def test_a_turn_is_waited_for_before_the_vendor_is_called(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.cooldown.start(3)

    worker.fetch()

    assert sum(worker.pauses) == pytest.approx(3, abs=0.3)
    assert len(worker.limit.taken) == 1


def test_429_starts_the_cool_down_of_the_fleet(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.vendor.breaks.append((0, VendorThrottled(VENDOR, retry_after_s=7)))

    with pytest.raises(CeleryRetry):
        worker.fetch()

    assert worker.cooldown.started == [7]
    assert worker.metrics.counted("vendor_cooldowns_total", vendor=VENDOR) == 1


def test_no_turn_in_time_is_no_429(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.cooldown.start(timedelta(hours=1).total_seconds())

    with pytest.raises(ObligationMissed):
        worker.fetch()

    assert len(worker.cooldown.started) == 1, "only the one of this test"
    assert worker.metrics.counted("vendor_cooldowns_total", vendor=VENDOR) == 0


def test_credentials_that_are_refused_park_the_fetch(worker: ScheduledWorker) -> None:
    hear(worker.ledger, campaign=CAMPAIGN)
    worker.vendor.breaks.append((0, VendorCredentialsRefused(VENDOR, 401)))

    with pytest.raises(ObligationParked):
        worker.fetch()

    assert worker.obligation("groups.fetch:g1:1").reason == "VendorCredentialsRefused"


def test_a_fetch_leaves_as_much_time_to_others_as_it_computes(worker: ScheduledWorker) -> None:
    hear(worker.ledger)

    def compute(_: Row) -> None:
        worker.computed_s += 0.125

    worker.vendor.on_row = compute

    worker.fetch()

    assert worker.pauses == pytest.approx([0.25, 0.25, 0.125])


def test_it_reads_no_more_than_a_million_in_two_minutes_while_its_group_has_time(
    worker: ScheduledWorker,
) -> None:
    hear(worker.ledger)
    worker.chunk_customers = 100
    worker.vendor.rows = [Customer(customer_id=f"C{number}", attributes={}) for number in range(850)]

    worker.fetch()

    assert worker.pauses == pytest.approx([100 / 8_000] * 8 + [50 / 8_000])


def test_it_hurries_where_its_customers_are_too_many_for_a_quarter_of_the_time(
    worker: ScheduledWorker,
) -> None:
    quarter_s = (HARD_STOP - START).total_seconds() / 4
    hear(worker.ledger, expected_customers=round(quarter_s * 8_000) + 1)
    worker.chunk_customers = 100
    worker.vendor.rows = [Customer(customer_id=f"C{number}", attributes={}) for number in range(850)]

    worker.fetch()

    assert worker.pauses == []


def test_what_comes_slowly_is_not_held_back(worker: ScheduledWorker) -> None:
    hear(worker.ledger)
    worker.chunk_customers = 100
    worker.vendor.rows = [Customer(customer_id=f"C{number}", attributes={}) for number in range(850)]
    worker.vendor.on_row = lambda _: worker.clock.advance(0.001)

    worker.fetch()

    assert worker.pauses == []


def test_it_takes_all_of_the_time_when_a_quarter_of_what_its_group_has_is_over(
    worker: ScheduledWorker,
) -> None:
    hear(worker.ledger)
    quarter_s = (HARD_STOP - START).total_seconds() / 4

    def compute(_: Row) -> None:
        worker.computed_s += quarter_s / 4
        worker.clock.advance(quarter_s / 4)

    worker.vendor.on_row = compute

    worker.fetch()

    assert worker.pauses == pytest.approx([quarter_s / 2])
