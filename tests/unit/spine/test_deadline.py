"""The arithmetic of deadlines: of all readings the earliest counts, whatever the clocks say."""

from datetime import UTC, datetime, timedelta, timezone

import hypothesis.strategies as st
import pytest
from hypothesis import given

from clearance.deadline import ClockSkew, Deadline, approval_deadline
from clearance.optimove.triggered import load_triggered
from tests.fakes.clock import START
from tests.fakes.payloads import triggered_body

_SECOND = timedelta(seconds=1)
_TIMEOUT = 5 * _SECOND
_NONE = timedelta(0)
# Years that a payload may state in milliseconds: 1973 to 5138.
_MOMENTS = st.datetimes(datetime(1974, 1, 1), datetime(5138, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
_SPANS = st.timedeltas(-timedelta(days=400), timedelta(days=400))
_OFFSETS = st.timedeltas(-timedelta(minutes=10), timedelta(minutes=10))


@given(vendor=_MOMENTS, received=_MOMENTS, timeout=st.timedeltas(_NONE, timedelta(days=1)), offset=_OFFSETS)
def test_it_is_never_later_than_any_reading(
    vendor: datetime, received: datetime, timeout: timedelta, offset: timedelta
) -> None:
    deadline = approval_deadline(
        vendor_deadline_at=vendor, received_at=received, timeout=timeout, offset=offset
    )

    assert deadline <= vendor
    assert deadline <= received + timeout
    # Where the vendor's clock is ahead, its deadline comes sooner by ours.
    assert deadline <= vendor + offset or offset > _NONE
    # And it is one of the readings, not something in between.
    assert deadline in {vendor, vendor + offset, received + timeout}


@given(received=_MOMENTS, budget=_SPANS, lead=_OFFSETS)
def test_a_vendors_clock_that_is_behind_never_extends_the_deadline(
    received: datetime, budget: timedelta, lead: timedelta
) -> None:
    right = approval_deadline(
        vendor_deadline_at=received + budget, received_at=received, timeout=_TIMEOUT, offset=_NONE
    )
    measured = approval_deadline(
        vendor_deadline_at=received + budget, received_at=received, timeout=_TIMEOUT, offset=lead
    )

    assert measured <= right


@given(ahead=st.timedeltas(_NONE, timedelta(minutes=5)), travel=st.timedeltas(_NONE, _SECOND))
def test_a_vendor_that_is_ahead_is_answered_in_time_by_its_own_clock(
    ahead: timedelta, travel: timedelta
) -> None:
    """It signs and sets the deadline by a clock `ahead` of ours; we get it `travel` later."""
    signed_at = START + ahead
    received_at = START + travel
    offset = ClockSkew().observe(signed_at=signed_at, received_at=received_at)

    deadline = approval_deadline(
        vendor_deadline_at=signed_at + _TIMEOUT, received_at=received_at, timeout=_TIMEOUT, offset=offset
    )

    true_deadline_by_our_clock = START + _TIMEOUT
    assert deadline <= true_deadline_by_our_clock + travel


def test_a_deadline_in_the_past_stays_in_the_past() -> None:
    deadline = approval_deadline(
        vendor_deadline_at=START - _SECOND, received_at=START, timeout=_TIMEOUT, offset=_NONE
    )

    assert deadline == START - _SECOND
    assert Deadline(deadline, timedelta(seconds=0.2)).remaining_s(START) == pytest.approx(-1.2)


def test_a_deadline_in_the_far_future_is_the_timeout() -> None:
    deadline = approval_deadline(
        vendor_deadline_at=datetime(5138, 1, 1, tzinfo=UTC),
        received_at=START,
        timeout=_TIMEOUT,
        offset=_NONE,
    )

    assert deadline == START + _TIMEOUT


@given(at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - as above
def test_the_vendors_milliseconds_are_read_as_such(at: datetime) -> None:
    notification = load_triggered(triggered_body(at, budget=_TIMEOUT))

    # To the millisecond that the payload can hold.
    assert abs(notification.signed_at - at) <= timedelta(milliseconds=0.5)
    assert abs(notification.vendor_deadline_at - at - _TIMEOUT) <= timedelta(milliseconds=0.5)


@given(at=_MOMENTS, margin=st.timedeltas(_NONE, timedelta(seconds=10)), later=_SPANS)
def test_what_is_left_is_measured_to_the_last_moment_to_send(
    at: datetime, margin: timedelta, later: timedelta
) -> None:
    deadline, now = Deadline(at, margin), at - later

    assert deadline.send_by == at - margin
    assert deadline.margin_s(now) == later.total_seconds()
    assert deadline.remaining_s(now) == (later - margin).total_seconds()
    assert (deadline.remaining_s(now) > 0) is (now < deadline.send_by)


def test_it_does_not_matter_in_which_zone_a_moment_is_told() -> None:
    eastern = timezone(timedelta(hours=-5))
    told = {"timeout": _TIMEOUT, "offset": _NONE}

    assert approval_deadline(
        vendor_deadline_at=(START + _SECOND).astimezone(eastern), received_at=START, **told
    ) == approval_deadline(vendor_deadline_at=START + _SECOND, received_at=START, **told)


# The clock skew


def _observe(skew: ClockSkew, offset_s: float) -> float:
    received_at = START + timedelta(seconds=offset_s)
    return skew.observe(signed_at=START, received_at=received_at).total_seconds()


def test_the_sample_with_the_least_travel_is_believed() -> None:
    skew = ClockSkew()

    assert _observe(skew, 0.3) == pytest.approx(0.3)
    assert _observe(skew, 0.1) == pytest.approx(0.1)
    assert _observe(skew, 0.5) == pytest.approx(0.1)


def test_a_clock_that_is_set_right_is_believed_again_after_256_samples() -> None:
    skew = ClockSkew()
    _observe(skew, -0.9)

    assert [_observe(skew, 0.05) for _ in range(255)] == [pytest.approx(-0.9)] * 255
    assert _observe(skew, 0.05) == pytest.approx(0.05)


def test_one_vendor_clock_far_ahead_does_not_take_the_time_of_the_others() -> None:
    skew = ClockSkew()
    assert _observe(skew, -240) == pytest.approx(-240)

    assert _observe(skew, 0.02) == pytest.approx(0.02 - 1)


@given(offsets=st.lists(st.floats(-300, 300), min_size=1, max_size=300))
def test_a_sample_is_never_believed_to_be_later_than_it_was(offsets: list[float]) -> None:
    skew = ClockSkew()
    for offset_s in offsets:
        believed = _observe(skew, offset_s)
        assert believed <= offset_s + 1e-6
        assert believed >= offset_s - 1 - 1e-6
