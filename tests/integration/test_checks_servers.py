"""Checks that ask others, on the servers that production uses: their system fails, and a worker dies in the middle."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import system
from tests.integration.emptied import emptied
from tests.system.fleet import Fleet, FleetPlan, running
from tests.system.processes import until
from tests.system.promotions_verdict import FAILED, judged, reasons

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("postgres_url")]

_GROUP = "promotions"
_RULES = Path(system.__path__[0], "rules_promotions.toml")


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def _fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    redis_url = request.getfixturevalue("redis_url")
    plan = FleetPlan(
        ledger_url=request.getfixturevalue("postgres_url"),
        broker_url=redis_url if request.param == "redis" else request.getfixturevalue("rabbitmq_url"),
        redis_url=redis_url,
        rules=_RULES,
        settings={"CLEARANCE_CHECK_BREAKER_FAILURES": "1000"},
    )
    with running(tmp_path_factory.mktemp(f"checks-{request.param}"), plan) as fleet:
        yield fleet
    emptied(plan)


@pytest.fixture
def fleet(_fleet: Fleet, request: pytest.FixtureRequest) -> Fleet:
    _fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _fleet


def test_lost_answers_are_asked_for_again_and_a_killed_workers_activations_are_not_repeated(
    fleet: Fleet,
) -> None:
    fleet.put_faults(group=_GROUP, latency_ms=300, error=0.1, reset_after=0.1)
    run = fleet.play(60, 30)
    until(lambda: fleet.report()["promotions"]["activated"] >= 5, "the first are activated", timeout_s=5)
    fleet.kill("worker1")
    fleet.wait_sent(run)
    verdict, promotions = judged(fleet)
    assert verdict.all_answered
    assert reasons(verdict)[FAILED] == 0
    assert promotions["repeats"] > 0
