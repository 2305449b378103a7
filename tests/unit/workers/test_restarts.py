"""A process that dies again and again waits longer each time; one that had run for a while does not."""

from hypothesis import given
from hypothesis import strategies as st

from workers.up.restarts import RestartPolicy, Restarts

POLICY = RestartPolicy(first_s=0.5, longest_s=30.0, steady_after_s=60.0)


def test_the_wait_doubles_up_to_its_longest() -> None:
    restarts = Restarts(POLICY)

    assert [restarts.wait_after(0.1) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_after_a_steady_run_the_waits_begin_anew() -> None:
    restarts = Restarts(POLICY)
    for _ in range(5):
        restarts.wait_after(1.0)

    assert restarts.wait_after(60.0) == 0.5
    assert restarts.wait_after(0.1) == 1.0


def test_a_run_just_short_of_steady_does_not_count_as_one() -> None:
    restarts = Restarts(POLICY)
    restarts.wait_after(1.0)

    assert restarts.wait_after(59.9) == 1.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2000))
def test_no_history_leads_out_of_the_bounds(runs_s: list[float]) -> None:
    restarts = Restarts(POLICY)

    assert all(0.5 <= restarts.wait_after(ran_for_s) <= 30.0 for ran_for_s in runs_s)
