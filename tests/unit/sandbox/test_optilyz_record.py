"""What the sandbox knows of letters: twice the same, answers that were cut, and how many requests were under way."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from clearance.sandbox.app import create_app
from clearance.sandbox.options import SandboxOptions
from tests.unit.sandbox.harness import ManualTimes
from tests.unit.sandbox.mail_harness import OTHER, faults, post, recipient, report

pytestmark = pytest.mark.loopback


class _Gated(ManualTimes):
    """Sleeping lasts until the test opens the gate. `connected` says how many connections the vendor knows of."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeping = 0
        self.connected: Callable[[], int] = lambda: 0
        self.gate = asyncio.Event()

    async def sleep(self, wait_s: float) -> None:
        self.sleeping += 1
        await self.gate.wait()

    async def until_sleeping(self, count: int) -> None:
        await _until(lambda: self.sleeping >= count)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def _run(scenario: Callable[[aiohttp.ClientSession, _Gated], Awaitable[None]]) -> None:
    """The server as it runs, not as aiohttp tests it: a handler goes on when its sender is gone."""

    async def run() -> None:
        clock = _Gated()
        runner = web.AppRunner(create_app(SandboxOptions(), clock.times()), shutdown_timeout=0.5)
        await runner.setup()
        server = runner.server
        assert server is not None
        clock.connected = lambda: sum(each.transport is not None for each in server.connections)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
                await scenario(client, clock)
        finally:
            await runner.cleanup()

    asyncio.run(run())


def test_the_same_letter_again_is_counted_and_listed_and_another_automations_is_another_letter() -> None:
    async def scenario(client: aiohttp.ClientSession, clock: _Gated) -> None:
        await post(client, recipient(1), recipient(2))
        await post(client, recipient(2), recipient(2, individualisation2="other"))
        await post(client, recipient(1), automation=OTHER)
        summary = await report(client, "optilyz")
        assert (summary["printed"], summary["printed_twice"]) == (5, 1)
        repeated = await (await client.get("/sandbox/optilyz/repeated")).json()
        assert [(item["reference"], item["request"]) for item in repeated["letters"]] == [
            ("c2@example.com", 1),
            ("c2@example.com", 2),
        ]
        letters = await (await client.get("/sandbox/optilyz/letters?offset=4")).json()
        assert (letters["count"], letters["letters"][0]["automation"]) == (5, OTHER)

    _run(scenario)


def test_requests_under_way_are_counted_while_their_answer_is_waited_for() -> None:
    async def scenario(client: aiohttp.ClientSession, clock: _Gated) -> None:
        await faults(client, group="optilyz", latency_ms=300)
        posts = [asyncio.create_task(post(client, recipient(number))) for number in range(3)]
        await clock.until_sleeping(3)
        summary = await report(client, "optilyz")
        assert (summary["in_flight"], summary["most_in_flight"], summary["printed"]) == (3, 3, 3)
        clock.gate.set()
        await asyncio.gather(*posts)
        await post(client, recipient(4))
        summary = await report(client, "optilyz")
        assert (summary["in_flight"], summary["most_in_flight"], summary["by_status"]) == (0, 3, {"200": 4})

    _run(scenario)


async def _leave(task: "asyncio.Task[aiohttp.ClientResponse]", clock: _Gated) -> None:
    """Until the vendor's side of the connection has heard of it."""
    before = clock.connected()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _until(lambda: clock.connected() < before)


def test_a_request_whose_sender_has_died_is_under_way_until_it_is_handled_and_its_answer_is_cut() -> None:
    async def scenario(client: aiohttp.ClientSession, clock: _Gated) -> None:
        await faults(client, group="optilyz", latency_ms=300)
        dying = asyncio.create_task(post(client, recipient(1), recipient(2)))
        await clock.until_sleeping(1)
        await _leave(dying, clock)
        assert (await report(client, "optilyz"))["in_flight"] == 1
        clock.gate.set()
        await post(client, recipient(3))
        summary = await report(client, "optilyz")
        assert (summary["in_flight"], summary["by_status"]) == (0, {"cut": 1, "200": 1})
        assert summary["cut"] == {"requests": 1, "recipients": 2, "printed": 2}
        cut = await (await client.get("/sandbox/optilyz/requests?cut=1")).json()
        assert [item["references"] for item in cut["requests"]] == [["c1@example.com", "c2@example.com"]]

    _run(scenario)


