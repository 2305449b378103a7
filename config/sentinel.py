"""How are Sentinels asked where Redis is? Each once: while one of them is away, the next one is asked at once.

By default redis-py asks a dead one eleven times, with pauses: eight seconds at every connection that is made.
"""

from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry


def asking(timeout_s: float) -> dict[str, Any]:
    """The options of whoever asks."""
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
