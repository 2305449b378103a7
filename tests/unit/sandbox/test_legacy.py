"""The legacy API, on every form of path that callers use."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote_plus

import pytest
from aiohttp.test_utils import TestClient

from tests.unit.sandbox.harness import KEY, ManualTimes, sandbox

pytestmark = pytest.mark.loopback

LOGIN = {"Username": "sandbox", "Password": "sandbox-password"}
LISTENER = "http://127.0.0.1:8080/webhooks/optimove/events?token=a%20b"


def _with_sandbox(
    scenario: Callable[[TestClient], Awaitable[None]], clock: ManualTimes | None = None
) -> None:
    async def run() -> None:
        async with sandbox(clock=clock) as client:
            await scenario(client)

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/current/general/login", "/general/login", "/Current/General/LOGIN/"])
def test_the_token_is_a_json_text_and_lives_twenty_minutes(path: str) -> None:
    clock = ManualTimes()

    async def scenario(client: TestClient) -> None:
        token = await (await client.post(path, json=LOGIN)).json()
        assert isinstance(token, str)
        headers = {"Authorization-Token": token}
        listed = await client.get("/current/general/GetRegisteredEventListeners", headers=headers)
        assert (listed.status, await listed.json()) == (200, [])
        clock.now_s = 20 * 60
        expired = await client.get("/current/general/GetRegisteredEventListeners", headers=headers)
        assert expired.status == 403
        assert "Authorization-Token Expired" in await expired.text()

    _with_sandbox(scenario, clock)


@pytest.mark.parametrize("url", [LISTENER, quote_plus(LISTENER)])
@pytest.mark.parametrize("base", ["/current/general", "/GENERAL"])
def test_a_listener_is_registered_listed_and_unregistered_quoted_or_not(base: str, url: str) -> None:
    async def scenario(client: TestClient) -> None:
        sent = {"EventTypeID": 5, "ListenerURL": url}
        registered = await client.post(f"{base}/RegisterEventListener", json=sent, headers=KEY)
        assert (registered.status, await registered.read()) == (200, b"")
        listed = await client.get(f"{base}/getregisteredeventlisteners", headers=KEY)
        assert await listed.json() == [{"EventTypeID": 5, "ListenerURL": LISTENER}]
        await client.post(f"{base}/UnregisterEventListener", json={"EventTypeID": 5}, headers=KEY)
        listed = await client.get(f"{base}/GetRegisteredEventListeners", headers=KEY)
        assert await listed.json() == []

    _with_sandbox(scenario)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"EventTypeID": 6, "ListenerURL": LISTENER}, "EventTypeID"),
        ({"EventTypeID": 5, "ListenerURL": "http://example.com/"}, "ListenerURL"),
        ({"EventTypeID": 5, "ListenerURL": LISTENER, "ChannelID": 3}, "ChannelID"),
        ({"EventTypeID": 5}, "ListenerURL"),
    ],
)
def test_a_listener_that_cannot_be_is_refused_by_field(sent: dict[str, object], field: str) -> None:
    async def scenario(client: TestClient) -> None:
        answer = await client.post("/general/RegisterEventListener", json=sent, headers=KEY)
        assert answer.status == 400
        assert list((await answer.json())["errors"]) == [field]

    _with_sandbox(scenario)


def test_wrong_credentials_unknown_calls_and_wrong_methods_are_told_apart() -> None:
    async def scenario(client: TestClient) -> None:
        wrong = await client.post("/general/login", json={**LOGIN, "Password": "?"})
        assert wrong.status == 401
        assert (await client.post("/general/RegisterEventListener", json={})).status == 401
        assert (await client.get("/general/nothing", headers=KEY)).status == 404
        assert (await client.get("/general/login")).status == 405

    _with_sandbox(scenario)
