"""Recipients and commands for the sandbox, and how they are sent."""

import base64
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient

from clearance.sandbox.options import BLOOMREACH_KEY_ID, BLOOMREACH_PROJECT

LIVE, OTHER, PAUSED = (f"5fc6ca6a89b5e200e0de42e{number}" for number in range(3))
PROJECT = f"/track/v2/projects/{BLOOMREACH_PROJECT}"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


OPTILYZ_KEY = basic("sandbox-api-key", " ")
BLOOMREACH_KEY = basic(BLOOMREACH_KEY_ID, "sandbox-api-key")


def recipient(number: int, **changed: Any) -> dict[str, Any]:
    address = {
        "lastName": "Muster",
        "street": "Hauptstr.",
        "houseNumber": str(number),
        "zipCode": "10115",
        "city": "Berlin",
        "individualisation1": f"c{number}@example.com",
    }
    return {"address": {name: value for name, value in (address | changed).items() if value is not None}}


async def post(
    client: TestClient, *recipients: object, automation: str = LIVE, headers: dict[str, str] = OPTILYZ_KEY
) -> aiohttp.ClientResponse:
    answer = await client.post(
        f"/api/v2/automations/{automation}/recipients", json={"addresses": recipients}, headers=headers
    )
    await answer.read()
    return answer


async def report(client: TestClient, vendor: str) -> dict[str, Any]:
    whole = await (await client.get("/sandbox/report")).json()
    part: dict[str, Any] = whole[vendor]
    return part


async def faults(client: TestClient, **plan: object) -> None:
    answer = await client.put("/sandbox/faults", json=plan)
    assert answer.status == 200, await answer.text()


async def track(client: TestClient, path: str, body: object) -> tuple[int, Any]:
    answer = await client.post(f"{PROJECT}/{path}", json=body, headers=BLOOMREACH_KEY)
    return answer.status, await answer.json()
