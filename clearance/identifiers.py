"""How ids are made: unique without asking anybody, and sorted by the time they were made."""

import random
from datetime import datetime

_RANDOM_BITS = 80


def new_id(now: datetime) -> str:
    """32 hex digits: 12 of epoch milliseconds, 20 random. Sorted by time, so that an index grows at its end.

    Ids are unique, not secret: Python's generator will do, which is seeded anew in every process and after a fork.
    The system's would hand the interpreter to another thread at every call, and that costs more than all of ingest.
    """
    return f"{int(now.timestamp() * 1000):012x}{random.getrandbits(_RANDOM_BITS):020x}"
