"""One address may come so often and no oftener; behind proxies it is the one that ours saw; nobody's is told."""

from dataclasses import replace

import orjson
import pytest
from starlette.requests import Request
from structlog.typing import EventDict

from clearance.errors import Reject
from clearance.ingest import mailings
from clearance.ingest.relay_door import MANY_ROUTE, ONE_ROUTE
from clearance.ingest.scheduled import EVENTS_ROUTE, SEND_GROUPS_ROUTE
from clearance.ingest.source_limit import SourceLimit, source_of
from clearance.ingest.triggered import ROUTE
from clearance.ledger import tables
from tests.fakes.asgi import Answer
from tests.unit.ingest.conftest import Door

RELAY_ROUTES = (ONE_ROUTE, MANY_ROUTE)


class _Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> _Seconds:
    return _Seconds()


def _request(*forwarded: str, client: str | None = "192.0.2.1") -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "headers": headers, "client": (client, 1) if client else None})


def _is_let_in(limit: SourceLimit, *forwarded: str) -> bool:
    try:
        limit.verify(_request(*forwarded))
    except Reject:
        return False
    return True


def test_an_address_may_come_as_often_as_is_set_and_again_a_moment_later(seconds: _Seconds) -> None:
    limit = SourceLimit(rate_per_s=4, trusted_proxies=0, clock_s=seconds)

    assert [_is_let_in(limit) for _ in range(6)] == [True] * 4 + [False] * 2
    seconds.now += 0.26
    assert [_is_let_in(limit) for _ in range(2)] == [True, False]
    seconds.now += 3600
    assert [_is_let_in(limit) for _ in range(5)] == [True] * 4 + [False]


def test_one_that_comes_too_often_costs_no_other_anything(seconds: _Seconds) -> None:
    limit = SourceLimit(rate_per_s=1, trusted_proxies=1, clock_s=seconds)

    assert [_is_let_in(limit, "203.0.113.1") for _ in range(3)] == [True, False, False]
    assert _is_let_in(limit, "203.0.113.2")


def test_a_rate_below_one_a_second_lets_one_in(seconds: _Seconds) -> None:
    limit = SourceLimit(rate_per_s=0.5, trusted_proxies=0, clock_s=seconds)

    assert [_is_let_in(limit) for _ in range(2)] == [True, False]
    seconds.now += 2
    assert _is_let_in(limit)


def test_without_a_limit_everybody_is_let_in(seconds: _Seconds) -> None:
    limit = SourceLimit(rate_per_s=0, trusted_proxies=0, clock_s=seconds)

    assert all(_is_let_in(limit) for _ in range(1000))


def test_a_flood_of_addresses_does_not_fill_the_memory(seconds: _Seconds) -> None:
    limit = SourceLimit(rate_per_s=1, trusted_proxies=1, clock_s=seconds)

    for number in range(10_500):
        _is_let_in(limit, f"10.0.{number // 250}.{number % 250}")

    assert len(limit._bucket_by_source) == 10_000
    # The newest are known; the one that was silent longest is not.
    assert not _is_let_in(limit, "10.0.41.249")
    assert _is_let_in(limit, "10.0.0.0")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "source"),
    [
        (0, (), "192.0.2.1"),
        (0, ("203.0.113.9",), "192.0.2.1"),
        (1, ("203.0.113.9",), "203.0.113.9"),
        (1, ("6.6.6.6, 203.0.113.9",), "203.0.113.9"),
        (1, ("6.6.6.6", "203.0.113.9"), "203.0.113.9"),
        (2, ("6.6.6.6, 203.0.113.9, 10.0.0.1",), "203.0.113.9"),
        (2, ("203.0.113.9",), "192.0.2.1"),
        (1, (), "192.0.2.1"),
        (1, ("203.0.113.9:4711",), "203.0.113.9"),
        (1, ("2001:db8:1:2::1",), "20010db800010002::/64"),
        (1, ("[2001:db8:1:2:ffff::9]",), "20010db800010002::/64"),
        (1, ("[2001:db8:1:2:ffff::9]:4711",), "20010db800010002::/64"),
        (1, ("::ffff:203.0.113.9",), "203.0.113.9"),
        (1, ("unknown" * 100,), ("unknown" * 100)[:64]),
    ],
)
def test_whose_request_it_is(proxies: int, forwarded: tuple[str, ...], source: str) -> None:
    assert source_of(_request(*forwarded), trusted_proxies=proxies) == source


def test_connections_without_an_address_share_one_place() -> None:
    assert source_of(_request(client=None), trusted_proxies=0) == ""


def _too_often(door: Door, route: str) -> Answer:
    """The second request of a second in which one is allowed."""
    limit = SourceLimit(rate_per_s=1, trusted_proxies=0, clock_s=_Seconds())
    door.change(sources=limit, relay=replace(door.parts.relay, sources=limit))
    path = route.replace("{id}", "a1")
    door.request("POST", path, chunks=(b"{}",))
    return door.request("POST", path, chunks=(b"{}",))


@pytest.mark.parametrize("route", [ROUTE, SEND_GROUPS_ROUTE, EVENTS_ROUTE, mailings.ROUTE])
def test_a_sender_that_comes_too_often_is_told_to_come_again_before_it_is_read(
    door: Door, route: str, log_events: list[EventDict]
) -> None:
    answer = _too_often(door, route)

    assert (answer.status, answer.headers["retry-after"], answer.read) == (429, "1", 0)
    assert answer.json["error"] == "too_often"
    assert door.metrics.counted("requests_refused_total", route=route, reason="too_often") == 1
    assert [(row.status, row.reason) for row in door.rows(tables.rejections)][-1] == (429, "too_often")
    assert "127.0.0.1" not in answer.body.decode() + repr(log_events) + repr(door.rows(tables.rejections))


@pytest.mark.parametrize("route", RELAY_ROUTES)
def test_the_relay_answers_503_instead_because_letters_that_got_429_do_not_come_again(
    door: Door, route: str
) -> None:
    answer = _too_often(door, route)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert orjson.loads(answer.body)["success"] is False
    assert door.metrics.counted("requests_refused_total", route=route, reason="too_often") == 1
    assert [(row.status, row.reason) for row in door.rows(tables.rejections)][-1] == (503, "too_often")


def test_probes_are_not_limited(door: Door) -> None:
    _too_often(door, ROUTE)

    assert [door.request("GET", "/healthz").status for _ in range(3)] == [200] * 3
