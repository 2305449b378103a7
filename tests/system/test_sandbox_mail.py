"""Other people's client runs against the sandbox: the public `exponea-python-sdk` 0.2.0, unchanged."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from exponea_python_sdk import Exponea
from exponea_python_sdk.exceptions import APIException

from clearance.sandbox.options import BLOOMREACH_KEY_ID, BLOOMREACH_PROJECT, SandboxOptions
from clearance.sandbox.server import running

SECRET = "the-secret"
IDS = {"registered": "anna@example.com"}


def _with_sandbox(use: Callable[[str], None]) -> None:
    async def run() -> None:
        async with running(SandboxOptions(port=0, api_key=SECRET)) as url:
            await asyncio.to_thread(use, url)

    asyncio.run(run())


def _client(url: str, *, key: str = BLOOMREACH_KEY_ID, secret: str = SECRET) -> Any:
    return Exponea(BLOOMREACH_PROJECT, username=key, password=secret, url=url)


def _customer(url: str) -> Any:
    return urllib3.request("GET", f"{url}/sandbox/bloomreach/customers/registered/anna@example.com").json()


def test_the_public_client_tells_of_a_customer_with_nulls_for_what_it_leaves_out() -> None:
    def use(url: str) -> None:
        tracking = _client(url).tracking
        assert abs(tracking.get_system_time() - time.time()) < 60
        assert tracking.update_customer_properties(IDS, {"postal_address_valid": False}) is True
        assert tracking.add_event(IDS, "campaign") is True
        shown = _customer(url)
        assert shown["properties"] == {"postal_address_valid": False}
        assert [(event["event_type"], event["properties"]) for event in shown["events"]] == [("campaign", {})]

    _with_sandbox(use)


def test_the_public_client_sends_a_batch_and_reads_its_results_by_position() -> None:
    def use(url: str) -> None:
        tracking = _client(url).tracking
        results = tracking.batch_commands(
            [
                tracking.update_customer_properties(IDS, {"a": 1}, batch=True),
                tracking.add_event({"registered": ""}, "campaign", batch=True),
                tracking.get_system_time(batch=True),
            ]
        )
        assert results[:2] == [True, False]
        assert abs(results[2] - time.time()) < 60

    _with_sandbox(use)


def test_the_public_client_finds_the_reason_in_each_shape_of_refusal() -> None:
    def use(url: str) -> None:
        with pytest.raises(APIException, match="unknown API key"):
            _client(url, key="another").tracking.get_system_time()
        with pytest.raises(APIException, match="wrong API secret"):
            _client(url, secret="wrong").tracking.get_system_time()
        tracking = _client(url).tracking
        with pytest.raises(APIException, match="not an id"):
            tracking.update_customer_properties({"registered": "null"}, {})
        with pytest.raises(APIException, match="category missing"):
            tracking.add_event(IDS, "consent", {"action": "reject"})
        with pytest.raises(APIException, match="must be a list that is not empty"):
            tracking.batch_commands([])

    _with_sandbox(use)
