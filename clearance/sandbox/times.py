"""What time it is for the sandbox: wall clock for what is signed, monotonic for what is measured."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Every source of time of the sandbox; tests hand in their own."""

    wall_ms: Callable[[], int] = _wall_ms
    monotonic_s: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
