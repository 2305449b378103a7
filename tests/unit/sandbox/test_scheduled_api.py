"""The V2 calls: customers as a stream, approvals until the deadline."""

import asyncio
import json
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from clearance.sandbox.server import loop_factory
from tests.unit.sandbox.harness import KEY, ManualTimes, sandbox
from tests.unit.sandbox.scheduled_harness import V2, approve, create, look, move, with_sandbox

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    "path",
    [
        "/v2/conditional-execution/scheduled/send-groups/{id}/customers",
        "/current/v2/conditional-execution/scheduled/send-groups/{id}/customers/",
        "/Current/V2/Conditional-Execution/Scheduled/Send-Groups/{id}/Customers",
    ],
)
def test_customers_are_a_json_array_on_every_form_of_the_path(path: str) -> None:
    async def scenario(client: TestClient) -> None:
        group_id = (await create(client, customers=2, promo_codes=["P"]))["id"]
        url = path.format(id=group_id)
        answer = await client.get(url, params={"attributes": "country, age,country,"}, headers=KEY)
        assert (answer.status, answer.content_type) == (200, "application/json")
        rows = await answer.json()
        assert [row["customer_id"] for row in rows] == ["C100000", "C100001"]
        assert all(list(row["attributes"]) == ["country", "age"] for row in rows)
        assert rows[0]["promo_codes"] == ["P"]
        bare = await (await client.get(url, headers=KEY)).json()
        assert bare[0]["attributes"] == {}
        page = await client.get(url, params={"$skip": "1", "$top": "5"}, headers=KEY)
        assert [row["customer_id"] for row in await page.json()] == ["C100001"]
        assert (await look(client, group_id))["fetches"] == {"begun": 3, "completed": 3, "cut": 0, "rows": 5}

    with_sandbox(scenario)


def test_a_large_group_is_sent_in_pieces_and_whole() -> None:
    async def scenario(client: TestClient) -> None:
        group_id = (await create(client, customers=20_001))["id"]
        answer = await client.get(f"{V2}/{group_id}/customers?attributes=country", headers=KEY)
        assert answer.headers["Transfer-Encoding"] == "chunked"
        rows = json.loads(await answer.read())
        assert len({row["customer_id"] for row in rows}) == 20_001

    with_sandbox(scenario)


def test_approvals_count_until_the_deadline_and_are_ignored_after_it() -> None:
    clock = ManualTimes()

    async def scenario(client: TestClient) -> None:
        group_id = (await create(client, customers=4, window_s=10))["id"]
        clock.now_s = 2.5
        assert await approve(client, group_id, {"C100000": True, "C100001": False, "C99": True}) == 202
        clock.now_s = 10
        assert await approve(client, group_id, {"C100000": False}) == 202
        clock.now_s = 10.001
        assert await approve(client, group_id, {"C100001": True, "C100002": True}) == 202
        shown = await look(client, group_id)
        expected = {
            "state": "closed",
            "approved": 0,
            "rejected": 2,
            "late": 1,
            "unanswered": 1,
            "reversed": 1,
            "twice": 0,
            "unknown": 1,
            "late_answers": 2,
            "calls": 3,
            "late_calls": 1,
            "first_call_ms": -7500,
            "last_call_ms": 1,
            "last_call_in_time_ms": 0,
        }
        assert {name: shown[name] for name in expected} == expected

    with_sandbox(scenario, clock)


def test_a_move_reopens_the_group_and_each_heads_up_has_its_own_calls() -> None:
    clock = ManualTimes()

    async def scenario(client: TestClient) -> None:
        group_id = (await create(client, window_s=10))["id"]
        clock.now_s = 9
        await approve(client, group_id, {"C100000": True, "C100001": True})
        clock.now_s = 20
        assert await move(client, group_id, 10) == 30_000
        clock.now_s = 28
        await approve(client, group_id, {"C100000": True, "C100001": False, "C100002": True})
        shown = await look(client, group_id)
        assert (shown["approved"], shown["rejected"], shown["again"], shown["changed"]) == (2, 1, 1, 1)
        assert (shown["twice"], shown["reversed"]) == (0, 0)
        assert [revision["last_call_in_time_ms"] for revision in shown["heads_ups"]] == [-1000, -2000]
        assert (shown["first_call_ms"], shown["last_call_in_time_ms"]) == (-1000, -2000)

    with_sandbox(scenario, clock)


def test_ten_thousand_approvals_are_taken_in_one_call_and_one_more_is_refused() -> None:
    async def scenario(client: TestClient) -> None:
        group_id = (await create(client, customers=20_000))["id"]
        ids = [f"C{100_000 + index}" for index in range(10_001)]
        assert await approve(client, group_id, dict.fromkeys(ids, True)) == 400
        assert (await look(client, group_id))["calls"] == 0
        assert await approve(client, group_id, dict.fromkeys(ids[:-1], True)) == 202
        assert (await look(client, group_id))["approved"] == 10_000

    with_sandbox(scenario)


@pytest.mark.parametrize(
    "wrong",
    [
        {"customer_id": 100001, "is_approved": True},
        {"customer_id": "C100001", "is_approved": "true"},
        {"customer_id": "C100001"},
        {"customer_id": "", "is_approved": True},
        "C100001",
    ],
)
def test_a_call_with_an_entry_that_cannot_be_read_is_refused_whole(wrong: object) -> None:
    async def scenario(client: TestClient) -> None:
        group_id = (await create(client))["id"]
        sent = [{"customer_id": "C100000", "is_approved": True}, wrong]
        answer = await client.post(f"{V2}/{group_id}/approvals", json=sent, headers=KEY)
        assert (answer.status, list((await answer.json())["errors"])) == (400, ["1"])
        assert (await look(client, group_id))["unanswered"] == 3

    with_sandbox(scenario)


