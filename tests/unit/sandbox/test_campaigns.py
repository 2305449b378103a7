"""V1: events 5 and 4, customers by the page, approvals by the old call."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from tests.unit.sandbox.harness import KEY, ManualTimes, sandbox
from tests.unit.sandbox.scheduled_harness import (
    Listener,
    create,
    listening,
    look,
    move,
    told,
    with_sandbox,
)

pytestmark = pytest.mark.loopback

CUSTOMERS = "/current/customers/GetProcessedCampaignCustomers"
STATUS = "/current/integrations/UpdateCustomerPromotionStatus"


async def _create(client: TestClient, **settings: object) -> int:
    campaign_id: int = (await create(client, flow="campaigns", **settings))["id"]
    return campaign_id


async def _page(client: TestClient, campaign_id: int, **query: object) -> list[dict[str, Any]]:
    params = {"CampaignID": str(campaign_id)} | {f"${name}": str(value) for name, value in query.items()}
    answer = await client.get(CUSTOMERS, params=params, headers=KEY)
    assert (answer.status, answer.content_type) == (200, "application/json")
    page: list[dict[str, Any]] = await answer.json()
    return page


async def _update(client: TestClient, campaign_id: int, *customers: str, status: object = True) -> int:
    sent = {
        "TimeStamp": "2025-10-09 08:53:20",
        "CampaignID": campaign_id,
        "PromosUpdated": [{"CustomerID": customer, "Status": status} for customer in customers],
    }
    answer = await client.post(STATUS, json=sent, headers=KEY)
    assert answer.status != 200 or await answer.read() == b""
    return answer.status


def test_events_five_and_four_have_the_vendors_shape_and_tell_the_other_deadline_of_a_move() -> None:
    listener = Listener()

    async def run() -> None:
        async with listening(listener) as url, sandbox() as client:
            campaign_id = await _create(client, id=1359, window_s=3600, targets=[url], token="secret")
            await told(client, campaign_id, flow="campaigns")
            await move(client, campaign_id, 7200, flow="campaigns")
            await told(client, campaign_id, flow="campaigns")
            cancelled = await client.delete(f"/sandbox/campaigns/{campaign_id}")
            assert (await cancelled.json())["state"] == "cancelled"
            shown = await told(client, campaign_id, flow="campaigns")
            events = [each["event_type"] for each in shown["heads_ups"][1]["deliveries"]]
            assert events == [5, 4]

    asyncio.run(run())
    event = {
        "EventTypeID": 5,
        "TimeStamp": "2025-10-09 08:53:20",
        "CampaignID": 1359,
        "CampaignDuration": 7,
        "ClearanceRequiredBy": "2025-10-09 09:53:20",
    }
    assert listener.tokens == ["secret"] * 3
    assert listener.bodies == [
        event,
        event | {"ClearanceRequiredBy": "2025-10-09 10:53:20"},
        {"EventTypeID": 4, "TimeStamp": "2025-10-09 08:53:20", "CampaignID": 1359},
    ]


def test_registered_listeners_get_the_events_they_are_registered_for_and_nothing_is_repeated() -> None:
    fives, fours = Listener(500), Listener()

    async def run() -> None:
        async with listening(fives) as five, listening(fours) as four, sandbox() as client:
            for event_type, url in ((5, five), (4, four)):
                registration = {"EventTypeID": event_type, "ListenerURL": url}
                await client.post("/general/RegisterEventListener", json=registration, headers=KEY)
            sent = {"customers": 1, "window_s": 5}
            campaign_id = (await (await client.post("/sandbox/campaigns", json=sent)).json())["id"]
            await told(client, campaign_id, flow="campaigns")
            await client.delete(f"/sandbox/campaigns/{campaign_id}")
            await told(client, campaign_id, flow="campaigns")

    asyncio.run(run())
    assert [body["EventTypeID"] for body in fives.bodies] == [5]
    assert [body["EventTypeID"] for body in fours.bodies] == [4]


def test_pages_have_at_most_ten_thousand_rows_and_the_one_after_the_last_is_empty() -> None:
    async def scenario(client: TestClient) -> None:
        campaign_id = await _create(client, customers=12_345)
        assert len(await _page(client, campaign_id)) == 10_000
        first = await _page(client, campaign_id, top=20_000)
        second = await _page(client, campaign_id, top=20_000, skip=10_000)
        assert (len(first), len(second)) == (10_000, 2_345)
        assert len({row["CustomerID"] for row in first + second}) == 12_345
        assert await _page(client, campaign_id, skip=12_345) == []
        small = await _page(client, campaign_id, top=3, skip=9)
        assert [row["CustomerID"] for row in small] == ["C100009", "C100010", "C100011"]

    with_sandbox(scenario)


def test_rows_are_those_of_the_sibling_calls_and_their_fields_can_be_others() -> None:
    async def scenario(client: TestClient) -> None:
        campaign_id = await _create(
            client, promo_codes=["A", "B"], action_id="9", attributes_field="CustomerAttribute"
        )
        query = {"CampaignID": str(campaign_id), "CustomerAttributes": "age;country", "$top": "1"}
        row = (await (await client.get(CUSTOMERS.lower(), params=query, headers=KEY)).json())[0]
        age, country = row.pop("CustomerAttribute")
        assert (age.isdigit(), len(country)) == (True, 2)
        assert row == {"CustomerID": "C100000", "ActionID": "9", "PromoCode": "A,B"}

    with_sandbox(scenario)


def test_customers_that_were_updated_in_time_are_approved_and_the_others_are_not() -> None:
    clock = ManualTimes()

    async def scenario(client: TestClient) -> None:
        campaign_id = await _create(client, customers=5, window_s=10)
        assert await _update(client, campaign_id, "C100000", "C100001", "X1") == 200
        assert await _update(client, campaign_id, "C100001", status=False) == 200
        clock.now_s = 11
        assert await _update(client, campaign_id, "C100002") == 200
        shown = await look(client, campaign_id, flow="campaigns")
        assert (shown["approved"], shown["rejected"], shown["late"], shown["unanswered"]) == (1, 1, 1, 2)
        assert (shown["reversed"], shown["unknown"], shown["late_calls"]) == (1, 1, 1)

    with_sandbox(scenario, clock)


def test_a_cancelled_campaign_takes_nothing() -> None:
    async def scenario(client: TestClient) -> None:
        campaign_id = await _create(client)
        await client.delete(f"/sandbox/campaigns/{campaign_id}")
        assert await _update(client, campaign_id, "C100000") == 200
        shown = await look(client, campaign_id, flow="campaigns")
        assert (shown["unanswered"], shown["answers_after_cancel"]) == (3, 1)

    with_sandbox(scenario)


@pytest.mark.parametrize(
    ("differences", "status"),
    [
        ({}, 200),
        ({"CampaignID": 1}, 404),
        ({"CampaignID": None}, 404),
        ({"TimeStamp": "2025-10-09T08:53:20Z"}, 400),
        ({"TimeStamp": None}, 400),
        ({"PromosUpdated": None}, 400),
        ({"PromosUpdated": [{"CustomerID": "C100000"}]}, 400),
        ({"PromosUpdated": [{"CustomerID": "C1", "Status": True}] * 10_001}, 400),
        ({"PromosUpdated": [{"CustomerID": "C1", "Status": True}] * 10_000}, 200),
    ],
)
def test_an_update_that_the_call_does_not_allow_is_refused(
    differences: dict[str, object], status: int
) -> None:
    async def scenario(client: TestClient) -> None:
        campaign_id = await _create(client)
        sent: dict[str, object] = {
            "TimeStamp": "2025-10-09 08:53:20",
            "CampaignID": campaign_id,
            "PromosUpdated": [],
        }
        answer = await client.post(STATUS, json=sent | differences, headers=KEY)
        assert answer.status == status

    with_sandbox(scenario)


def test_a_page_of_no_campaign_is_not_found_and_one_without_a_key_is_refused() -> None:
    async def scenario(client: TestClient) -> None:
        campaign_id = await _create(client)
        assert (await client.get(CUSTOMERS, headers=KEY)).status == 404
        assert (await client.get(f"{CUSTOMERS}?CampaignID=4", headers=KEY)).status == 404
        assert (await client.get(f"{CUSTOMERS}?CampaignID={campaign_id}")).status == 401

    with_sandbox(scenario)


def test_a_page_can_be_cut_off_and_both_calls_suffer_the_faults_of_their_groups() -> None:
    async def scenario(client: TestClient) -> None:
        campaign_id = await _create(client, stream={"truncate_first": 1})
        url = f"{CUSTOMERS}?CampaignID={campaign_id}"
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
            await (await client.get(url, headers=KEY)).read()
        assert len(await _page(client, campaign_id)) == 3
        for group in ("customers", "integrations"):
            await client.put("/sandbox/faults", json={"group": group, "error": 1.0, "error_status": 503})
        assert (await client.get(url, headers=KEY)).status == 503
        assert await _update(client, campaign_id, "C100000") == 503

    with_sandbox(scenario)
