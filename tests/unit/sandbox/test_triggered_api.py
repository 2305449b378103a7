"""The triggered API answers as the vendor's page says."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient

from clearance.sandbox.limits import Group, Limit
from clearance.sandbox.options import SandboxOptions
from tests.unit.sandbox.harness import BASE, KEY, ManualTimes, approval, sandbox

pytestmark = pytest.mark.loopback

Scenario = Callable[[TestClient], Awaitable[None]]


def _with_sandbox(
    scenario: Scenario, options: SandboxOptions | None = None, clock: ManualTimes | None = None
) -> None:
    async def run() -> None:
        async with sandbox(options, clock) as client:
            await scenario(client)

    asyncio.run(run())


@pytest.mark.parametrize("end", ["", "/"])
def test_a_webhook_is_registered_found_and_deleted(end: str) -> None:
    async def scenario(client: TestClient) -> None:
        sent = {"url": "http://127.0.0.1:8080/webhooks/optimove/triggered"}
        created = await client.post(f"{BASE}/webhooks{end}", json=sent, headers=KEY)
        assert created.status == 201
        webhook = await created.json()
        assert webhook == {**sent, "id": "webhook1"}
        listed = await client.get(f"{BASE}/webhooks{end}", headers=KEY)
        assert await listed.json() == [webhook]
        found = await client.get(f"{BASE}/webhooks/webhook1{end}", headers=KEY)
        assert await found.json() == webhook
        deleted = await client.delete(f"{BASE}/webhooks/webhook1{end}", headers=KEY)
        assert (deleted.status, await deleted.read()) == (200, b"")
        for method in ("GET", "DELETE"):
            gone = await client.request(method, f"{BASE}/webhooks/webhook1{end}", headers=KEY)
            assert gone.status == 404

    _with_sandbox(scenario)


@pytest.mark.parametrize("url", ["https://example.com/hook", "http://192.168.0.1/", 7, None])
def test_a_webhook_that_is_not_on_this_machine_is_refused(url: object) -> None:
    async def scenario(client: TestClient) -> None:
        answer = await client.post(f"{BASE}/webhooks", json={"url": url}, headers=KEY)
        assert answer.status == 400
        assert list((await answer.json())["errors"]) == ["url"]

    _with_sandbox(scenario)


def test_settings_start_with_the_vendors_timeout_and_keep_what_is_not_named() -> None:
    async def scenario(client: TestClient) -> None:
        first = await client.get(f"{BASE}/settings", headers=KEY)
        assert await first.json() == {"timeout": 5000, "secret": None}
        both = await client.put(f"{BASE}/settings", json={"timeout": 3000, "secret": "s"}, headers=KEY)
        assert (both.status, await both.json()) == (200, {"timeout": 3000, "secret": "s"})
        one = await client.put(f"{BASE}/settings", json={"timeout": 4000}, headers=KEY)
        assert await one.json() == {"timeout": 4000, "secret": "s"}
        none = await client.put(f"{BASE}/settings", json={"secret": None}, headers=KEY)
        assert await none.json() == {"timeout": 4000, "secret": None}
        wrong = await client.put(f"{BASE}/settings", json={"timeout": "soon"}, headers=KEY)
        assert (wrong.status, list((await wrong.json())["errors"])) == (400, ["timeout"])

    _with_sandbox(scenario)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/webhooks"),
        ("GET", "/webhooks/x"),
        ("GET", "/settings"),
        ("POST", "/approval"),
        ("PUT", "/settings"),
    ],
)
def test_every_call_needs_the_key_and_refusals_are_counted(method: str, path: str) -> None:
    async def scenario(client: TestClient) -> None:
        for headers in ({}, {"X-API-KEY": "wrong"}):
            answer = await client.request(method, BASE + path, json={}, headers=headers)
            assert answer.status == 401
            assert (await answer.json())["error"] == "Unauthorized"
        report = await (await client.get("/sandbox/report")).json()
        assert report["refused_keys"] == 2

    _with_sandbox(scenario)


def test_an_approval_of_what_was_never_sent_is_taken_politely_and_counted() -> None:
    async def scenario(client: TestClient) -> None:
        answer = await client.post(f"{BASE}/approval", json=approval("nobody"), headers=KEY)
        assert (answer.status, await answer.read()) == (200, b"")
        report = await (await client.get("/sandbox/report")).json()
        assert (report["unknown_answers"], report["answered"]) == (1, 0)

    _with_sandbox(scenario)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestamp", "1"),
        ("timestamp", True),
        ("timestamp", 1.5),
        ("request_uid", ""),
        ("request_uid", 5),
        ("approved", "true"),
        ("approved", None),
        ("additional_data", []),
    ],
)
def test_an_approval_with_a_wrong_field_is_refused_by_field(field: str, value: object) -> None:
    async def scenario(client: TestClient) -> None:
        answer = await client.post(f"{BASE}/approval", json={**approval("a"), field: value}, headers=KEY)
        assert answer.status == 400
        assert list((await answer.json())["errors"]) == [field]

    _with_sandbox(scenario)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'"text"'])
def test_an_approval_that_is_no_json_object_is_refused(body: bytes) -> None:
    async def scenario(client: TestClient) -> None:
        headers = {**KEY, "Content-Type": "application/json"}
        answer = await client.post(f"{BASE}/approval", data=body, headers=headers)
        assert answer.status == 400
        assert (await answer.json())["error"] == "Bad Request"

    _with_sandbox(scenario)


def test_an_approval_without_a_json_content_type_is_refused() -> None:
    async def scenario(client: TestClient) -> None:
        answer = await client.post(
            f"{BASE}/approval", data=b"{}", headers={**KEY, "Content-Type": "text/plain"}
        )
        assert answer.status == 415

    _with_sandbox(scenario)


def test_the_request_beyond_the_limit_gets_the_vendors_429_until_the_window_has_moved() -> None:
    clock = ManualTimes()

    async def scenario(client: TestClient) -> None:
        statuses = [(await client.get(f"{BASE}/settings", headers=KEY)).status for _ in range(50)]
        assert statuses == [200] * 50
        refused = await client.get(f"{BASE}/webhooks", headers=KEY)
        body = await refused.json()
        assert (refused.status, body["status"], body["error"]) == (429, 429, "Too Many Requests")
        assert body["message"].startswith("You have exceeded the rate limit for this API group. ")
        assert "Retry-After" not in refused.headers
        other = await client.post(f"{BASE}/approval", json=approval("a"), headers=KEY)
        assert other.status == 200, "approvals are a group of their own"
        clock.now_s = 10
        assert (await client.get(f"{BASE}/settings", headers=KEY)).status == 200

    _with_sandbox(scenario, clock=clock)


def test_limits_are_set_by_option_and_by_call() -> None:
    options = SandboxOptions(limits={Group.TRIGGERED: Limit(requests=1), Group.GENERAL: None})

    async def scenario(client: TestClient) -> None:
        statuses = [(await client.get(f"{BASE}/settings", headers=KEY)).status for _ in range(2)]
        assert statuses == [200, 429]
        put = await client.put("/sandbox/limits", json={"group": "triggered", "requests": None})
        assert (await put.json())["limits"]["triggered"] is None
        statuses = [(await client.get(f"{BASE}/settings", headers=KEY)).status for _ in range(60)]
        assert set(statuses) == {200}
        wrong = await client.put("/sandbox/limits", json={"group": "triggered", "requests": 0})
        assert (wrong.status, list((await wrong.json())["errors"])) == (400, ["requests"])

    _with_sandbox(scenario, options)