@pytest.mark.parametrize("fault", ["hang", "hang_after"])
def test_a_request_that_hangs_by_plan_ends_with_its_sender(fault: str) -> None:
    async def scenario(client: aiohttp.ClientSession, clock: _Gated) -> None:
        await faults(client, group="optilyz", times=1, **{fault: 1.0})
        hanging = asyncio.create_task(post(client, recipient(1)))
        await clock.until_sleeping(1)
        assert (await report(client, "optilyz"))["in_flight"] == 1
        await _leave(hanging, clock)
        await post(client, recipient(2))
        summary = await report(client, "optilyz")
        assert (summary["in_flight"], summary["most_in_flight"]) == (0, 1)
        clock.gate.set()

    _run(scenario)


@pytest.mark.parametrize(
    ("fault", "printed"),
    [("reset", 0), ("reset_after", 1), ("half", 1), ("html", 1), ("empty", 1), ("miscount", 1)],
)
def test_an_answer_from_which_nobody_learns_what_was_printed_is_cut(fault: str, printed: int) -> None:
    async def scenario(client: aiohttp.ClientSession, clock: _Gated) -> None:
        await faults(client, group="optilyz", times=1, **{fault: 1.0})
        try:
            answer = await post(client, recipient(1))
            if fault == "miscount":
                content = await answer.json()
                assert (content["queued"], content["results"]) == (1, [])
        except aiohttp.ClientError:
            assert fault in ("reset", "reset_after", "half")
        await post(client, recipient(2))
        summary = await report(client, "optilyz")
        assert summary["cut"] == {"requests": 1, "recipients": 1, "printed": printed}
        assert summary["by_status"] == {"cut": 1, "200": 1}
        requests = (await (await client.get("/sandbox/optilyz/requests")).json())["requests"]
        assert [(item["fault"], item["is_cut"]) for item in requests] == [(fault, True), (None, False)]
        assert requests[1]["references"] == []

    _run(scenario)


@pytest.mark.parametrize(
    ("plan", "status"),
    [
        ({"error": 1.0, "error_status": 503}, 503),
        ({"error": 1.0, "error_status": 401}, 401),
        ({"throttle": 1.0, "retry_after_s": 2}, 429),
    ],
)
def test_a_refusal_that_says_so_is_not_cut_and_prints_nothing(plan: dict[str, object], status: int) -> None:
    async def scenario(client: aiohttp.ClientSession, clock: _Gated) -> None:
        await faults(client, group="optilyz", **plan)
        answer = await post(client, recipient(1))
        assert (answer.status, answer.headers.get("Retry-After")) == (status, "2" if status == 429 else None)
        summary = await report(client, "optilyz")
        assert (summary["printed"], summary["cut"]["requests"]) == (0, 0)
        assert summary["by_status"] == {str(status): 1}

    _run(scenario)


def test_a_reset_forgets_letters_and_automations() -> None:
    async def scenario(client: aiohttp.ClientSession, clock: _Gated) -> None:
        await client.put(f"/sandbox/optilyz/automations/{OTHER}", json={"state": "paused"})
        await post(client, recipient(1))
        await client.post("/sandbox/reset")
        summary = await report(client, "optilyz")
        assert (summary["requests"], summary["printed"], summary["most_in_flight"]) == (0, 0, 0)
        assert (await post(client, recipient(1), automation=OTHER)).status == 200

    _run(scenario)


@pytest.mark.parametrize(("fault", "is_cut"), [("reset_after", True), ("half", True), ("miscount", False)])
def test_a_refusal_is_cut_as_any_other_answer_and_is_not_when_it_arrives(fault: str, is_cut: bool) -> None:
    async def scenario(client: aiohttp.ClientSession, clock: _Gated) -> None:
        await faults(client, group="optilyz", times=1, **{fault: 1.0})
        try:
            answer = await post(client, recipient(1, zipCode="00400"))
            assert (answer.status, is_cut) == (400, False)
        except aiohttp.ClientError:
            assert is_cut
        summary = await report(client, "optilyz")
        assert summary["by_status"] == {"cut" if is_cut else "400": 1}
        assert (summary["printed"], summary["cut"]["requests"]) == (0, int(is_cut))

    _run(scenario)
