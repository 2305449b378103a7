"""When a group's approvals leave: never after the hard stop, never later for more customers."""

from datetime import timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given

from clearance.schedule import Schedule, Speed, schedule_of
from tests.fakes.clock import START

_SPEED = Speed(seconds_per_call=0.5, calls_per_window=50, window_s=10.0, customers_per_call=10_000)
_SECONDS = st.floats(0, 3600)
_SPEEDS = st.builds(
    Speed,
    seconds_per_call=st.floats(0.001, 60),
    calls_per_window=st.integers(1, 100),
    window_s=st.floats(0.1, 60),
    customers_per_call=st.integers(1, 10_000),
)
_CUSTOMERS = st.integers(0, 5_000_000)


def _schedule(customers: int | None, speed: Speed = _SPEED, *, min_margin_s: float = 60.0) -> Schedule:
    return schedule_of(
        START, customers, speed, min_margin_s=min_margin_s, safety_factor=2.0, stop_margin_s=1.0
    )


@given(
    counts=st.tuples(_CUSTOMERS, _CUSTOMERS),
    speed=_SPEEDS,
    min_margin_s=_SECONDS,
    safety_factor=st.floats(1, 10),
    stop_margin_s=_SECONDS,
)
def test_more_customers_are_never_submitted_later_and_nobody_after_the_hard_stop(
    counts: tuple[int, int], speed: Speed, min_margin_s: float, safety_factor: float, stop_margin_s: float
) -> None:
    plans = [
        schedule_of(
            START,
            customers,
            speed,
            min_margin_s=min_margin_s,
            safety_factor=safety_factor,
            stop_margin_s=stop_margin_s,
        )
        for customers in sorted(counts)
    ]

    assert plans[1].submit_at <= plans[0].submit_at
    assert all(plan.submit_at <= plan.hard_stop_at <= START for plan in plans)
    assert all(START - plan.submit_at >= timedelta(seconds=min_margin_s) for plan in plans)


@given(customers=_CUSTOMERS, speed=_SPEEDS)
def test_the_estimate_is_what_a_patient_caller_needs(customers: int, speed: Speed) -> None:
    """Call after call, each when the one before has ended and the window lets it begin."""
    began: list[float] = []
    ended = 0.0
    calls = max(1, -(-customers // speed.customers_per_call))
    if calls > 2_000:
        return
    for _ in range(calls):
        free_at = (
            began[-speed.calls_per_window] + speed.window_s if len(began) >= speed.calls_per_window else 0
        )
        began.append(max(ended, free_at))
        ended = began[-1] + speed.seconds_per_call

    assert speed.duration_s(customers) == pytest.approx(ended)


@pytest.mark.parametrize(
    ("customers", "seconds_before"),
    [
        (None, 60.0),  # nobody said how many
        (10_000, 60.0),  # one call: the least margin
        (1_000_000, 100.0),  # 100 calls of half a second: twice 50 s
    ],
)
def test_the_margin_is_the_estimate_with_its_factor_but_at_least_the_least(
    customers: int | None, seconds_before: float
) -> None:
    plan = _schedule(customers)

    assert START - plan.submit_at == timedelta(seconds=seconds_before)
    assert START - plan.hard_stop_at == timedelta(seconds=1)


def test_the_rate_limit_counts_where_calls_are_quick() -> None:
    quick = Speed(seconds_per_call=0.01, calls_per_window=50, window_s=10.0, customers_per_call=1_000)

    assert quick.duration_s(50_000) == pytest.approx(0.5)
    assert quick.duration_s(50_001) == pytest.approx(10.01)
    assert quick.duration_s(1_000_000) == pytest.approx(19 * 10 + 0.5)


def test_a_margin_shorter_than_the_stop_is_the_stop() -> None:
    plan = _schedule(
        0, Speed(seconds_per_call=0.1, calls_per_window=1, window_s=1, customers_per_call=1), min_margin_s=0
    )

    assert plan.submit_at == plan.hard_stop_at == START - timedelta(seconds=1)
