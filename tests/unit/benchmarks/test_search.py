from collections.abc import Callable

import pytest

from benchmarks.search import Found, highest_rate


def _up_to(limit: float, tried: list[float]) -> Callable[[float], bool]:
    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    return holds


@pytest.mark.parametrize("limit", [7, 22, 180, 480, 660])
def test_the_highest_rate_is_found_to_within_five_percent(limit: float) -> None:
    tried: list[float] = []

    found = highest_rate(_up_to(limit, tried), start=5, ceiling=2000, may_go_on=lambda: True)

    assert found.fails_at is not None
    assert found.highest <= limit < found.fails_at
    assert found.fails_at - found.highest <= max(1.0, 0.05 * found.fails_at)
    assert len(tried) == len(set(tried)) <= 18


def test_what_is_known_already_is_not_tried_again() -> None:
    tried: list[float] = []

    found = highest_rate(
        _up_to(460, tried), start=5, holds_at=400, fails_at=500, ceiling=2000, may_go_on=lambda: True
    )

    assert all(400 < rate < 500 for rate in tried)
    assert found.highest <= 460 < (found.fails_at or 0)


def test_a_first_rate_that_fails_is_searched_downwards() -> None:
    tried: list[float] = []

    found = highest_rate(_up_to(3, tried), start=50, ceiling=2000, may_go_on=lambda: True)

    assert found == Found(highest=3, fails_at=4)


def test_nothing_holding_is_zero_and_ends() -> None:
    found = highest_rate(lambda _: False, start=50, ceiling=2000, may_go_on=lambda: True)

    assert found.highest == 0
    assert found.fails_at == 1


def test_no_rate_above_the_ceiling_is_tried() -> None:
    tried: list[float] = []

    found = highest_rate(_up_to(9999, tried), start=50, ceiling=300, may_go_on=lambda: True)

    assert max(tried) == 300
    assert found == Found(highest=300, fails_at=None)


def test_when_the_time_is_over_what_is_known_is_the_answer() -> None:
    left = iter([True, True, False])

    found = highest_rate(lambda _: True, start=50, ceiling=2000, may_go_on=lambda: next(left, False))

    assert found == Found(highest=75, fails_at=None)
