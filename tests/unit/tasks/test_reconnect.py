"""How a worker waits for a broker that is away."""

from typing import Any

import pytest
from kombu.connection import Connection

from config.settings import Settings
from tasks.reconnect import SoonBack
from workers import wiring


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How kombu was asked to wait."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(Connection, "ensure_connection", lambda _self, *_, **kwargs: calls.append(kwargs))
    return calls


def test_the_first_attempt_to_come_back_is_soon_and_none_is_far_from_the_last(
    asked: list[dict[str, Any]],
) -> None:
    SoonBack("memory://").ensure_connection(max_retries=3)

    assert asked == [{"interval_start": 0.2, "interval_step": 0.2, "interval_max": 2.0, "max_retries": 3}]


def test_waits_that_are_asked_for_are_kept(asked: list[dict[str, Any]]) -> None:
    SoonBack("memory://").ensure_connection(interval_start=7)

    assert asked[0]["interval_start"] == 7


def test_every_connection_of_our_celery_is_one_of_these() -> None:
    app = wiring.celery_app(Settings(broker_url="redis://127.0.0.1:1/0"))

    assert isinstance(app.connection_for_write(), SoonBack)
    assert isinstance(app.connection_for_read(), SoonBack)
