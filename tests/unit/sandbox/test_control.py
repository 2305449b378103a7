"""Playing, reporting, resetting: the whole sandbox over HTTP."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from clearance.sandbox import control
from clearance.sandbox.options import SandboxOptions
from tests.unit.sandbox.harness import BASE, KEY, ManualTimes, approval, sandbox

pytestmark = pytest.mark.loopback


class _Approver:
    """A receiver that answers every notification at once, as often as it is told."""

    def __init__(self, answers: int = 1) -> None:
        self.answers = answers
        self.sandbox: TestClient | None = None
        self.signatures: list[str | None] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.signatures.append(request.headers.get("optimove-signature-content"))
        notification = await request.json()
        excluded = notification["user"]["personalization"]["self_excluded"] == "true"
        for _ in range(self.answers):
            sent = approval(notification["request_uid"], approved=not excluded)
            await self.sandbox.post(f"{BASE}/approval", json=sent, headers=KEY)
        return web.json_response({"accepted": True}, status=202)


async def _play(client: TestClient, **settings: object) -> None:
    started = await client.post("/sandbox/triggered/play", json=settings)
    assert started.status == 202, await started.text()
    run = (await started.json())["run"]
    while True:
        state: dict[str, Any] = await (await client.get(f"/sandbox/play/{run}")).json()
        if state["state"] != "running":
            assert (state["state"], state["sent"], state["in_flight"]) == ("done", settings["count"], 0)
            return


def test_a_play_to_a_registered_webhook_is_answered_and_reported() -> None:
    async def run() -> None:
        approver, app = _Approver(answers=2), web.Application()
        app.router.add_post("/hook", approver.handle)
        async with TestServer(app) as receiver, sandbox(SandboxOptions(secret="s")) as client:
            approver.sandbox = client
            await client.post(f"{BASE}/webhooks", json={"url": str(receiver.make_url("/hook"))}, headers=KEY)
            await _play(client, count=40, rate_per_s=1000)
            report = await (await client.get("/sandbox/report?detail=1")).json()
        assert (report["sent"], report["valid"], report["answered"]) == (40, 40, 40)
        assert (report["missing"], report["late"], report["pending"]) == (0, 0, 0)
        assert report["duplicate_answers"] == 40
        assert report["acknowledged"] == {"202": 40, "failed": 0}
        assert report["notification_to_approval_ms"]["max"] is not None
        assert all(approver.signatures)
        for notification in report["notifications"]:
            excluded = notification["personalization"]["self_excluded"] == "true"
            assert notification["answer"] == ("rejected" if excluded else "approved")

    asyncio.run(run())


def test_the_window_is_the_tenants_timeout_unless_the_play_names_one() -> None:
    clock = ManualTimes()

    async def run() -> list[int]:
        async with sandbox(clock=clock) as client:
            await client.put(f"{BASE}/settings", json={"timeout": 1234}, headers=KEY)
            closed = "http://127.0.0.1:9/closed"
            await _play(client, count=1, targets=[closed])
            await _play(client, count=1, targets=[closed], window_ms=99)
            report = await (await client.get("/sandbox/report?detail=1")).json()
            assert report["acknowledged"] == {"failed": 2}
            return [row["deadline_at_ms"] - clock.wall_ms() for row in report["notifications"]]

    assert asyncio.run(run()) == [1234, 99]


def test_a_play_without_a_target_or_with_one_elsewhere_is_refused_by_field() -> None:
    async def run() -> None:
        async with sandbox() as client:
            for settings in ({}, {"targets": ["http://example.com/"]}):
                answer = await client.post("/sandbox/triggered/play", json={"count": 1, **settings})
                assert answer.status == 400
                assert list((await answer.json())["errors"]) == ["targets"]
            assert (await client.get("/sandbox/play/nothing")).status == 404

    asyncio.run(run())


def test_a_reset_forgets_runs_records_and_faults_but_no_webhooks_and_settings() -> None:
    async def run() -> None:
        async with sandbox(SandboxOptions(secret="s")) as client:
            webhook = {"url": "http://127.0.0.1:9/closed"}
            await client.post(f"{BASE}/webhooks", json=webhook, headers=KEY)
            await client.put("/sandbox/faults", json={"group": "triggered-approval", "error": 1.0})
            await client.post(f"{BASE}/approval", json=approval("a"), headers=KEY)
            await client.get(f"{BASE}/settings", headers={"X-API-KEY": "wrong"})
            await _play(client, count=3, rate_per_s=1000)
            assert (await client.post("/sandbox/reset")).status == 200
            report = await (await client.get("/sandbox/report")).json()
            assert (report["sent"], report["missing"], report["refused_keys"], report["faults"]) == (
                0,
                0,
                0,
                {},
            )
            assert (await (await client.get("/sandbox/faults")).json())["faults"] == []
            kept = await (await client.get(f"{BASE}/webhooks", headers=KEY)).json()
            assert [row["url"] for row in kept] == [webhook["url"]]
            settings = await (await client.get(f"{BASE}/settings", headers=KEY)).json()
            assert settings["secret"] == "s"

    asyncio.run(run())


def test_a_reset_stops_a_run_whose_receiver_never_answers() -> None:
    async def run() -> None:
        async def hold(_: web.Request) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        app = web.Application()
        app.router.add_post("/hook", hold)
        async with TestServer(app) as receiver, sandbox() as client:
            settings = {"count": 5, "rate_per_s": 1000, "targets": [str(receiver.make_url("/hook"))]}
            run_id = (await (await client.post("/sandbox/triggered/play", json=settings)).json())["run"]
            await client.post("/sandbox/reset")
            assert (await client.get(f"/sandbox/play/{run_id}")).status == 404
            assert (await (await client.get("/sandbox/report")).json())["sent"] == 0

    asyncio.run(run())


def test_details_of_more_than_can_be_told_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "DETAILS_MAX", 2)

    async def run() -> list[int]:
        async with sandbox() as client:
            await _play(client, count=2, rate_per_s=1000, targets=["http://127.0.0.1:9/closed"])
            first = await client.get("/sandbox/report?detail=1")
            await _play(client, count=1, rate_per_s=1000, targets=["http://127.0.0.1:9/closed"])
            second = await client.get("/sandbox/report?detail=1")
            return [first.status, second.status, (await client.get("/sandbox/report")).status]

    assert asyncio.run(run()) == [200, 400, 200]


def test_it_says_that_it_is_well() -> None:
    async def run() -> None:
        async with sandbox() as client:
            assert (await client.get("/healthz")).status == 200

    asyncio.run(run())
