"""Letters on the servers of production, PostgreSQL with Redis and with RabbitMQ, while everything else is killed.

`tests/system/mail_storm.py` says how to try more seeds, or one of them again.
"""

from collections.abc import Iterator

import pytest

from tests.integration.emptied import emptied
from tests.system.fleet import FleetPlan
from tests.system.mail_fleet import MailFleet, mail_running
from tests.system.mail_storm import SEEDS, storm

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("postgres_url")]


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailFleet]:
    """One fleet for all seeds; slots are in Redis, also when messages are not."""
    redis_url = request.getfixturevalue("redis_url")
    broker_url = redis_url if request.param == "redis" else request.getfixturevalue("rabbitmq_url")
    plan = FleetPlan(
        ledger_url=request.getfixturevalue("postgres_url"), broker_url=broker_url, redis_url=redis_url
    )
    with mail_running(tmp_path_factory.mktemp(request.param), plan=plan) as here:
        yield here
    emptied(plan)


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_killed_each_letter_is_printed_once_at_most_and_has_its_end(
    here: MailFleet, seed: int
) -> None:
    # The servers are not ours to kill; what Redis has of this fleet is ours to forget.
    assert storm(here, seed, is_broker_ours=False).printed