def test_what_is_no_list_no_group_or_no_key_is_refused() -> None:
    async def scenario(client: TestClient) -> None:
        group_id = (await create(client))["id"]
        assert (await client.post(f"{V2}/{group_id}/approvals", json={}, headers=KEY)).status == 400
        assert (await client.post(f"{V2}/{group_id}/approvals", json=[])).status == 401
        assert await approve(client, 4, {}) == 404
        assert (await client.get(f"{V2}/4/customers", headers=KEY)).status == 404
        assert (await client.get(f"{V2}/{group_id}/customers")).status == 401
        page = await client.get(f"{V2}/{group_id}/customers", params={"$top": "ten"}, headers=KEY)
        assert page.status == 400

    with_sandbox(scenario)


def test_customers_and_approvals_have_limits_of_their_own_and_a_429_takes_nothing() -> None:
    async def scenario(client: TestClient) -> None:
        group_id = (await create(client))["id"]
        for _ in range(50):
            assert await approve(client, group_id, {}) == 202
        assert await approve(client, group_id, {"C100000": True}) == 429
        assert (await look(client, group_id))["unanswered"] == 3
        for _ in range(50):
            answer = await client.get(f"{V2}/{group_id}/customers", headers=KEY)
            assert answer.status == 200
        assert (await client.get(f"{V2}/{group_id}/customers", headers=KEY)).status == 429

    with_sandbox(scenario)


def test_faults_strike_both_calls_and_only_after_the_taking_when_they_say_so() -> None:
    async def scenario(client: TestClient) -> None:
        group_id = (await create(client))["id"]
        await client.put("/sandbox/faults", json={"group": "scheduled-approvals", "error": 1.0})
        assert await approve(client, group_id, {"C100000": True}) == 500
        assert (await look(client, group_id))["approved"] == 0
        await client.put("/sandbox/faults", json={"group": "scheduled-approvals", "reset_after": 1.0})
        with pytest.raises(aiohttp.ClientError):
            await approve(client, group_id, {"C100000": True})
        assert (await look(client, group_id))["approved"] == 1
        await client.put("/sandbox/faults", json={"group": "scheduled-customers", "half": 1.0})
        with pytest.raises(aiohttp.ClientPayloadError):
            await (await client.get(f"{V2}/{group_id}/customers", headers=KEY)).read()
        report = await (await client.get("/sandbox/report")).json()
        assert report["faults"] == {
            "scheduled-approvals": {"error": 1, "reset_after": 1},
            "scheduled-customers": {"half": 1},
        }

    with_sandbox(scenario)


@pytest.mark.parametrize("loop", [None, loop_factory()], ids=["asyncio", "installed"])
@pytest.mark.parametrize("customers", [1, 3, 2_000, 6_001])
@pytest.mark.parametrize("place", [0.0, 0.4, 1.0])
def test_a_truncated_stream_ends_in_the_middle_and_the_next_one_is_whole(
    loop: Callable[[], asyncio.AbstractEventLoop] | None, customers: int, place: float
) -> None:
    async def run() -> None:
        async with sandbox() as client:
            stream = {"truncate_first": 1, "truncate_at": place}
            group_id = (await create(client, customers=customers, stream=stream))["id"]
            received = bytearray()
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
                await _read_into(received, client, group_id)
            whole = await (await client.get(f"{V2}/{group_id}/customers", headers=KEY)).read()
            assert len(json.loads(whole)) == customers
            assert len(received) < len(whole)
            assert whole.startswith(bytes(received))
            fetches = (await look(client, group_id))["fetches"]
            assert fetches == {"begun": 2, "completed": 1, "cut": 1, "rows": customers}

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def _read_into(received: bytearray, client: TestClient, group_id: int) -> None:
    async with client.get(f"{V2}/{group_id}/customers", headers=KEY) as answer:
        async for part in answer.content.iter_any():
            received += part


def test_a_stream_that_is_cut_cleanly_looks_whole_to_http_but_is_no_json() -> None:
    async def scenario(client: TestClient) -> None:
        stream = {"truncate": 1.0, "clean": True}
        group_id = (await create(client, customers=5_000, stream=stream))["id"]
        body = await (await client.get(f"{V2}/{group_id}/customers", headers=KEY)).read()
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)
        await client.put(f"/sandbox/send-groups/{group_id}/stream", json={})
        body = await (await client.get(f"{V2}/{group_id}/customers", headers=KEY)).read()
        assert len(json.loads(body)) == 5_000

    with_sandbox(scenario)


def test_a_share_of_the_streams_is_truncated_the_same_ones_for_the_same_seed() -> None:
    async def cuts(client: TestClient) -> list[bool]:
        group_id = (await create(client, stream={"truncate": 0.5, "clean": True}))["id"]
        seen = []
        for _ in range(20):
            body = await (await client.get(f"{V2}/{group_id}/customers", headers=KEY)).read()
            seen.append(not body.endswith(b"]"))
        return seen

    async def scenario(client: TestClient) -> None:
        one, two = await cuts(client), await cuts(client)
        assert one == two
        assert 5 <= sum(one) <= 15

    with_sandbox(scenario)


def test_a_slow_stream_takes_as_long_as_its_bytes_at_that_rate() -> None:
    clock = ManualTimes()

    async def scenario(client: TestClient) -> None:
        stream = {"bytes_per_s": 100_000}
        group_id = (await create(client, customers=5_000, stream=stream))["id"]
        clock.slept_s.clear()
        body = await (await client.get(f"{V2}/{group_id}/customers", headers=KEY)).read()
        assert sum(clock.slept_s) == pytest.approx(len(body) / 100_000)
        assert max(clock.slept_s) <= 0.1

    with_sandbox(scenario, clock)
