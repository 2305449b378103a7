"""Fleets for the black-box tests: one that tests share, each mending it first."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.fleet import Fleet, FleetPlan, running
from tests.system.groups_fleet import GroupsFleet, groups_running


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


@pytest.fixture(scope="session")
def _shared_groups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupsFleet]:
    # Tests tell of more groups in a short time than the vendor's limit would have them fetched and submitted.
    settings = {"CLEARANCE_OPTIMOVE_RATE_CALLS": "1000"}
    with groups_running(tmp_path_factory.mktemp("groups"), margin_s=4, settings=settings) as here:
        yield here


@pytest.fixture
def here(_shared_groups: GroupsFleet, request: pytest.FixtureRequest) -> GroupsFleet:
    """A review worker, two submit workers, two guardians, for V2: groups are due four seconds before a deadline."""
    _shared_groups.fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _shared_groups
