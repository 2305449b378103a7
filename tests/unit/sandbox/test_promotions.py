"""The internal promotion system: what it activates, what it refuses, and that a repeat activates nobody again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from clearance.sandbox import promotions
from clearance.sandbox.options import SandboxOptions
from tests.unit.sandbox.harness import ManualTimes, sandbox

pytestmark = pytest.mark.loopback

Scenario = Callable[[TestClient], Awaitable[None]]
CAMPAIGN = {"lane": "send_group", "send_group_id": 123, "series_id": "111", "tags": ["bonus"]}


def _with_sandbox(
    scenario: Scenario, options: SandboxOptions | None = None, clock: ManualTimes | None = None
) -> dict[str, Any]:
    """The report after the scenario."""

    async def run() -> dict[str, Any]:
        async with sandbox(options, clock) as client:
            await scenario(client)
            report: dict[str, Any] = await (await client.get("/sandbox/report")).json()
            return report

    return asyncio.run(run())


def _body(*ids: str, **changed: object) -> dict[str, object]:
    customers = [{"customer_id": each, "promo_codes": ["P"], "attributes": {"age": 40}} for each in ids]
    return {"check": "promotion-active", "campaign": CAMPAIGN, "customers": customers, **changed}


async def _ask(client: TestClient, body: object, key: str | None = "k1", **headers: str) -> Any:
    if key is not None:
        headers["Idempotency-Key"] = key
    answer = await client.post("/promotions/activate", json=body, headers=headers)
    await answer.read()
    return answer


def _counts(**known: int) -> dict[str, int]:
    names = ("requests", "activated", "refused", "repeats", "conflicts", "unauthorized")
    return {name: known.get(name, 0) for name in names}


def test_it_answers_as_the_protocols_sample_does() -> None:
    async def scenario(client: TestClient) -> None:
        answer = await _ask(client, _body("C12345", "C12346"))
        assert answer.status == 200
        assert await answer.json() == {
            "results": [
                {"customer_id": "C12345", "approved": True},
                {"customer_id": "C12346", "approved": False, "reason": "BONUS_WALLET_LOCKED"},
            ]
        }

    report = _with_sandbox(scenario)
    assert report["promotions"] == _counts(requests=1, activated=1, refused=1)


def test_a_repeated_key_gets_the_same_answer_in_any_order_and_activates_nobody_again() -> None:
    async def scenario(client: TestClient) -> None:
        told = []
        for ids in (("C1", "C2", "C6"), ("C1", "C2", "C6"), ("C6", "C2", "C1")):
            answer = await _ask(client, _body(*ids))
            told.append({row["customer_id"]: row for row in (await answer.json())["results"]})
        assert told[0] == told[1] == told[2]
        await _ask(client, _body("C1", "C2", "C6"), "k2")

    report = _with_sandbox(scenario)
    assert report["promotions"] == _counts(requests=4, activated=4, refused=2, repeats=2)


@pytest.mark.parametrize(
    "other",
    [_body("C1", "C3"), _body("C1", "C2", check="other"), _body("C1", "C2", campaign={"lane": "triggered"})],
)
def test_a_key_that_comes_with_another_content_is_a_conflict(other: dict[str, object]) -> None:
    async def scenario(client: TestClient) -> None:
        assert (await _ask(client, _body("C1", "C2"))).status == 200
        assert (await _ask(client, other)).status == 422

    report = _with_sandbox(scenario)
    assert report["promotions"] == _counts(requests=2, activated=2, conflicts=1)


def test_only_the_newest_keys_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotions, "KEYS_KEPT", 2)

    async def scenario(client: TestClient) -> None:
        for key in ("k1", "k2", "k3", "k3", "k2", "k1"):
            await _ask(client, _body("C1"), key)

    assert _with_sandbox(scenario)["promotions"] == _counts(requests=6, activated=4, repeats=2)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (_body(), "customers"),
        (_body("C1", check=7), "check"),
        (_body("C1", campaign={}), "campaign"),
        (_body("C1", more=1), "more"),
        (_body("C1", customers=[{"customer_id": 1, "promo_codes": [], "attributes": {}}]), "customers"),
        (_body("C1", customers=[{"customer_id": "C1"}]), "customers"),
    ],
)
def test_a_request_of_another_form_is_refused_by_field(body: dict[str, object], field: str) -> None:
    async def scenario(client: TestClient) -> None:
        answer = await _ask(client, body)
        assert answer.status == 400
        assert list((await answer.json())["errors"]) == [field]

    assert _with_sandbox(scenario)["promotions"] == _counts()


def test_without_a_key_nobody_is_activated() -> None:
    async def scenario(client: TestClient) -> None:
        assert (await _ask(client, _body("C1"), None)).status == 400

    assert _with_sandbox(scenario)["promotions"] == _counts()


def test_with_an_authorization_set_only_its_bearer_is_served() -> None:
    async def scenario(client: TestClient) -> None:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert (await _ask(client, _body("C1"), **headers)).status == 401
        assert (await _ask(client, _body("C1"), Authorization="Bearer right")).status == 200

    options = SandboxOptions(promotions_authorization="Bearer right")
    assert "Bearer" not in repr(options)
    report = _with_sandbox(scenario, options)
    assert report["promotions"] == _counts(requests=1, activated=1, unauthorized=2)


def test_a_reset_forgets_keys_and_counts() -> None:
    async def scenario(client: TestClient) -> None:
        await _ask(client, _body("C1"))
        await client.post("/sandbox/reset")
        assert (await (await client.get("/sandbox/report")).json())["promotions"] == _counts()
        await _ask(client, _body("C1"))

    assert _with_sandbox(scenario)["promotions"] == _counts(requests=1, activated=1)


def test_it_has_no_limit_until_one_is_put() -> None:
    async def scenario(client: TestClient) -> None:
        assert {(await _ask(client, _body("C1"))).status for _ in range(60)} == {200}
        await client.put("/sandbox/limits", json={"group": "promotions", "requests": 1})
        assert [(await _ask(client, _body("C1"))).status for _ in range(2)] == [200, 429]

    _with_sandbox(scenario)


async def _is(status: int, client: TestClient) -> None:
    assert (await _ask(client, _body("C1"))).status == status


async def _breaks(error: type[Exception], client: TestClient) -> None:
    with pytest.raises(error):
        await _ask(client, _body("C1"))


@pytest.mark.parametrize(
    ("faults", "expected", "activated"),
    [
        ({"error": 1.0, "error_status": 503}, 503, 0),
        ({"throttle": 1.0, "retry_after_s": 2}, 429, 0),
        ({"reset": 1.0}, aiohttp.ClientOSError, 0),
        ({"reset_after": 1.0}, aiohttp.ClientOSError, 1),
        ({"half": 1.0}, aiohttp.ClientPayloadError, 1),
        ({"hang": 1.0, "hang_s": 20}, aiohttp.ServerDisconnectedError, 0),
        ({"latency_ms": 80}, 200, 1),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_every_fault_can_be_put_on_it_and_some_come_after_the_activation(
    faults: dict[str, object], expected: int | type[Exception], activated: int
) -> None:
    clock = ManualTimes()

    async def scenario(client: TestClient) -> None:
        put = await client.put("/sandbox/faults", json={"group": "promotions", **faults})
        assert put.status == 200
        await (_is(expected, client) if isinstance(expected, int) else _breaks(expected, client))
        await client.delete("/sandbox/faults")
        await _is(200, client)

    report = _with_sandbox(scenario, clock=clock)
    assert report["promotions"] == _counts(requests=1 + activated, activated=1, repeats=activated), (
        "asking again under the same key activates once"
    )
    assert list(report["faults"]) == ["promotions"]
