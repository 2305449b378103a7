"""A worker's process that takes calls as fast as it may, as others do at the same time.

`python -m tests.contract.takers URL CALLS WINDOW_S RESERVED URGENCY LASTS_S AHEAD_S` says `ready`, waits for a line,
and prints as JSON how many it took, and when the server counted calls, its own and those of others that it saw. Its
clocks are AHEAD_S ahead of the machine's.
"""

import json
import sys
import time
from collections.abc import Callable

import redis

from clearance.limits.rate import RateLimit, RedisRateLimit, Urgency

# What is printed, and the server's list that it is seen in.
SEEN = {"every_us": "clearance:rate:{hammered}", "ordinary_us": "clearance:rate:{hammered}:ordinary"}


def take_all(
    limit: RateLimit, urgency: Urgency, lasts_s: float, on_taken: Callable[[], None] = lambda: None
) -> int:
    """How many were taken, asking without any pause."""
    ends, taken = time.monotonic() + lasts_s, 0
    while time.monotonic() < ends:
        if limit.take(urgency) == 0:
            taken += 1
            on_taken()
    return taken


if __name__ == "__main__":
    url, calls, window_s, reserved, its_urgency, how_long_s, ahead_s = sys.argv[1:]
    skew_s, real_time = float(ahead_s), time.time
    time.time = lambda: real_time() + skew_s
    with redis.Redis.from_url(url) as client:
        its_limit = RedisRateLimit(
            client,
            "hammered",
            calls=int(calls),
            window_s=float(window_s),
            reserved=int(reserved),
            time=lambda: time.monotonic() + skew_s,
        )
        seen: dict[str, set[int]] = {name: set() for name in SEEN}

        def look() -> None:
            # The server keeps a call for a window only: all look, so that a process that is held up loses nothing.
            for name, key in SEEN.items():
                seen[name].update(map(int, client.lrange(key, 0, -1)))

        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        its_count = take_all(its_limit, Urgency(its_urgency), float(how_long_s), look)
        sys.stdout.write(json.dumps({"taken": its_count, **{name: sorted(us) for name, us in seen.items()}}))
