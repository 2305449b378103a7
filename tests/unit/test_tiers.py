"""The tests' own frame: tiers, the network that ends at this machine, the clock, and missing services."""

import asyncio
import socket
from datetime import timedelta

import pytest

from tests.fakes.clock import START, ManualClock
from tests.network import ConnectionRefusedByTestError
from tests.services import service_required


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def test_a_unit_test_is_marked_by_where_it_lives(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("unit")


def test_a_unit_test_cannot_open_a_connection(listener: tuple[str, int]) -> None:
    with pytest.raises(ConnectionRefusedByTestError, match="inject a fake"):
        socket.create_connection(listener)


@pytest.mark.loopback
def test_a_unit_test_that_says_so_may_connect_to_this_machine(listener: tuple[str, int]) -> None:
    with socket.create_connection(listener) as connection:
        assert connection.getpeername() == listener


@pytest.mark.loopback
def test_no_test_may_leave_this_machine() -> None:
    with pytest.raises(ConnectionRefusedByTestError, match="not this machine"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_asyncio_is_guarded_as_well(listener: tuple[str, int]) -> None:
    with pytest.raises(ConnectionRefusedByTestError):
        asyncio.run(asyncio.open_connection(*listener))


def test_the_clock_stands_still_until_it_is_moved(clock: ManualClock) -> None:
    assert clock() == clock() == START

    clock.advance(3600)

    assert clock() == clock.now == START + timedelta(hours=1)


def test_a_missing_service_is_skipped_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    assert _outcome_of_a_missing_service() is pytest.skip.Exception


def test_a_missing_service_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    assert _outcome_of_a_missing_service() is pytest.fail.Exception


def _outcome_of_a_missing_service() -> type[BaseException]:
    # Both are caught: a skip that got out would pass for this test's own.
    both = (pytest.skip.Exception, pytest.fail.Exception)
    with pytest.raises(both, match="Redis is not available: refused") as caught:
        service_required("Redis", "refused")
    return caught.type
