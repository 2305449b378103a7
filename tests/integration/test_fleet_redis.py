"""The fleet on PostgreSQL and a real Redis of its own, which is killed, frozen and wiped."""

import shutil
import time
import zlib
from collections.abc import Iterator

import pytest

from tests.integration.emptied import emptied
from tests.services import service_required
from tests.system.fleet import Fleet, FleetPlan, running
from tests.system.processes import until
from tests.system.verdict import judge

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def _fleet(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    binary = shutil.which("redis-server")
    if binary is None:
        service_required("redis-server", "not on the path")
    plan = FleetPlan(ledger_url=postgres_url, broker_binary=binary)
    with running(tmp_path_factory.mktemp("fleet"), plan) as fleet:
        yield fleet
    emptied(plan)


@pytest.fixture
def fleet(_fleet: Fleet, request: pytest.FixtureRequest) -> Fleet:
    _fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _fleet


def test_a_redis_killed_in_the_middle_of_traffic_and_restarted_loses_nothing(fleet: Fleet) -> None:
    run = fleet.play(150, 30, window_ms=10_000)
    fleet.wait_sent(run, 50)
    fleet.kill("broker")
    fleet.restart("broker")
    fleet.wait_sent(run)
    assert judge(fleet).all_answered
    fleet.note(f"every worker works again after {fleet.wait_every_worker_works():.2f} s")
    judge(fleet)


def test_a_redis_frozen_for_three_seconds_costs_no_acknowledgement(fleet: Fleet) -> None:
    run = fleet.play(150, 30, window_ms=10_000)
    fleet.wait_sent(run, 30)
    with fleet.frozen("broker"):
        frozen = time.monotonic()
        until(lambda: time.monotonic() - frozen > 3, "three seconds", timeout_s=4)
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert (verdict.accepted, verdict.all_answered) == (150, True)
    assert fleet.report()["acknowledge_ms"]["max"] < 1000


def test_a_redis_wiped_with_a_backlog_costs_no_answer(fleet: Fleet) -> None:
    with fleet.frozen("worker1", "worker2"):
        run = fleet.play(90, 30)
        fleet.wait_sent(run, 30)
        fleet.wipe_broker()
    fleet.wait_sent(run)
    assert judge(fleet).all_answered
