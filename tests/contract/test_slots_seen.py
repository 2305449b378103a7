"""How many slots are held, as whoever takes none sees it: the same that the slots themselves keep."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from clearance.limits.slots import RedisSlots, Slot
from clearance.limits.slots_seen import slots_held
from tests.contract.redis_servers import EmbeddedServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(tmp_path)
    made.start()
    yield made
    made.stop()


def test_held_slots_are_counted_until_they_are_given_back(server: EmbeddedServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        slots = RedisSlots(client, "g", most=2, lease_s=25, quiet_in_s=lambda: 0.0)
        assert slots_held(client, "g") == 0
        held = [slots.acquire(), slots.acquire()]
        assert slots_held(client, "g") == 2
        assert slots_held(client, "other") == 0

        for slot in held:
            assert isinstance(slot, Slot)
            slots.release(slot)
        assert slots_held(client, "g") == 0


def test_a_slot_whose_holder_died_is_not_counted_after_its_lease(server: EmbeddedServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.hset(
            "clearance:slots:g", mapping={"memory": "m", "held:1": 1, "held:2": 99_999_999_999_999_999}
        )

        assert slots_held(client, "g") == 1


def test_a_redis_that_is_away_is_not_known(server: EmbeddedServer) -> None:
    server.stop()

    with redis.Redis.from_url(server.url) as client:
        assert slots_held(client, "g") is None
