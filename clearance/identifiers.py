"""How ids are made: unique without asking anybody, and sorted by the time they were made."""

import os
from datetime import datetime


def new_id(now: datetime) -> str:
    """32 hex digits: 12 of epoch milliseconds, 20 random. Sorted by time, so that an index grows at its end."""
    return f"{int(now.timestamp() * 1000):012x}{os.urandom(10).hex()}"
