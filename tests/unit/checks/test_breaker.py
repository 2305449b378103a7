"""When a system that keeps failing is left alone, and how it is found to be back."""

import threading

import pytest

from clearance.checks.breaker import Breaker


class Seconds:
    """A monotonic clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def breaker(seconds: Seconds) -> Breaker:
    """Opens after three failures in a row, for ten seconds."""
    return Breaker(failures=3, rest_s=10, time=seconds)


def _open(breaker: Breaker) -> None:
    assert [breaker.failed() for _ in range(3)] == [False, False, True]


def test_it_opens_with_the_last_of_so_many_failures_in_a_row(breaker: Breaker) -> None:
    assert [breaker.failed(), breaker.failed(), breaker.admits()] == [False, False, True]
    assert breaker.failed()
    assert not breaker.admits()


def test_a_success_between_failures_starts_the_count_afresh(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.admits()


def test_nothing_passes_until_the_rest_is_over_and_then_one_probe_only(
    breaker: Breaker, seconds: Seconds
) -> None:
    _open(breaker)
    seconds.now += 9.9
    assert not breaker.admits()
    seconds.now += 0.1
    assert [breaker.admits() for _ in range(3)] == [True, False, False]


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, seconds: Seconds) -> None:
    _open(breaker)
    seconds.now += 10
    assert breaker.admits()
    breaker.succeeded()
    assert [breaker.admits(), breaker.admits()] == [True, True]
    assert [breaker.failed() for _ in range(3)] == [False, False, True]


def test_a_probe_that_fails_rests_once_more_and_does_not_count_as_opening(
    breaker: Breaker, seconds: Seconds
) -> None:
    _open(breaker)
    seconds.now += 10
    assert breaker.admits()
    seconds.now += 2
    assert not breaker.failed()
    seconds.now += 9.9
    assert not breaker.admits()
    seconds.now += 0.1
    assert breaker.admits()


def test_a_probe_of_which_nothing_is_heard_blocks_for_one_rest_only(
    breaker: Breaker, seconds: Seconds
) -> None:
    _open(breaker)
    seconds.now += 10
    assert breaker.admits()
    seconds.now += 10
    assert [breaker.admits(), breaker.admits()] == [True, False]


def test_calls_that_were_under_way_when_it_opened_do_not_open_it_again(breaker: Breaker) -> None:
    _open(breaker)
    assert [breaker.failed(), breaker.failed()] == [False, False]


def test_of_many_threads_one_is_the_probe(breaker: Breaker, seconds: Seconds) -> None:
    _open(breaker)
    seconds.now += 10
    together, admitted = threading.Barrier(8), []

    def ask() -> None:
        together.wait(5)
        admitted.append(breaker.admits())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(admitted) == [False] * 7 + [True]
