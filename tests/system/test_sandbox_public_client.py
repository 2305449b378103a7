"""Other people's client runs against the sandbox: the public `optimove` 2.0.0, unchanged."""

import asyncio
from collections.abc import Callable

import pytest
from optimove.client import Client

from clearance.sandbox.options import SandboxOptions
from clearance.sandbox.server import running

LISTENER = "http://127.0.0.1:8080/webhooks/optimove/events?token=secret"
OPTIONS = SandboxOptions(port=0, username="someone", password="something")


def _with_sandbox(use: Callable[[str], None]) -> None:
    async def run() -> None:
        async with running(OPTIONS) as url:
            await asyncio.to_thread(use, url)

    asyncio.run(run())


def test_the_public_client_logs_in_and_registers_and_unregisters_a_listener() -> None:
    def use(url: str) -> None:
        client = Client("someone", "something", url=url)
        assert isinstance(client.token, str)
        assert client.general.register_event_listener(5, LISTENER) is True
        listed = client.get(f"{url}/current/general/GetRegisteredEventListeners")
        assert listed.json() == [{"EventTypeID": 5, "ListenerURL": LISTENER}]
        assert client.general.unregister_event_listener(5) is True
        assert client.get(f"{url}/current/general/GetRegisteredEventListeners").json() == []
        assert len(client.general.get_last_data_update()) == len("YYYY-MM-DD")

    _with_sandbox(use)


def test_the_public_client_sees_a_wrong_password_as_unauthorized() -> None:
    def use(url: str) -> None:
        with pytest.raises(Exception, match="Unauthorized"):
            Client("someone", "wrong", url=url)

    _with_sandbox(use)


def test_the_public_client_sees_the_rate_limit_as_a_failure() -> None:
    def use(url: str) -> None:
        client = Client("someone", "something", url=url)
        answers = [client.general.unregister_event_listener(5) for _ in range(51)]
        assert answers == [True] * 50 + [False]

    _with_sandbox(use)
