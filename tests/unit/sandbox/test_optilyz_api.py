"""Optilyz in the sandbox: who is let in, which automations take recipients, and what they are answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.unit.sandbox.harness import ManualTimes, sandbox
from tests.unit.sandbox.mail_harness import LIVE, OPTILYZ_KEY, OTHER, PAUSED, basic, post, recipient, report

pytestmark = pytest.mark.loopback


def _run(scenario: Callable[[TestClient], Awaitable[None]], clock: ManualTimes | None = None) -> None:
    async def run() -> None:
        async with sandbox(clock=clock) as client:
            await scenario(client)

    asyncio.run(run())


@pytest.mark.parametrize("password", ["", " ", "-", "anything: at all"])
def test_the_key_lets_in_with_any_password(password: str) -> None:
    async def scenario(client: TestClient) -> None:
        answer = await post(client, recipient(1), headers=basic("sandbox-api-key", password))
        assert answer.status == 200

    _run(scenario)


@pytest.mark.parametrize(
    "headers", [{}, basic("another", " "), {"Authorization": "Basic ###"}, {"Authorization": "Bearer x"}]
)
def test_without_the_key_nothing_is_printed(headers: dict[str, str]) -> None:
    async def scenario(client: TestClient) -> None:
        assert (await post(client, recipient(1), headers=headers)).status == 401
        summary = await report(client, "optilyz")
        assert (summary["printed"], summary["unauthorized"], summary["by_status"]) == (0, 1, {"401": 1})

    _run(scenario)


def test_a_token_stands_for_the_key_for_an_hour_or_until_it_is_revoked() -> None:
    clock = ManualTimes()

    async def scenario(client: TestClient) -> None:
        async def token() -> dict[str, str]:
            answer = await client.post("/api/v1/authenticate", json={"key": "sandbox-api-key"})
            return basic((await answer.json())["token"], "")

        first = await token()
        clock.now_s += 3599
        assert (await post(client, recipient(1), headers=first)).status == 200
        clock.now_s += 1
        assert (await post(client, recipient(2), headers=first)).status == 401
        second = await token()
        assert (await post(client, recipient(2), headers=second)).status == 200
        await client.delete("/sandbox/optilyz/tokens")
        assert (await post(client, recipient(3), headers=second)).status == 401
        wrong = await client.post("/api/v1/authenticate", json={"key": "another"})
        assert wrong.status == 401

    _run(scenario, clock)


def test_automations_are_shown_with_their_variations_and_may_be_added_and_paused() -> None:
    async def scenario(client: TestClient) -> None:
        listed = await (await client.get("/api/v2/automations", headers=OPTILYZ_KEY)).json()
        assert [(item["_id"], item["state"]) for item in listed] == [
            (LIVE, "live"),
            (OTHER, "live"),
            (PAUSED, "paused"),
        ]
        one = await (await client.get(f"/api/v2/automations/{LIVE}", headers=OPTILYZ_KEY)).json()
        assert one["variations"] == [{"id": 1}, {"id": 2}, {"id": 3}]
        assert (await post(client, recipient(1), automation=PAUSED)).status == 409
        assert (await post(client, recipient(1), automation="f" * 24)).status == 404
        await client.put(f"/sandbox/optilyz/automations/{'f' * 24}", json={"name": "New"})
        await client.put(f"/sandbox/optilyz/automations/{LIVE}", json={"state": "paused"})
        assert (await post(client, recipient(1), automation="f" * 24)).status == 200
        assert (await post(client, recipient(1), automation=LIVE)).status == 409

    _run(scenario)


def test_results_are_positional_and_a_failure_among_them_is_still_a_200() -> None:
    async def scenario(client: TestClient) -> None:
        bare = recipient(3)["address"]
        answer = await post(client, recipient(1), recipient(2, zipCode="00123"), bare)
        content = await answer.json()
        assert (answer.status, content["queued"], content["ignored"]) == (200, 2, 1)
        assert content["requestId"]
        assert list(map(list, content["results"])) == [["id"], ["error"], ["id"]]
        assert content["results"][1]["error"]["message"] == "address: cannot be delivered"
        summary = await report(client, "optilyz")
        assert (summary["printed"], summary["refused"], summary["batch_sizes"]) == (2, 1, {"3": 1})
        assert summary["by_automation"] == {LIVE: {"printed": 2, "refused": 1}}

    _run(scenario)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lastName": None}, "companyName1: mandatory without lastName or fullName"),
        ({"lastName": " "}, "companyName1: mandatory without lastName or fullName"),
        ({"street": None, "houseNumber": None}, "street: mandatory without address1"),
        ({"zipCode": ""}, "zipCode: mandatory"),
        ({"city": None}, "city: mandatory"),
        ({"fullName": "Anna Muster"}, "lastName: not allowed in combination with fullName"),
        (
            {"lastName": None, "fullName": "Anna Muster", "firstName": "Anna"},
            "fullName: not allowed in combination with firstName",
        ),
        ({"address1": "Hauptstr. 5"}, "street: not allowed in combination with address1"),
        (
            {"street": None, "address1": "Hauptstr. 5"},
            "address1: not allowed in combination with houseNumber",
        ),
        ({"individualization5": "v"}, "individualization5: unknown, it is spelled individualisation"),
        ({"companyName1": "Muster GmbH"}, None),
        ({"lastName": None, "companyName1": "Muster GmbH", "fullName": "Anna Muster"}, None),
        ({"individualisation99": "v"}, None),
    ],
)
def test_the_vendors_rules_hold_for_each_recipient(changed: dict[str, Any], message: str | None) -> None:
    async def scenario(client: TestClient) -> None:
        result = (await (await post(client, recipient(1, **changed))).json())["results"][0]
        assert result.get("error", {}).get("message") == message

    _run(scenario)


def test_a_variation_must_be_one_of_the_automations() -> None:
    async def scenario(client: TestClient) -> None:
        answer = await post(client, recipient(1) | {"variation": 3}, recipient(2) | {"variation": 4})
        assert list(map(list, (await answer.json())["results"])) == [["id"], ["error"]]

    _run(scenario)


def test_one_recipient_may_make_the_whole_request_fail_and_then_nothing_is_printed() -> None:
    async def scenario(client: TestClient) -> None:
        answer = await post(client, recipient(1), recipient(2, zipCode="00400"), recipient(3))
        assert answer.status == 400
        summary = await report(client, "optilyz")
        assert (summary["printed"], summary["refused"], summary["by_status"]) == (0, 0, {"400": 1})

    _run(scenario)


@pytest.mark.parametrize(("count", "status"), [(0, 400), (1, 200), (1000, 200), (1001, 413)])
def test_a_request_has_up_to_1000_recipients(count: int, status: int) -> None:
    async def scenario(client: TestClient) -> None:
        assert (await post(client, *map(recipient, range(count)))).status == status

    _run(scenario)


def test_a_single_recipient_gets_an_id_or_the_reason() -> None:
    async def scenario(client: TestClient) -> None:
        url = f"/api/v2/automations/{LIVE}/recipient"
        taken = await client.post(url, json=recipient(1), headers=OPTILYZ_KEY)
        assert (taken.status, list(await taken.json())) == (200, ["id"])
        refused = await client.post(url, json=recipient(1, city=None), headers=OPTILYZ_KEY)
        assert (refused.status, (await refused.json())["error"]["message"]) == (400, "city: mandatory")

    _run(scenario)
