"""The book of refusals: bounded in size and in what a flood may write, and no trouble for anybody."""

from http import HTTPStatus

import pytest
from structlog.typing import EventDict

from clearance.errors import Reject
from clearance.ingest import refusals
from clearance.ledger import tables
from tests.unit.ingest.conftest import KEPT, Door

_ROUTE = "/webhooks/optimove/triggered"


class _Seconds:
    def __init__(self) -> None:
        self.now = 100.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> _Seconds:
    made = _Seconds()
    monkeypatch.setattr(refusals, "monotonic", made)
    return made


def _note(door: Door, times: int = 1) -> None:
    reject = Reject(HTTPStatus.BAD_REQUEST, "malformed", "the body is not JSON in UTF-8")
    for _ in range(times):
        door.parts.refusals.note(route=_ROUTE, reject=reject, body_bytes=7)
        door.clock.advance(0.001)


def test_a_refusal_is_counted_logged_and_kept(door: Door, log_events: list[EventDict]) -> None:
    _note(door)

    (kept,) = door.rows(tables.rejections)
    assert (kept.status, kept.reason, kept.body_bytes) == (400, "malformed", 7)
    assert kept.detail == "the body is not JSON in UTF-8"
    assert door.metrics.counted("requests_refused_total", route=_ROUTE, reason="malformed") == 1
    assert log_events == [
        {
            "event": "request.refused",
            "log_level": "warning",
            "route": _ROUTE,
            "status": 400,
            "reason": "malformed",
            "fields": "",
        }
    ]


def test_of_a_flood_fifty_a_second_are_kept_and_all_are_counted(door: Door, seconds: _Seconds) -> None:
    _note(door, 60)
    assert len(door.rows(tables.rejections)) == 50
    seconds.now += 0.5
    _note(door, 10)
    assert len(door.rows(tables.rejections)) == 50
    seconds.now += 0.5

    _note(door, 10)

    assert len(door.rows(tables.rejections)) == 60
    assert door.metrics.counted("requests_refused_total", route=_ROUTE, reason="malformed") == 80


def test_the_book_holds_so_many_and_the_oldest_make_room(door: Door, seconds: _Seconds) -> None:
    for _ in range(5):
        _note(door, 50)
        seconds.now += 1

    kept = sorted(row.at for row in door.rows(tables.rejections))
    assert len(kept) == KEPT
    assert (door.clock() - kept[0]).total_seconds() == pytest.approx(0.1)


def test_a_ledger_that_is_away_refuses_all_the_same(door: Door) -> None:
    door.commits.away = 1

    _note(door)

    assert door.rows(tables.rejections) == []
    assert door.metrics.counted("requests_refused_total", route=_ROUTE, reason="malformed") == 1


def test_a_long_detail_is_cut(door: Door) -> None:
    reject = Reject(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "x" * 10_000)

    door.parts.refusals.note(route=_ROUTE, reject=reject, body_bytes=0)

    (kept,) = door.rows(tables.rejections)
    assert kept.detail == "x" * 500
