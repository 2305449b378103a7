"""Everything is killed while a group is on its way, on PostgreSQL with Redis and with RabbitMQ.

The broker is one of the fleet's own, so that it too is killed, and loses what it held. `tests/system/groups_storm.py`
says how to try more seeds.
"""

import shutil
from collections.abc import Iterator

import pytest

from tests.integration.emptied import emptied
from tests.services import service_required
from tests.system.fleet import FleetPlan
from tests.system.groups_storm import SEEDS, GroupStorm, group_storm
from tests.system.own_brokers import RABBITMQ

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("postgres_url")]


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def storm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupStorm]:
    """One fleet for all seeds; limits are in Redis, also when messages are not."""
    is_redis = request.param == "redis"
    binary = shutil.which("redis-server" if is_redis else RABBITMQ)
    if binary is None:
        service_required(f"{request.param}'s server", "no program of its name")
    plan = FleetPlan(
        ledger_url=request.getfixturevalue("postgres_url"),
        broker_binary=binary,
        redis_url="" if is_redis else request.getfixturevalue("redis_url"),
    )
    with group_storm(tmp_path_factory.mktemp(request.param), plan) as storm:
        yield storm
    emptied(plan)


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_killed_each_customer_is_answered_in_time(storm: GroupStorm, seed: int) -> None:
    storm.strike(seed)
