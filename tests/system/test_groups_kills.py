"""Everything is killed while a group of 20,000 is on its way: each customer is answered once, in time, as ever.

`CLEARANCE_GROUP_SEEDS=20` tries twenty seeds instead of one. A seed says who is killed when; it is in the test's
name, so that one is repeated by that and `-k '[7]'`.
"""

import os
from collections.abc import Iterator

import pytest

from tests.system.groups_fleet import GroupsFleet, Told, blows, groups_running, strike
from tests.system.groups_verdict import judge_groups

pytestmark = pytest.mark.timeout(150)

_SEEDS = range(1, 1 + int(os.environ.get("CLEARANCE_GROUP_SEEDS", "1")))
_CUSTOMERS = 20_000
_WINDOW_S = 60.0
# Submissions begin some thirteen seconds after the heads-up, so that a seed need not last until its deadline.
_MARGIN_S = 47.0
# From the heads-up until the last approvals leave: they take four seconds when nobody is killed.
_BLOWS_WITHIN_S = 17.0
_KILLED = ["broker", "ingest", "guardian1", "guardian2", "review1", "submit1", "submit2"]


@pytest.fixture(scope="module")
def told() -> list[Told]:
    """The groups of all seeds so far."""
    return []


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, told: list[Told]) -> Iterator[GroupsFleet]:
    """One fleet for all seeds; at the end nothing may have come after a deadline that is over by then."""
    settings = {"CLEARANCE_OPTIMOVE_APPROVALS_PER_CALL": "1000"}
    with groups_running(tmp_path_factory.mktemp("kills"), margin_s=_MARGIN_S, settings=settings) as here:
        # A slow line and slow approvals: the blows fall while customers are fetched, reviewed and submitted.
        here.fleet.put_faults(group="scheduled-approvals", latency_ms=200)
        yield here
        late = {each.vendor_id: here.seen(each)["late_calls"] for each in told}
        assert set(late.values()) <= {0}, late


@pytest.mark.parametrize("seed", _SEEDS)
def test_whoever_is_killed_each_customer_is_answered_in_time(
    here: GroupsFleet, told: list[Told], seed: int
) -> None:
    here.fleet.seed = seed
    here.fleet.disturbed.clear()
    struck = blows(here.fleet, seed, _KILLED, within_s=_BLOWS_WITHIN_S)
    told.append(here.tell(_CUSTOMERS, _WINDOW_S, stream={"bytes_per_s": 250_000}, retries=10))
    strike(here.fleet, struck)
    (verdict,) = judge_groups(here, told[-1:], settle_s=10)
    assert verdict.all_answered
    assert verdict.answered == _CUSTOMERS
    # Ready again for the next one; a process that did not come back has failed.
    for name in _KILLED:
        here.fleet.wait_ready(name)
