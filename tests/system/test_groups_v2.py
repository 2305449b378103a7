"""Send groups as the vendor tells of them: plain, moved, told twice, late, and with customers that come badly."""

import pytest

from tests.system.groups_fleet import GroupsFleet
from tests.system.groups_verdict import judge_groups, wait_over

pytestmark = pytest.mark.timeout(90)


def test_every_customer_of_a_group_is_answered_as_the_rules_say(here: GroupsFleet) -> None:
    told = here.tell(5000, 6)
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
    assert verdict.answered == 5000
    assert 0 < verdict.approved < 5000
    assert verdict.margin_s is not None
    # Submissions begin four seconds before the deadline, and a call has at most 2,000 customers.
    assert 2.0 < verdict.margin_s <= 4.0
    assert verdict.calls == 3
    wait_over(here, [told])


def test_a_deadline_that_moves_moves_the_approvals_and_a_repeated_heads_up_does_nothing(
    here: GroupsFleet,
) -> None:
    later, earlier = here.tell(2500, 5), here.tell(2500, 60)
    repeated = here.tell(2500, 7, copies=5)
    for told in (later, earlier, repeated):
        here.wait_heard(told)
    here.move(later, 9)
    here.move(earlier, 7)
    moved_later, moved_earlier, heard_once = judge_groups(here, [later, earlier, repeated])
    for verdict in (moved_later, moved_earlier):
        assert verdict.all_answered
        assert verdict.revisions == ("first:superseded", "moved:submitted")
        # No call by the former schedule.
        assert {call.revision for call in verdict.recorded.approvals} == {2}
        assert verdict.margin_s is not None
        assert verdict.margin_s <= 4.0
    assert heard_once.revisions == ("first:submitted",)
    assert heard_once.calls == 2
    # Its customers were fetched once, whatever was said of its deadline.
    assert here.seen(later)["fetches"]["begun"] == 1


def test_a_group_that_is_told_late_is_worked_at_once(here: GroupsFleet) -> None:
    told = here.tell(1000, 3)
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
    wait_over(here, [told])


def test_a_deadline_that_is_past_is_recorded_as_missed_with_how_late_it_was_told(here: GroupsFleet) -> None:
    told = here.tell(100, -10)
    (verdict,) = judge_groups(here, [told])
    assert verdict.state == "missed"
    assert verdict.missed == {"NOT_FETCHED_IN_TIME": 100}
    assert verdict.margin_s is not None
    # The sandbox tells whole seconds, after the window's end.
    assert -11 < verdict.margin_s < -8
    assert verdict.calls == 0
    assert here.seen(told)["fetches"]["begun"] == 0


def test_a_group_that_comes_again_after_its_end_hears_only_what_has_changed(here: GroupsFleet) -> None:
    first_customer = 900_000
    told = here.tell(2500, 5, first_customer=first_customer)
    (before,) = judge_groups(here, [told])
    assert before.all_answered
    suppressed = {f"C{first_customer + place}" for place in range(0, 2500, 50)}
    here.fleet.command("suppressions", "add", "customers", *sorted(suppressed))
    here.move(told, 6)
    here.wait_heard(told, revision=2)
    (after,) = judge_groups(here, [told], suppressed=suppressed)
    assert after.all_answered
    assert after.revisions == ("first:submitted", "again:submitted")
    assert 0 < after.changed == before.approved - after.approved <= len(suppressed)
    assert here.seen(told)["again"] == 0
    assert here.seen(told)["fetches"]["begun"] == 2


def test_streams_that_break_are_read_again_and_nobody_is_stored_twice(here: GroupsFleet) -> None:
    broken = here.tell(5000, 8, stream={"truncate_first": 2, "truncate_at": 0.6})
    as_if_whole = here.tell(5000, 8, stream={"truncate_first": 1, "truncate_at": 0.6, "clean": True})
    for verdict in judge_groups(here, [broken, as_if_whole]):
        assert verdict.all_answered
        assert verdict.answered == 5000
    assert here.seen(broken)["fetches"]["cut"] == 2
    assert here.seen(as_if_whole)["fetches"]["cut"] == 1


# The last chunk comes when there is hardly time left to decide it: with other tests beside it, too little.
@pytest.mark.alone
def test_what_came_in_time_of_a_stream_that_is_too_slow_is_answered_and_the_rest_is_listed(
    here: GroupsFleet,
) -> None:
    told = here.tell(10_000, 6, stream={"bytes_per_s": 100_000})
    (verdict,) = judge_groups(here, [told])
    assert verdict.state == "missed"
    assert verdict.missed["NOT_FETCHED_IN_TIME"] > 1000
    assert verdict.answered > 1000
    assert verdict.answered + verdict.missed.total() == 10_000
    wait_over(here, [told])


def test_a_count_that_is_not_what_was_told_is_counted_and_everybody_is_answered(here: GroupsFleet) -> None:
    differ = "clearance_group_counts_differ_total"
    before = sum(here.fleet.metric(name, differ) for name in ("submit1", "submit2"))
    more, fewer = here.tell(1500, 5, count_told=1400), here.tell(1500, 5, count_told=1600)
    for verdict in judge_groups(here, [more, fewer]):
        assert verdict.all_answered
        assert verdict.answered == 1500
    assert sum(here.fleet.metric(name, differ) for name in ("submit1", "submit2")) == before + 2
