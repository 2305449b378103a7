"""Leave the servers of a module as they were found: its next fleet shares them."""

import psycopg
import redis

from tests.system.fleet import FleetPlan


def emptied(plan: FleetPlan) -> None:
    """Remove what a fleet has left in its PostgreSQL and Redis databases; its own servers are gone already."""
    with psycopg.connect(plan.ledger_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    if plan.redis_url:
        with redis.Redis.from_url(plan.redis_url) as client:
            client.flushdb()
