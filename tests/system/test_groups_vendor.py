"""The vendor is in trouble while a group's approvals are due: they are there in time, or listed as not sent."""

import pytest

from tests.system.groups_fleet import GroupsFleet
from tests.system.groups_verdict import judge_groups, wait_over
from tests.system.processes import until

pytestmark = pytest.mark.timeout(90)

_APPROVALS = "scheduled-approvals"


def test_a_vendor_that_says_429_is_left_alone_for_as_long_as_it_asks(here: GroupsFleet) -> None:
    here.fleet.put_faults(group=_APPROVALS, throttle=1.0, retry_after_s=1)
    told = [here.tell(4000, 7), here.tell(4000, 7)]
    until(lambda: here.fleet.injected("throttle", group=_APPROVALS), "a first 429", timeout_s=7)
    here.fleet.clear_faults()
    for verdict in judge_groups(here, told):
        assert verdict.all_answered
        assert verdict.twice == 0
    # Two groups may have been told at the same moment; nobody asked again before the second was over.
    assert here.fleet.injected("throttle", group=_APPROVALS) <= 2


def test_a_vendor_that_fails_for_a_while_is_asked_again_in_time(here: GroupsFleet) -> None:
    here.fleet.put_faults(group=_APPROVALS, error=0.5, reset=0.5)
    told = here.tell(6000, 6)
    until(
        lambda: sum(here.fleet.injected(fault, group=_APPROVALS) for fault in ("error", "reset")) >= 3,
        "three calls that failed",
        timeout_s=9,
    )
    here.fleet.clear_faults()
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
    assert verdict.twice == 0


def test_calls_whose_replies_are_lost_are_noted_and_made_again(here: GroupsFleet) -> None:
    here.fleet.put_faults(group=_APPROVALS, half=0.3, reset_after=0.3)
    told = here.tell(8000, 6)
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
    unknown = [call for call in verdict.recorded.approvals if call.outcome == "unknown"]
    assert unknown, "no reply was lost: the test has shown nothing"


def test_a_vendor_that_fails_beyond_the_deadline_leaves_everybody_listed_as_not_sent(
    here: GroupsFleet,
) -> None:
    here.fleet.put_faults(group=_APPROVALS, error=1.0)
    told = here.tell(3000, 6)
    (verdict,) = judge_groups(here, [told])
    assert verdict.state == "missed"
    assert verdict.missed == {"NOT_SENT_IN_TIME": 3000}
    requests = here.fleet.injected("error", group=_APPROVALS)
    wait_over(here, [told])
    assert here.fleet.injected("error", group=_APPROVALS) == requests
