"""The fleet on the servers that production uses: PostgreSQL with Redis, and PostgreSQL with RabbitMQ."""

import zlib
from collections.abc import Iterator

import kombu
import pytest

from tests.integration.emptied import emptied
from tests.system.fleet import Fleet, FleetPlan, running
from tests.system.processes import until
from tests.system.verdict import judge, taken_over_s

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("postgres_url")]


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def _fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    redis_url = request.getfixturevalue("redis_url")
    broker_url = redis_url if request.param == "redis" else request.getfixturevalue("rabbitmq_url")
    plan = FleetPlan(
        ledger_url=request.getfixturevalue("postgres_url"), broker_url=broker_url, redis_url=redis_url
    )
    with running(tmp_path_factory.mktemp(request.param), plan) as fleet:
        yield fleet
    emptied(plan)


@pytest.fixture
def fleet(_fleet: Fleet, request: pytest.FixtureRequest) -> Fleet:
    _fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _fleet


def test_traffic_with_all_that_comes_with_it_is_answered_in_time(fleet: Fleet) -> None:
    fleet.put_faults(error=0.02, reset=0.02, half=0.01)
    fleet.wait_sent(fleet.play(180, 30, duplicate=0.1, bad_signature=0.05, malformed=0.05, expired=0.05))
    verdict = judge(fleet)
    assert verdict.missed == {"PAST_ON_ARRIVAL": 9}
    assert verdict.answered == verdict.accepted - 9
    assert fleet.report()["by_kind"]["bad_signature"]["status"] == {"401": 9}


def test_what_a_killed_worker_held_is_answered_in_time_by_another(fleet: Fleet) -> None:
    fleet.put_faults(hang=1.0, hang_s=30)
    fleet.wait_sent(fleet.play(24, 60))
    until(lambda: fleet.injected("hang") >= 24, "every approval hangs", timeout_s=2)
    killed_at = fleet.kill("worker1")
    fleet.clear_faults()
    verdict = judge(fleet)
    assert verdict.all_answered
    assert taken_over_s(fleet, verdict, killed_at) < 3.0


def test_what_a_killed_ingest_had_acknowledged_is_answered(fleet: Fleet) -> None:
    run = fleet.play(90, 30)
    fleet.wait_sent(run, 45)
    fleet.kill("ingest")
    fleet.restart("ingest")
    fleet.wait_sent(run)
    fleet.wait_sent(fleet.play(30, 30))
    verdict = judge(fleet)
    assert verdict.all_answered
    assert verdict.accepted >= 40 + 30


def test_guardian_and_a_worker_killed_together_cost_no_answer(fleet: Fleet) -> None:
    fleet.put_faults(latency_ms=300, latency_jitter_ms=300)
    run = fleet.play(90, 30)
    fleet.wait_sent(run, 40)
    fleet.kill("guardian1")
    fleet.kill("worker2")
    fleet.wait_sent(run)
    assert judge(fleet).all_answered


def test_messages_that_the_broker_lost_are_published_again(fleet: Fleet) -> None:
    with fleet.frozen("worker1", "worker2"):
        fleet.wait_sent(fleet.play(30, 60))
        with kombu.Connection(fleet.broker_url) as connection:
            connection.default_channel.queue_purge("clearance.triggered")
    assert judge(fleet).all_answered
    fleet.note(f"every worker works again after {fleet.wait_every_worker_works():.2f} s")
    judge(fleet)
