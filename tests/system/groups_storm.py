"""Everything is killed while a group of 20,000 is on its way: each customer is answered once, in time, as ever.

`CLEARANCE_GROUP_SEEDS=20` tries twenty seeds instead of one. A seed says who is killed when; it is in the test's
name, so that one is repeated by that and `-k '[7]'`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.fleet import FleetPlan
from tests.system.groups_fleet import GroupsFleet, Told, blows, groups_running, strike
from tests.system.groups_verdict import judge_groups

SEEDS = range(1, 1 + int(os.environ.get("CLEARANCE_GROUP_SEEDS", "1")))
_CUSTOMERS = 20_000
_WINDOW_S = 60.0
# Submissions begin some thirteen seconds after the heads-up, so that a seed need not last until its deadline.
_MARGIN_S = 47.0
# From the heads-up until the last approvals leave: they take four seconds when nobody is killed.
_BLOWS_WITHIN_S = 17.0
_KILLED = ["broker", "ingest", "guardian1", "guardian2", "review1", "submit1", "submit2"]


class GroupStorm:
    """A fleet with a broker of its own, and the groups of all seeds so far."""

    def __init__(self, here: GroupsFleet) -> None:
        self._here = here
        self._told: list[Told] = []

    def strike(self, seed: int) -> None:
        """Tell of a group, kill everything once and wipe the broker at the seed's moments, and judge."""
        fleet = self._here.fleet
        fleet.seed = seed
        fleet.disturbed.clear()
        struck = blows(fleet, seed, _KILLED, within_s=_BLOWS_WITHIN_S)
        told = self._here.tell(_CUSTOMERS, _WINDOW_S, stream={"bytes_per_s": 250_000}, retries=10)
        self._told.append(told)
        strike(fleet, struck)
        (verdict,) = judge_groups(self._here, [told], settle_s=10)
        assert verdict.all_answered
        assert verdict.answered == _CUSTOMERS
        # Ready again for the next one; a process that did not come back has failed.
        for name in _KILLED:
            fleet.wait_ready(name)

    def nothing_was_late(self) -> None:
        """At the end: nothing has come after a deadline that is over by now."""
        late = {each.vendor_id: self._here.seen(each)["late_calls"] for each in self._told}
        assert set(late.values()) <= {0}, late


@contextmanager
def group_storm(directory: Path, plan: FleetPlan | None = None) -> Iterator[GroupStorm]:
    """One fleet for all seeds."""
    settings = {"CLEARANCE_OPTIMOVE_APPROVALS_PER_CALL": "1000"}
    with groups_running(directory, margin_s=_MARGIN_S, plan=plan, settings=settings) as here:
        # A slow line and slow approvals: the blows fall while customers are fetched, reviewed and submitted.
        here.fleet.put_faults(group="scheduled-approvals", latency_ms=200)
        storm = GroupStorm(here)
        yield storm
        storm.nothing_was_late()
