"""An `http` check against the sandbox's promotion system: both sides read the protocol alike, and a repeat is safe."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from clearance.checks.breaker import Breaker
from clearance.checks.destination import open_exchange
from clearance.decisions.decision import APPROVED, Verdict
from clearance.decisions.rules import HttpCheck
from clearance.sandbox.options import SandboxOptions
from clearance.sandbox.server import running
from tests.fakes.clock import ManualClock
from tests.unit.checks.asking import CHECK, FAILED, Asking, customers

pytestmark = pytest.mark.loopback

LOCKED = Verdict(approved=False, reasons=("PROMOTION_NOT_ACTIVE:BONUS_WALLET_LOCKED",))
AUTHORIZATION = "Bearer promotions"


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """A sandbox that serves from a thread of its own."""
    urls: list[str] = []
    listening, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running(SandboxOptions(port=0, promotions_authorization=AUTHORIZATION)) as url:
            urls.append(url)
            listening.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert listening.wait(10)
    yield urls[0]
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def sandbox(sandbox_url: str) -> str:
    """The sandbox with nothing kept of former tests."""
    _call(f"{sandbox_url}/sandbox/reset", "POST")
    return sandbox_url


@pytest.fixture
def asking(clock: ManualClock) -> Asking:
    asking = Asking(clock)
    asking.breaker = Breaker(failures=1000, rest_s=10, time=asking.seconds)
    return asking


def _call(url: str, method: str, sent: object = None) -> Any:
    body = None if sent is None else json.dumps(sent).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own
        return json.load(answer)


def _check(url: str, **changed: Any) -> HttpCheck:
    return HttpCheck(
        id=CHECK.id,
        reason=CHECK.reason,
        url=f"{url}/promotions/activate",
        header_by_name={"Authorization": changed.pop("authorization", AUTHORIZATION)},
        **changed,
    )


def test_who_is_activated_is_approved_and_who_is_refused_says_why(sandbox: str, asking: Asking) -> None:
    check = _check(sandbox, batch=2)
    asked = customers("C12346", "C12345", "C7")
    with_reasons = asking.check(check, open_exchange(check, pool_size=1)).ask(asking.question(asked))
    assert with_reasons == [LOCKED, APPROVED, APPROVED]
    done = _call(f"{sandbox}/sandbox/report", "GET")["promotions"]
    assert (done["requests"], done["activated"], done["refused"], done["repeats"]) == (2, 2, 1, 0)


def test_without_the_authorization_nobody_is_activated(sandbox: str, asking: Asking) -> None:
    check = _check(sandbox, authorization="Bearer other")
    asked = asking.check(check, open_exchange(check, pool_size=1))
    assert asked.ask(asking.question(customers("C1"))) == [FAILED]
    assert asking.failures("refused") == 1
    assert _call(f"{sandbox}/sandbox/report", "GET")["promotions"]["unauthorized"] == 1


def test_under_every_fault_each_customer_is_activated_once_and_everybody_is_answered(
    sandbox: str, asking: Asking
) -> None:
    faults = {
        "error": 0.2,
        "reset": 0.1,
        "reset_after": 0.2,
        "half": 0.2,
        "throttle": 0.1,
        "retry_after_s": 1,
    }
    _call(f"{sandbox}/sandbox/faults", "PUT", {"group": "promotions", "seed": 7, **faults})
    check = _check(sandbox, batch=5)
    asked = customers(*(f"C{number}" for number in range(100, 200)))
    # The clock moves only by pauses: an hour of them is more than enough for every batch.
    verdicts = asking.check(check, open_exchange(check, pool_size=1)).ask(
        asking.question(asked, left_s=3600.0)
    )
    assert verdicts == [LOCKED if each.customer_id.endswith("6") else APPROVED for each in asked]
    report = _call(f"{sandbox}/sandbox/report", "GET")
    done = report["promotions"]
    assert (done["activated"], done["refused"], done["conflicts"]) == (90, 10, 0)
    assert done["repeats"] > 0, "a reply was lost after its activation"
    assert set(report["faults"]["promotions"]) == set(faults) - {"retry_after_s"}
