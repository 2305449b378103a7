"""Campaigns of a site that has the first scheduled API: the approved are told, and a campaign may be taken back."""

import time
import zlib
from collections.abc import Iterator

import pytest

from tests.system.groups_fleet import V1, GroupsFleet, groups_running
from tests.system.groups_verdict import judge_groups, wait_over
from tests.system.processes import until

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupsFleet]:
    # Pages of the vendor are 10,000 customers; smaller ones are as many more.
    settings = {"CLEARANCE_OPTIMOVE_CAMPAIGN_CUSTOMERS_PAGE_SIZE": "1000"}
    with groups_running(tmp_path_factory.mktemp("campaigns"), api=V1, settings=settings) as here:
        yield here


@pytest.fixture
def here(_fleet: GroupsFleet, request: pytest.FixtureRequest) -> GroupsFleet:
    """A fleet for V1."""
    _fleet.fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _fleet


def test_the_approved_of_a_campaign_are_told_and_nobody_else(here: GroupsFleet) -> None:
    told, by_whole_pages = here.tell(4500, 6), here.tell(3000, 6)
    for verdict in judge_groups(here, [told, by_whole_pages]):
        assert verdict.all_answered
        assert 0 < verdict.approved == verdict.answered < verdict.customers
    wait_over(here, [told, by_whole_pages])


def test_a_campaign_that_is_taken_back_before_its_approvals_are_due_is_not_answered(
    here: GroupsFleet,
) -> None:
    told = here.tell(2500, 5)
    here.wait_heard(told)
    here.cancel(told)
    here.wait_state(told, "cancelled", timeout_s=5)
    wait_over(here, [told])
    (verdict,) = judge_groups(here, [told])
    assert verdict.revisions == ("first:cancelled",)
    assert (verdict.calls, verdict.answered) == (0, 0)


def test_a_campaign_that_comes_back_after_it_was_taken_back_is_answered(here: GroupsFleet) -> None:
    told = here.tell(2500, 60)
    here.wait_heard(told)
    here.cancel(told)
    here.wait_state(told, "cancelled", timeout_s=5)
    # The vendor's times are whole seconds: within the same one, the cancellation is taken for the later word.
    cancelled_s = int(time.time())
    until(lambda: time.time() >= cancelled_s + 1, "the next second", timeout_s=2)
    here.move(told, 7)
    here.wait_heard(told, revision=2)
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
    assert verdict.revisions == ("first:cancelled", "again:submitted")


def test_a_campaign_whose_pages_fail_is_fetched_all_the_same(here: GroupsFleet) -> None:
    here.fleet.put_faults(group="customers", error=0.05, reset=0.05)
    told = here.tell(5500, 10, stream={"truncate_first": 1, "truncate_at": 0.5})
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
