"""A group on the servers of production, PostgreSQL with Redis and with RabbitMQ, whose messages are lost."""

import time
import zlib
from collections.abc import Iterator

import kombu
import pytest

from tests.integration.emptied import emptied
from tests.system.fleet import FleetPlan
from tests.system.groups_fleet import Blow, GroupsFleet, groups_running, strike
from tests.system.groups_verdict import judge_groups

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("postgres_url")]

# Submissions begin some fourteen seconds after the heads-up; the rest is for who dies and comes back.
_MARGIN_S = 46.0
_WINDOW_S = 60.0


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def _fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupsFleet]:
    redis_url = request.getfixturevalue("redis_url")
    broker_url = redis_url if request.param == "redis" else request.getfixturevalue("rabbitmq_url")
    plan = FleetPlan(
        ledger_url=request.getfixturevalue("postgres_url"), broker_url=broker_url, redis_url=redis_url
    )
    settings = {"CLEARANCE_OPTIMOVE_APPROVALS_PER_CALL": "1000"}
    with groups_running(
        tmp_path_factory.mktemp(request.param), margin_s=_MARGIN_S, plan=plan, settings=settings
    ) as here:
        yield here
    emptied(plan)


@pytest.fixture
def here(_fleet: GroupsFleet, request: pytest.FixtureRequest) -> GroupsFleet:
    """A fleet for V2."""
    _fleet.fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _fleet


def test_messages_of_groups_that_the_broker_lost_are_published_again(here: GroupsFleet) -> None:
    started = time.monotonic()

    def lose() -> None:
        with kombu.Connection(here.fleet.broker_url) as connection:
            for queue in ("clearance.submit", "clearance.review"):
                connection.default_channel.queue_purge(queue)

    with here.fleet.frozen("submit1", "submit2", "review1"):
        told = here.tell(5000, _WINDOW_S)
        here.wait_heard(told)
        strike(here.fleet, [Blow(at_s=at_s, name="messages", strike=lose) for at_s in (0.5, 1.0, 2.5)])
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
    here.fleet.note(f"answered {time.monotonic() - started:.1f} s after it was told of")
