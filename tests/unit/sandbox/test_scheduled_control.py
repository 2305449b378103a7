"""Groups are made, told, moved, cancelled and reported; their heads-ups look like the vendor's."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from clearance.sandbox import scheduled_groups
from clearance.sandbox.options import SandboxOptions
from tests.unit.sandbox.harness import KEY, START_MS, ManualTimes, sandbox
from tests.unit.sandbox.scheduled_harness import (
    NOWHERE,
    Listener,
    approve,
    create,
    listening,
    look,
    move,
    told,
    with_sandbox,
)

pytestmark = pytest.mark.loopback

# START_MS is 2025-10-09 08:53:20 UTC.


def _hear(listener: Listener, clock: ManualTimes | None = None, **settings: object) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with listening(listener) as url, sandbox(clock=clock) as client:
            created = await create(client, targets=[url], **settings)
            return await told(client, created["id"])

    return asyncio.run(run())


def test_the_heads_up_has_the_shape_of_the_vendors_sample() -> None:
    listener = Listener()
    _hear(
        listener,
        id=123,
        customers=2500,
        window_s=3600,
        order=2,
        total_groups=3,
        unique_customers=7000,
        occurrence_id=222,
        series_id=111,
        notes="campaign notes",
        tags=["tag1", "tag2"],
        action_id=576,
        channel_id=345,
        channel_name="Mail",
        brand_id="b",
        template_id="t",
        template_name="T",
        token="secret&more",
    )
    assert listener.tokens == ["secret&more"]
    assert listener.bodies == [
        {
            "timestamp": "2025-10-09 08:53:20",
            "send_group": {
                "id": 123,
                "approval_deadline": "2025-10-09 09:53:20",
                "order": 2,
                "number_of_customers": 2500,
            },
            "occurrence": {
                "id": 222,
                "series_id": 111,
                "campaign_duration": 1,
                "total_send_groups_with_conditional": 3,
                "number_of_unique_customers": 7000,
                "notes": "campaign notes",
                "tags": ["tag1", "tag2"],
                "action": {
                    "id": 576,
                    "channel": {
                        "id": 345,
                        "name": "Mail",
                        "brand_id": "b",
                        "template": {"id": "t", "name": "T"},
                    },
                },
            },
        }
    ]


def test_times_are_told_in_the_sites_zone_and_the_wrong_count_when_asked() -> None:
    listener = Listener()
    _hear(listener, time_zone="America/New_York", count_told=99)
    assert listener.bodies[0]["timestamp"] == "2025-10-09 04:53:20"
    assert listener.bodies[0]["send_group"]["approval_deadline"] == "2025-10-09 04:53:30"
    assert listener.bodies[0]["send_group"]["number_of_customers"] == 99


@pytest.mark.parametrize(
    ("now_ms", "window_s", "deadline_after_start_ms"),
    [(0, 10, 10_000), (0, 0.2, 1_000), (300, 0.7, 1_000), (300, 0.701, 2_000), (0, -5.5, -5_000)],
)
def test_a_deadline_is_the_next_whole_second_so_that_the_window_holds(
    now_ms: int, window_s: float, deadline_after_start_ms: int
) -> None:
    clock = ManualTimes()
    clock.now_s = now_ms / 1000

    async def scenario(client: TestClient) -> None:
        created = await create(client, window_s=window_s)
        assert created["deadline_at_ms"] - START_MS == deadline_after_start_ms

    with_sandbox(scenario, clock)


def test_a_heads_up_is_repeated_up_to_three_times_until_it_is_acknowledged() -> None:
    deaf, slow, clock = Listener(500), Listener(500, 503, 202), ManualTimes()
    assert _hear(deaf)["heads_ups"][0]["deliveries"][0]["statuses"] == [500, 500, 500, 500]
    shown = _hear(slow, clock, retry_after_s=7)
    assert shown["heads_ups"][0]["deliveries"][0]["statuses"] == [500, 503, 202]
    assert clock.slept_s == [7, 7]
    assert slow.bodies[0] == slow.bodies[2], "the very same notification"


def test_copies_are_sent_to_every_target_and_the_report_tells_no_token() -> None:
    listener = Listener()
    shown = _hear(listener, copies=3, token="secret")
    assert len(listener.bodies) == 3
    assert len(shown["heads_ups"][0]["deliveries"]) == 3
    assert "secret" not in str(shown)


def test_a_registered_listener_is_told_when_no_target_is_named_and_without_one_the_group_is_refused() -> None:
    listener = Listener()

    async def run() -> None:
        async with listening(listener) as url, sandbox() as client:
            sent = {"customers": 1, "window_s": 1}
            refused = await client.post("/sandbox/send-groups", json=sent)
            assert (refused.status, list((await refused.json())["errors"])) == (400, ["targets"])
            registration = {"EventTypeID": 18, "ListenerURL": url}
            await client.post("/general/RegisterEventListener", json=registration, headers=KEY)
            created = await (await client.post("/sandbox/send-groups", json=sent)).json()
            await told(client, created["id"])

    asyncio.run(run())
    assert len(listener.bodies) == 1


def test_a_move_tells_the_same_group_with_another_deadline_and_ends_the_repeats_of_the_old_one() -> None:
    listener, clock = Listener(500, 202), ManualTimes()

    async def run() -> dict[str, Any]:
        async with listening(listener) as url, sandbox(clock=clock) as client:
            created = await create(client, targets=[url], window_s=10)
            while not listener.bodies:
                await asyncio.sleep(0)
            # Before anything can be repeated: a manual sleep gives way once.
            assert await move(client, created["id"], 60) >= 60_000
            return await told(client, created["id"])

    shown = asyncio.run(run())
    first, second = (body["send_group"] for body in (listener.bodies[0], listener.bodies[-1]))
    assert first["id"] == second["id"]
    assert first["approval_deadline"] < second["approval_deadline"]
    assert shown["moved"] == 1
    assert [len(revision["deliveries"]) for revision in shown["heads_ups"]] == [1, 1]
    assert shown["deadline_at_ms"] == shown["heads_ups"][1]["deadline_at_ms"]


def test_a_cancelled_group_takes_nothing_tells_nothing_and_comes_back_by_a_move() -> None:
    listener = Listener()

    async def run() -> None:
        async with listening(listener) as url, sandbox() as client:
            group_id = (await create(client, targets=[url]))["id"]
            await told(client, group_id)
            cancelled = await (await client.delete(f"/sandbox/send-groups/{group_id}")).json()
            assert cancelled["state"] == "cancelled"
            assert await approve(client, group_id, {"C100000": True}) == 202
            shown = await told(client, group_id)
            assert (shown["unanswered"], shown["answers_after_cancel"], shown["calls"]) == (3, 1, 1)
            assert len(listener.bodies) == 1
            await move(client, group_id, 20)
            assert await approve(client, group_id, {"C100000": True}) == 202
            shown = await told(client, group_id)
            assert (shown["state"], shown["approved"]) == ("open", 1)
            assert len(listener.bodies) == 2

    asyncio.run(run())


def test_the_report_has_every_group_and_its_answers_are_read_in_pages() -> None:
    async def scenario(client: TestClient) -> None:
        group_id = (await create(client, customers=5))["id"]
        await create(client, flow="campaigns", id=7)
        await approve(client, group_id, {"C100001": True, "C100002": False})
        report = await (await client.get("/sandbox/report?detail=1")).json()
        assert list(report["send_groups"]) == [str(group_id)]
        assert list(report["campaigns"]) == ["7"]
        summary = report["send_groups"][str(group_id)]
        assert (summary["approved"], summary["rejected"], summary["unanswered"]) == (1, 1, 3)
        url = f"/sandbox/send-groups/{group_id}/answers"
        page = await (await client.get(f"{url}?offset=1&limit=2&attributes=1")).json()
        assert [(each["customer_id"], each["answer"]) for each in page["answers"]] == [
            ("C100001", "approved"),
            ("C100002", "rejected"),
        ]
        assert page["answers"][0]["attributes"]["age"].isdigit()
        assert len((await (await client.get(url)).json())["answers"]) == 5
        assert (await client.get(f"{url}?limit=-1")).status == 400

    with_sandbox(scenario)


def test_a_reset_forgets_all_groups_and_starts_their_ids_again() -> None:
    async def scenario(client: TestClient) -> None:
        first = (await create(client))["id"]
        await create(client, flow="campaigns")
        await client.post("/sandbox/reset")
        report = await (await client.get("/sandbox/report")).json()
        assert (report["send_groups"], report["campaigns"]) == ({}, {})
        assert (await client.get(f"/sandbox/send-groups/{first}")).status == 404
        assert (await create(client))["id"] == first

    with_sandbox(scenario)


def test_no_more_customers_are_kept_than_there_is_room_for_until_a_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduled_groups, "CUSTOMERS_KEPT", 10)

    async def scenario(client: TestClient) -> None:
        sent = {"customers": 6, "window_s": 1, "targets": [NOWHERE]}
        for status in (202, 409, 409):
            assert (await client.post("/sandbox/send-groups", json=sent)).status == status
        await client.post("/sandbox/reset")
        assert (await client.post("/sandbox/send-groups", json=sent)).status == 202

    with_sandbox(scenario)


def test_an_id_is_taken_once_and_a_free_one_is_found() -> None:
    async def scenario(client: TestClient) -> None:
        assert (await create(client, id=5001))["id"] == 5001
        assert (await create(client))["id"] == 5002
        sent = {"id": 5001, "customers": 1, "window_s": 1, "targets": [NOWHERE]}
        assert (await client.post("/sandbox/send-groups", json=sent)).status == 409
        assert (await look(client, 5001))["customers"] == 3

    with_sandbox(scenario)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"customers": 0}, "customers"),
        ({"customers": 1_000_001}, "customers"),
        ({"window_s": "soon"}, "window_s"),
        ({"targets": ["http://example.com/"]}, "targets"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "Europe"}, "time_zone"),
        ({"missing": 0.6, "malformed": 0.6}, "malformed"),
        ({"stream": {"truncate": 2}}, "stream"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_group_that_cannot_be_is_refused_by_field(settings: dict[str, object], field: str) -> None:
    async def run() -> None:
        async with sandbox(SandboxOptions()) as client:
            sent = {"customers": 3, "window_s": 10, "targets": [NOWHERE]} | settings
            answer = await client.post("/sandbox/send-groups", json=sent)
            assert (answer.status, list((await answer.json())["errors"])) == (400, [field])
            assert (await (await client.get("/sandbox/report")).json())["send_groups"] == {}

    asyncio.run(run())


@pytest.mark.parametrize("group_id", ["1", "x", "-1", "9" * 5_000])
def test_calls_for_a_group_that_is_not_there_are_not_found(group_id: str) -> None:
    async def scenario(client: TestClient) -> None:
        url = f"/sandbox/send-groups/{group_id}"
        assert (await client.get(url)).status == 404
        assert (await client.delete(url)).status == 404
        assert (await client.post(f"{url}/move", json={"window_s": 1})).status == 404

    with_sandbox(scenario)
