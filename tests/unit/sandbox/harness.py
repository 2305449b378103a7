"""A sandbox on loopback whose clock the test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestClient, TestServer

from clearance.sandbox.app import create_app
from clearance.sandbox.options import SandboxOptions
from clearance.sandbox.times import Times

KEY = {"X-API-KEY": "sandbox-api-key"}
BASE = "/conditional-execution/v2/triggered"
START_MS = 1_760_000_000_000


class ManualTimes:
    """Both clocks in step; sleeping moves them on at once and lets other tasks run."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def times(self) -> Times:
        return Times(wall_ms=self.wall_ms, monotonic_s=lambda: self.now_s, sleep=self.sleep)

    def wall_ms(self) -> int:
        return START_MS + round(self.now_s * 1000)

    async def sleep(self, wait_s: float) -> None:
        self.slept_s.append(wait_s)
        self.now_s += wait_s
        await asyncio.sleep(0)


@asynccontextmanager
async def sandbox(
    options: SandboxOptions | None = None, clock: ManualTimes | None = None
) -> AsyncIterator[TestClient]:
    """A client of a running sandbox."""
    app = create_app(options or SandboxOptions(), (clock or ManualTimes()).times())
    async with TestClient(TestServer(app)) as client:
        yield client


def approval(request_uid: str, *, approved: bool = True) -> dict[str, object]:
    return {"timestamp": START_MS, "request_uid": request_uid, "approved": approved, "additional_data": {}}
