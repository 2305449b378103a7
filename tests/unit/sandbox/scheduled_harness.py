"""A listener for heads-ups, and the calls that answer them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.unit.sandbox.harness import KEY, START_MS, ManualTimes, sandbox

V2 = "/v2/conditional-execution/scheduled/send-groups"
NOWHERE = "http://127.0.0.1:9/closed"


class Listener:
    """Keeps what it is sent, and answers with the statuses it is given, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses or (202,))
        self.bodies: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.tokens.append(request.query.get("token"))
        return web.Response(status=self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[str]:
    """The listener's address."""
    app = web.Application()
    app.router.add_post("/hook", listener.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook"))


def with_sandbox(scenario: Callable[[TestClient], Awaitable[None]], clock: ManualTimes | None = None) -> None:
    async def run() -> None:
        async with sandbox(clock=clock) as client:
            await scenario(client)

    asyncio.run(run())


async def create(client: TestClient, *, flow: str = "send-groups", **settings: object) -> dict[str, Any]:
    # Repeats to nobody would move a manual clock.
    nobody = {"targets": [NOWHERE], "retries": 0} if "targets" not in settings else {}
    settings = {"customers": 3, "window_s": 10, **nobody, **settings}
    answer = await client.post(f"/sandbox/{flow}", json=settings)
    assert answer.status == 202, await answer.text()
    created: dict[str, Any] = await answer.json()
    return created


async def move(client: TestClient, group_id: int, window_s: float, *, flow: str = "send-groups") -> int:
    answer = await client.post(f"/sandbox/{flow}/{group_id}/move", json={"window_s": window_s})
    assert answer.status == 202
    deadline_at_ms: int = (await answer.json())["deadline_at_ms"]
    return deadline_at_ms - START_MS


async def approve(client: TestClient, group_id: int, answers: dict[str, bool]) -> int:
    sent = [{"customer_id": customer, "is_approved": approved} for customer, approved in answers.items()]
    return (await client.post(f"{V2}/{group_id}/approvals", json=sent, headers=KEY)).status


async def look(client: TestClient, group_id: int, *, flow: str = "send-groups") -> dict[str, Any]:
    shown: dict[str, Any] = await (await client.get(f"/sandbox/{flow}/{group_id}")).json()
    return shown


async def told(client: TestClient, group_id: int, *, flow: str = "send-groups") -> dict[str, Any]:
    """The summary once every delivery has been tried as often as it will be."""
    while True:
        shown = await look(client, group_id, flow=flow)
        deliveries = [each for revision in shown["heads_ups"] for each in revision["deliveries"]]
        if all(each["is_done"] for each in deliveries):
            return shown
