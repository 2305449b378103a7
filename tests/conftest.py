"""What every test gets: its tier as a marker, a clock that stands still, a network that ends at this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from structlog.typing import EventDict

from tests import network
from tests.fakes.clock import ManualClock
from tests.services import postgres_url, rabbitmq_url, redis_url  # noqa: F401  # fixtures, for every tier

_HERE = Path(__file__).parent
_MARKERS = {
    "unit": "no network, no sleep, an injected clock",
    "contract": "one suite for a port, run on the fake and on the real one",
    "integration": "against a real Redis, PostgreSQL or RabbitMQ",
    "system": "black box: processes, HTTP and the command line",
    "services": "needs a server that is not embedded: Redis, PostgreSQL or RabbitMQ; run by `make integration`",
    "loopback": "a unit test that may open connections to this machine",
    "alone": "measures to a fraction of a second under load, so that nothing may run beside it",
}
_SERVICES = {"redis_url", "postgres_url", "rabbitmq_url"}
_MOST_JOBS = 6

# The same examples in every run; a failure prints what repeats it.
hypothesis.settings.register_profile("clearance", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("clearance")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in _MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a part of what tests do is waiting. Not many: some have ten processes."""
    return min((os.cpu_count() or 1) + 1, _MOST_JOBS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(item.path.relative_to(_HERE).parts[0])
        # A test that asks for a server by `getfixturevalue` has to carry the marker itself.
        if item.get_closest_marker("integration") or _SERVICES.intersection(
            getattr(item, "fixturenames", ())
        ):
            item.add_marker("services")
    # Where files are handed to several processes, the slow ones come first, so that all end at about the same time.
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.path.is_relative_to(_HERE / "system"))


@pytest.fixture(autouse=True)
def _network_ends_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    is_unit = request.node.get_closest_marker("unit") is not None
    may_use_loopback = not is_unit or request.node.get_closest_marker("loopback") is not None
    network.guard(monkeypatch, loopback=may_use_loopback)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture
def log_events() -> Iterator[list[EventDict]]:
    """The events that our code logs during the test, as dicts: `event`, `log_level` and what was told."""
    with structlog.testing.capture_logs() as events:
        yield events
