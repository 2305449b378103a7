"""Bloomreach in the sandbox: who is let in, how it refuses, and what it then knows of a customer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from clearance.sandbox.options import BLOOMREACH_KEY_ID
from tests.unit.sandbox.harness import START_MS, sandbox
from tests.unit.sandbox.mail_harness import BLOOMREACH_KEY, PROJECT, basic, faults, report, track

pytestmark = pytest.mark.loopback

IDS = {"registered": "anna@example.com"}


def _run(scenario: Callable[[TestClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with sandbox() as client:
            await scenario(client)

    asyncio.run(run())


def _event(**changed: Any) -> dict[str, Any]:
    event = {"customer_ids": IDS, "event_type": "campaign", "properties": {"status": "enqueued"}}
    return {"name": "customers/events", "data": event | changed}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (BLOOMREACH_KEY, 200),
        ({"Authorization": f"Token {BLOOMREACH_KEY_ID}"}, 200),
        ({}, 401),
        ({"Authorization": "Token another"}, 401),
        (basic("another", "sandbox-api-key"), 401),
        (basic(BLOOMREACH_KEY_ID, "wrong"), 403),
    ],
)
def test_an_unknown_key_is_told_401_and_a_wrong_secret_403(headers: dict[str, str], status: int) -> None:
    async def scenario(client: TestClient) -> None:
        answer = await client.get(f"{PROJECT}/system/time", headers=headers)
        content = await answer.json()
        assert answer.status == status
        if status == 200:
            assert content == {"success": True, "time": START_MS / 1000}
        else:
            assert content["success"] is False
            assert isinstance(content["error"], str)
            assert (await report(client, "bloomreach"))["unauthorized"] == 1

    _run(scenario)


def test_properties_and_events_make_a_customer_of_whom_several_ids_are_one() -> None:
    async def scenario(client: TestClient) -> None:
        told = {"customer_ids": IDS, "properties": {"postal_address_valid": False}}
        assert await track(client, "customers", told) == (200, {"success": True, "errors": []})
        both = {**IDS, "cookie": "5f2c"}
        event = {"customer_ids": both, "event_type": "campaign", "properties": {"status": "failed"}}
        assert (await track(client, "customers/events", event | {"timestamp": 1_700_000_000.5}))[0] == 200
        shown = await (await client.get("/sandbox/bloomreach/customers/cookie/5f2c")).json()
        assert (shown["ids"], shown["properties"]) == (both, {"postal_address_valid": False})
        assert [(item["event_type"], item["timestamp"]) for item in shown["events"]] == [
            ("campaign", 1_700_000_000.5)
        ]
        summary = await report(client, "bloomreach")
        assert (summary["customers"], summary["updates"], summary["events"]) == (1, 1, {"campaign": 1})
        assert summary["campaign_events_by_status"] == {"failed": 1}
        assert (await client.get("/sandbox/bloomreach/customers/cookie/none")).status == 404

    _run(scenario)


@pytest.mark.parametrize(
    "ids",
    [
        None,
        {},
        {"registered": None},
        {"registered": ""},
        {"registered": " - "},
        {"registered": "null"},
        {"cookie": "undefined"},
        {"registered": 5},
        {"registered": "fine", "cookie": ""},
    ],
)
def test_an_id_that_is_empty_or_none_is_refused(ids: object) -> None:
    async def scenario(client: TestClient) -> None:
        status, content = await track(client, "customers", {"customer_ids": ids, "properties": {}})
        assert (status, content["success"], list(content["errors"])) == (400, False, ["customer_ids"])
        summary = await report(client, "bloomreach")
        assert (summary["customers"], summary["refused"]) == (0, 1)

    _run(scenario)


@pytest.mark.parametrize(
    ("properties", "is_taken"),
    [
        ({"action": "reject", "category": "post"}, True),
        ({"action": "accept", "category": "post", "valid_until": "unlimited"}, True),
        ({"action": "accept", "category": "post", "valid_until": 1_900_000_000}, True),
        ({"action": "reject"}, False),
        ({"action": "reject", "category": " "}, False),
        ({"action": "reject", "category": "post", "valid_until": "unlimited"}, False),
        ({"action": "accept", "category": "post"}, False),
        ({"action": "revoke", "category": "post"}, False),
        ({"category": "post"}, False),
    ],
)
def test_a_malformed_consent_is_refused_with_a_list_of_errors(
    properties: dict[str, object], is_taken: bool
) -> None:
    async def scenario(client: TestClient) -> None:
        event = {"customer_ids": IDS, "event_type": "consent", "properties": properties}
        status, content = await track(client, "customers/events", event)
        assert status == (200 if is_taken else 400)
        assert content["success"] is is_taken
        assert bool(content["errors"]) is not is_taken
        assert isinstance(content["errors"], list)
        assert (await report(client, "bloomreach"))["consents"] == is_taken

    _run(scenario)


@pytest.mark.parametrize(
    "changed",
    [
        {"event_type": ""},
        {"event_type": None},
        {"timestamp": 1_700_000_000_000},
        {"timestamp": "now"},
        {"properties": [1]},
        {"properties": {"long": "x" * 16_000}},
    ],
)
def test_other_content_that_is_wrong_is_refused_as_well(changed: dict[str, object]) -> None:
    async def scenario(client: TestClient) -> None:
        status, content = await track(client, "batch", {"commands": [_event(**changed)]})
        assert (status, content["success"], content["results"][0]["success"]) == (200, True, False)
        assert content["results"][0]["errors"]

    _run(scenario)


def test_the_results_of_a_batch_are_positional_and_its_failures_come_with_a_200() -> None:
    async def scenario(client: TestClient) -> None:
        commands = [
            _event(),
            _event(customer_ids={"registered": ""}),
            {"name": "system/time"},
            {"name": "customers", "data": {"customer_ids": IDS, "properties": None}, "command_id": "4"},
            {"name": "customers/unknown", "data": {}},
            {"name": "customers"},
            "nonsense",
        ]
        status, content = await track(client, "batch", {"commands": commands})
        assert (status, content["success"]) == (200, True)
        assert [result["success"] for result in content["results"]] == [True, False, True, True] + [False] * 3
        assert content["results"][2]["time"] == START_MS / 1000

    _run(scenario)


@pytest.mark.parametrize(("count", "status"), [(0, 400), (50, 200), (51, 400)])
def test_a_batch_has_up_to_50_commands(count: int, status: int) -> None:
    async def scenario(client: TestClient) -> None:
        answered, content = await track(client, "batch", {"commands": [_event()] * count})
        assert answered == status
        assert (status == 200) is ("message" not in content)
        assert (await report(client, "bloomreach"))["most_commands"] == count

    _run(scenario)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"\xff"])
def test_a_body_without_structure_is_told_so_in_a_message(body: bytes) -> None:
    async def scenario(client: TestClient) -> None:
        headers = BLOOMREACH_KEY | {"Content-Type": "application/json"}
        answer = await client.post(f"{PROJECT}/batch", data=body, headers=headers)
        content = await answer.json()
        assert (answer.status, list(content)) == (400, ["success", "message"])

    _run(scenario)


def test_the_same_command_again_is_a_repeat_and_at_another_time_is_none() -> None:
    async def scenario(client: TestClient) -> None:
        commands = [_event(timestamp=1), _event(timestamp=1), _event(timestamp=2)]
        await track(client, "batch", {"commands": commands})
        summary = await report(client, "bloomreach")
        assert (summary["commands"], summary["repeats"]) == (3, 1)
        events = await (await client.get("/sandbox/bloomreach/events?offset=2")).json()
        assert (events["count"], [item["timestamp"] for item in events["events"]]) == (3, [2.0])

    _run(scenario)


def test_faults_and_the_limit_keep_commands_out() -> None:
    async def scenario(client: TestClient) -> None:
        await faults(client, group="bloomreach", error=1.0, times=1)
        limit = {"group": "bloomreach", "requests": 2, "window_s": 60}
        assert (await client.put("/sandbox/limits", json=limit)).status == 200
        statuses = [(await track(client, "batch", {"commands": [_event()]}))[0] for _ in range(3)]
        assert statuses == [500, 200, 429]
        summary = await report(client, "bloomreach")
        assert (summary["commands"], summary["by_status"]) == (1, {"200": 1, "429": 1, "500": 1})
        await client.post("/sandbox/reset")
        assert (await report(client, "bloomreach"))["by_status"] == {}

    _run(scenario)


def test_another_project_is_unknown() -> None:
    async def scenario(client: TestClient) -> None:
        path = "/track/v2/projects/another/system/time"
        assert (await client.get(path, headers=BLOOMREACH_KEY)).status == 401

    _run(scenario)
