"""Injected faults reach the caller as real ones would."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from clearance.sandbox.server import loop_factory
from tests.unit.sandbox.harness import BASE, KEY, ManualTimes, approval, sandbox

pytestmark = pytest.mark.loopback


def _with_faults(
    scenario: Callable[[TestClient], Awaitable[None]],
    clock: ManualTimes | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **faults: object,
) -> dict[str, object]:
    async def run() -> dict[str, object]:
        async with sandbox(clock=clock) as client:
            put = await client.put("/sandbox/faults", json={"group": "triggered-approval", **faults})
            assert put.status == 200
            await scenario(client)
            report: dict[str, object] = await (await client.get("/sandbox/report")).json()
            return report

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(run())


async def _approve(client: TestClient) -> aiohttp.ClientResponse:
    answer = await client.post(f"{BASE}/approval", json=approval("unknown"), headers=KEY)
    await answer.read()
    return answer


async def _fails_with_500(client: TestClient) -> None:
    assert (await _approve(client)).status == 500


async def _is_throttled(client: TestClient) -> None:
    answer = await _approve(client)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")


async def _is_reset(client: TestClient) -> None:
    with pytest.raises(aiohttp.ClientOSError, match="Connection reset by peer"):
        await _approve(client)


async def _gets_half_a_reply(client: TestClient) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await _approve(client)


async def _is_never_answered(client: TestClient) -> None:
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await _approve(client)


async def _gets_html(client: TestClient) -> None:
    answer = await _approve(client)
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert (await answer.read()).startswith(b"<!doctype html>")


async def _gets_nothing(client: TestClient) -> None:
    answer = await _approve(client)
    assert (answer.status, answer.content_type, await answer.read()) == (200, "application/json", b"")


@pytest.mark.parametrize("loop", [None, loop_factory()], ids=["asyncio", "installed"])
@pytest.mark.parametrize(
    ("faults", "scenario", "taken"),
    [
        ({"error": 1.0}, _fails_with_500, 0),
        ({"throttle": 1.0, "retry_after_s": 2}, _is_throttled, 0),
        ({"reset": 1.0}, _is_reset, 0),
        ({"reset_after": 1.0}, _is_reset, 1),
        ({"half": 1.0}, _gets_half_a_reply, 1),
        ({"hang": 1.0, "hang_s": 20}, _is_never_answered, 0),
        ({"hang_after": 1.0, "hang_s": 20}, _is_never_answered, 1),
        ({"html": 1.0}, _gets_html, 1),
        ({"empty": 1.0}, _gets_nothing, 1),
    ],
)
def test_a_fault_is_seen_by_the_caller_and_only_some_come_after_the_approval_was_taken(
    faults: dict[str, object],
    scenario: Callable[[TestClient], Awaitable[None]],
    taken: int,
    loop: Callable[[], asyncio.AbstractEventLoop] | None,
) -> None:
    clock = ManualTimes()
    report = _with_faults(scenario, clock, loop, **faults)
    assert report["unknown_answers"] == taken
    assert report["faults"] == {"triggered-approval": {next(iter(faults)): 1}}
    assert clock.slept_s == ([20.0] if "hang_s" in faults else [])


def test_latency_delays_the_reply_but_not_the_taking() -> None:
    clock, taken = ManualTimes(), []

    async def scenario(client: TestClient) -> None:
        assert (await _approve(client)).status == 200
        taken.append(clock.now_s)

    report = _with_faults(scenario, clock, latency_ms=80)
    assert clock.slept_s == [pytest.approx(0.080)]
    assert report["unknown_answers"] == 1
    assert report["faults"] == {"triggered-approval": {"latency": 1}}


def test_another_error_status_may_be_chosen_and_deleting_the_faults_ends_them() -> None:
    async def scenario(client: TestClient) -> None:
        assert (await _approve(client)).status == 503
        shown = await (await client.get("/sandbox/faults")).json()
        assert shown["faults"][0]["error_status"] == 503
        await client.delete("/sandbox/faults")
        assert (await _approve(client)).status == 200

    _with_faults(scenario, error=1.0, error_status=503)


def test_faults_that_make_no_sense_are_refused_by_field_and_change_nothing() -> None:
    async def scenario(client: TestClient) -> None:
        answer = await client.put(
            "/sandbox/faults", json={"group": "triggered-approval", "reset": 7, "hang": "x"}
        )
        assert answer.status == 400
        assert sorted((await answer.json())["errors"]) == ["hang", "reset"]
        assert (await _approve(client)).status == 500

    _with_faults(scenario, error=1.0)
