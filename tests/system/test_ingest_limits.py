"""What one sender can take of ingest: so many requests a second, so many bytes of headers, so long for them."""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.system import raw_http
from tests.system.fleet import Fleet, FleetPlan, running

pytestmark = pytest.mark.timeout(90)

_RATE_PER_S = 20
_HEADER_TIMEOUT_S = 1.0
_SETTINGS = {
    "CLEARANCE_INGEST_RATE_PER_S": str(_RATE_PER_S),
    "CLEARANCE_INGEST_TRUSTED_PROXIES": "1",
    "CLEARANCE_INGEST_HEADER_TIMEOUT_S": str(_HEADER_TIMEOUT_S),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """An ingest behind a proxy; nobody works what is owed."""
    plan = FleetPlan(workers=0, guardians=0, settings=_SETTINGS)
    with running(tmp_path_factory.mktemp("limits"), plan) as fleet:
        yield fleet


def _post(fleet: Fleet, *headers: str, source: str = "203.0.113.1") -> int:
    head = raw_http.head(fleet.webhook_url, "Content-Length: 2", f"X-Forwarded-For: {source}", *headers)
    return raw_http.exchange(fleet.webhook_url, [head + b"{}"])[0]


def test_one_address_is_held_back_and_another_is_not(fleet: Fleet) -> None:
    statuses = Counter(_post(fleet, source="203.0.113.7") for _ in range(4 * _RATE_PER_S))

    assert set(statuses) == {401, 429}
    assert statuses[401] >= _RATE_PER_S
    assert _post(fleet, source="6.6.6.6, 203.0.113.8") == 401
    # What stands before the proxy's entry is the sender's own, and does not help.
    worn_out = Counter(
        _post(fleet, source=f"10.0.0.{number}, 203.0.113.7") for number in range(2 * _RATE_PER_S)
    )
    assert worn_out[429] > 0
    assert fleet.metric("ingest", 'clearance_requests_refused_total{reason="too_often"') == (
        statuses[429] + worn_out[429]
    )
    assert "203.0.113.7" not in fleet["ingest"].all_output()


def test_headers_may_have_thirty_kilobytes_and_not_seventy(fleet: Fleet) -> None:
    assert _post(fleet, "X-Long: " + "a" * 30_000, source="203.0.113.20") == 401
    assert _post(fleet, "X-Long: " + "a" * 70_000, source="203.0.113.21") == 431
    assert _post(fleet, *(f"X-{number}: 1" for number in range(120)), source="203.0.113.22") == 431


@pytest.mark.parametrize("part", [b"", b"POST /webhooks/optimove/triggered HTTP/1.1\r\nHost: a"])
def test_a_connection_that_does_not_come_to_its_point_is_closed(fleet: Fleet, part: bytes) -> None:
    place = urlsplit(fleet.ingest_url)
    started = time.monotonic()
    with socket.create_connection((place.hostname or "", place.port or 80), timeout=10) as connection:
        connection.sendall(part)
        assert connection.recv(1000) == b""

    assert _HEADER_TIMEOUT_S / 2 < time.monotonic() - started < _HEADER_TIMEOUT_S + 5
