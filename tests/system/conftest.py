"""Fleets for the black-box tests: one that tests share, each mending it first."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.fleet import Fleet, FleetPlan, running


@pytest.fixture(scope="session")
def _shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory: Path = tmp_path_factory.mktemp("fleet")
    with running(directory, FleetPlan()) as fleet:
        yield fleet


@pytest.fixture
def fleet(_shared_fleet: Fleet, request: pytest.FixtureRequest) -> Fleet:
    """SQLite, a broker of its own, ingest, two guardians, two triggered workers; healthy. The test's name seeds it."""
    _shared_fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _shared_fleet
