"""What every process shows of itself: a pool's children included, and the fleet as its guardians see it."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.groups_fleet import GroupsFleet, groups_running
from tests.system.processes import until

pytestmark = pytest.mark.timeout(120)

_CUSTOMERS = 50
_DECIDED = 'clearance_decisions_total{answer="approved",lane="review"}'


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupsFleet]:
    directory = tmp_path_factory.mktemp("fleet")
    scratch = directory / "scratch"
    scratch.mkdir()
    with groups_running(directory, settings={"TMPDIR": str(scratch)}) as made:
        yield made


def test_what_children_of_a_review_worker_counted_is_read_from_their_parent(here: GroupsFleet) -> None:
    here.fleet.begin(seed=1)
    here.tell(_CUSTOMERS, 60.0)

    until(lambda: here.fleet.metric("review1", _DECIDED) > 0, "decisions show", timeout_s=40, every_s=0.2)
    until(
        lambda: here.fleet.metric("review1", "clearance_obligation_outcomes_total") > 0,
        "the end of their obligation shows",
        timeout_s=10,
        every_s=0.2,
    )
    assert here.fleet.metric("review1", "process_cpu_seconds_total") > 0
    waits = "clearance_turn_wait_seconds_count"
    assert here.fleet.metric("submit1", waits) + here.fleet.metric("submit2", waits) > 0


def test_guardians_show_the_fleet(here: GroupsFleet) -> None:
    here.fleet.begin(seed=2)
    here.tell(_CUSTOMERS, 60.0)

    def shown(name: str) -> float:
        return here.fleet.metric("guardian1", f"clearance_{name}")

    until(lambda: shown('open_groups{api="v2"}') >= 1, "the group shows", timeout_s=40, every_s=0.2)
    assert (shown("ledger_up"), shown("broker_up")) == (1, 1)
    # Up to a second more than was asked for: the vendor says its times in whole seconds.
    assert 0 < shown('group_next_deadline_seconds{api="v2"}') < 61
    assert shown('queue_messages{lane="triggered"}') >= 0
    assert not math.isnan(shown('lane_obligations{lane="submit",state="later"}'))
    assert shown("rules_versions") == 1


def test_a_review_worker_that_ends_leaves_no_files_behind(here: GroupsFleet) -> None:
    here.fleet.begin(seed=3)
    scratch = Path(here.fleet.directory) / "scratch"
    assert list(scratch.glob("clearance-metrics-*"))

    here.fleet["review1"].stop()

    assert list(scratch.glob("clearance-metrics-*")) == []
