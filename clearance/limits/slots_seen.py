"""How many slots of the fleet are held now? A look that takes none and changes nothing.

Reads what `slots.lua` writes; its header names the fields.
"""

from redis import Redis, RedisError

_HELD = b"held:"
_US = 1_000_000


def slots_held(redis: "Redis", group: str) -> int | None:
    """How many requests may be under way; None when Redis does not answer."""
    try:
        with redis.pipeline(transaction=True) as pipeline:
            pipeline.time()
            pipeline.hgetall(f"clearance:slots:{group}")
            (seconds, microseconds), fields = pipeline.execute()
    except RedisError:
        return None
    now_us = seconds * _US + microseconds
    return sum(1 for name, until_us in fields.items() if name.startswith(_HELD) and int(until_us) > now_us)
