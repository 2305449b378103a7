"""The servers that tests are given are reachable and empty."""

import kombu
import psycopg
import redis


def test_the_redis_database_is_empty_and_takes_writes(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("key", "value")
        assert client.get("key") == b"value"
        client.flushdb()


def test_the_postgresql_database_is_new(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        count = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()

    assert count == (0,)


def test_the_rabbitmq_virtual_host_takes_a_message(rabbitmq_url: str) -> None:
    with kombu.Connection(rabbitmq_url) as connection:
        queue = connection.SimpleQueue("clearance.test", queue_opts={"auto_delete": True})
        queue.put("ping")
        message = queue.get(timeout=5)
        message.ack()
        assert message.payload == "ping"
        queue.close()
