"""Everything is killed while a group is on its way; `tests/system/groups_storm.py` says how to try more seeds."""

from collections.abc import Iterator

import pytest

from tests.system.groups_storm import SEEDS, GroupStorm, group_storm

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupStorm]:
    """On SQLite and the embedded broker."""
    with group_storm(tmp_path_factory.mktemp("kills")) as storm:
        yield storm


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_killed_each_customer_is_answered_in_time(storm: GroupStorm, seed: int) -> None:
    storm.strike(seed)
