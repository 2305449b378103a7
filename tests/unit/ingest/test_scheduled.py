"""The routes for scheduled campaigns: what is heard, what is owed at once, what is refused, and what is only noted."""

import re
from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from structlog.typing import EventDict

from clearance.ingest.openapi import SITE_MOMENT_PATTERN, openapi_document
from clearance.ingest.scheduled import EVENTS_ROUTE, SEND_GROUPS_ROUTE
from clearance.ledger import tables
from clearance.obligations import State
from tests.fakes.clock import START
from tests.unit.ingest.conftest import ETA_WINDOW, MARGIN, MAX_BODY_BYTES, SITE, STOP_MARGIN, TOKEN, Door

HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


def _send_group(
    deadline_at: datetime = START + HOUR, *, told_at: datetime = START, group: object = 123
) -> dict[str, Any]:
    return {
        "timestamp": SITE.dump(told_at),
        "send_group": {
            "id": group,
            "approval_deadline": SITE.dump(deadline_at),
            "order": 1,
            "number_of_customers": 2500,
        },
        "occurrence": {
            "id": 222,
            "series_id": 111,
            "campaign_duration": 1,
            "total_send_groups_with_conditional": 3,
            "number_of_unique_customers": 7000,
            "notes": "campaign notes",
            "tags": ["bonus"],
            "action": {
                "id": 576,
                "channel": {"id": 345, "name": "Email", "brand_id": "main", "template": {"id": "t"}},
            },
        },
    }


def _event(
    event_type: int = 5,
    *,
    deadline_at: datetime = START + HOUR,
    told_at: datetime = START,
    campaign: object = 1359,
) -> dict[str, Any]:
    return {
        "EventTypeID": event_type,
        "TimeStamp": SITE.dump(told_at),
        "CampaignID": campaign,
        "CampaignDuration": 7,
        "ClearanceRequiredBy": SITE.dump(deadline_at),
    }


_WELL = {SEND_GROUPS_ROUTE: _send_group(), EVENTS_ROUTE: _event()}


@pytest.fixture(params=[SEND_GROUPS_ROUTE, EVENTS_ROUTE])
def route(request: pytest.FixtureRequest, door: Door) -> str:
    """Each of the two routes, with its API in force."""
    if request.param == EVENTS_ROUTE:
        door.change(scheduled=door.scheduled("v1"))
    return str(request.param)


def _told(route: str, **given: Any) -> dict[str, Any]:
    return _send_group(**given) if route == SEND_GROUPS_ROUTE else _event(**given)


def _published(door: Door) -> list[str]:
    return [due.task.removeprefix("clearance.groups.") for due in door.published.due]


# What is heard


def test_a_heads_up_is_committed_its_fetch_is_published_and_it_is_acknowledged(
    door: Door, route: str
) -> None:
    answer = door.tell(route, _WELL[route])

    assert answer.status == 202
    (group,) = door.rows(tables.groups)
    assert answer.json == {"accepted": True, "id": group.id, "duplicate": False}
    assert (group.state, group.revision, group.generation) == ("open", 1, 1)
    assert (group.told_at, group.deadline_at, group.created_at) == (START, START + HOUR, START)
    assert group.submit_at == START + HOUR - MARGIN
    assert group.hard_stop_at == START + HOUR - STOP_MARGIN
    owed = {row.task.removeprefix("clearance.groups."): row for row in door.rows(tables.obligations)}
    assert set(owed) == {"fetch", "submit", "close"}
    (due,) = door.published.due
    assert (due.obligation_id, due.task, due.lane) == (owed["fetch"].id, owed["fetch"].task, "submit")
    assert (due.deadline_at, due.eta, due.attempts) == (group.hard_stop_at, None, 0)
    assert owed["submit"].publish_at == group.submit_at - ETA_WINDOW
    assert door.metrics.counted("requests_accepted_total", route=route) == 1
    assert len(door.metrics.observed("http_request_seconds", route=route, status=202)) == 1


def test_a_send_group_is_planned_by_its_deadline_and_its_customers(door: Door) -> None:
    door.tell(SEND_GROUPS_ROUTE, _send_group())

    assert door.planned == [(START + HOUR, 2500)]
    (group,) = door.rows(tables.groups)
    assert (group.api, group.vendor_id, group.occurrence_id, group.series_id) == ("v2", "123", "222", "111")
    assert (group.order_number, group.total_groups) == (1, 3)
    assert (group.expected_customers, group.unique_customers) == (2500, 7000)
    campaign = orjson.loads(group.campaign)
    assert (campaign["lane"], campaign["send_group_id"]) == ("send_group", "123")
    assert campaign["channel_name"] == "Email"


def test_a_campaign_is_planned_by_its_deadline_alone(door: Door) -> None:
    door.change(scheduled=door.scheduled("v1"))
    door.tell(EVENTS_ROUTE, _event())

    assert door.planned == [(START + HOUR, None)]
    (group,) = door.rows(tables.groups)
    assert (group.api, group.vendor_id, group.occurrence_id) == ("v1", "1359", "1359")
    assert orjson.loads(group.campaign)["lane"] == "campaign"


def test_the_same_heads_up_again_is_acknowledged_and_changes_nothing(door: Door, route: str) -> None:
    first = door.tell(route, _WELL[route])
    door.clock.advance(1)

    again = door.tell(route, _told(route, told_at=START + _SECOND))

    assert (again.status, again.json) == (
        202,
        {"accepted": True, "id": first.json["id"], "duplicate": True},
    )
    assert len(door.rows(tables.obligations)) == 3
    assert _published(door) == ["fetch"]
    assert door.metrics.counted("requests_duplicate_total", route=route) == 1
    assert door.metrics.counted("requests_accepted_total", route=route) == 2


def test_a_moved_deadline_is_a_new_revision_of_the_same_group(door: Door, route: str) -> None:
    first = door.tell(route, _WELL[route])
    door.clock.advance(60)

    moved = door.tell(route, _told(route, told_at=door.clock(), deadline_at=START + 2 * HOUR))

    assert (moved.status, moved.json) == (202, first.json)
    (group,) = door.rows(tables.groups)
    assert (group.revision, group.generation, group.deadline_at) == (2, 1, START + 2 * HOUR)
    assert _published(door) == ["fetch"]  # what is fetched already is not fetched again
    assert door.metrics.counted("requests_duplicate_total", route=route) == 0


def test_what_was_told_earlier_and_comes_later_is_a_repeat(door: Door, route: str) -> None:
    door.tell(route, _told(route, told_at=START, deadline_at=START + 2 * HOUR))

    stale = door.tell(route, _told(route, told_at=START - _SECOND, deadline_at=START + HOUR))

    assert (stale.status, stale.json["duplicate"]) == (202, True)
    (group,) = door.rows(tables.groups)
    assert (group.revision, group.deadline_at) == (1, START + 2 * HOUR)


def test_a_heads_up_that_comes_after_its_time_to_submit_has_that_published_at_once(
    door: Door, route: str
) -> None:
    door.tell(route, _told(route, deadline_at=START + MARGIN / 2))

    assert _published(door) == ["fetch", "submit"]


def test_one_whose_deadline_is_over_is_acknowledged_recorded_as_missed_and_told_with_how_late(
    door: Door, route: str, log_events: list[EventDict]
) -> None:
    late = _told(route, told_at=START - 2 * HOUR, deadline_at=START - timedelta(seconds=90))

    first, again = door.tell(route, late), door.tell(route, late)

    (group,) = door.rows(tables.groups)
    assert (first.status, first.json) == (202, {"accepted": True, "id": group.id, "duplicate": False})
    assert again.json == {"accepted": True, "id": group.id, "duplicate": True}
    assert group.state == "missed"
    assert door.rows(tables.obligations) == door.published.due == []
    assert door.metrics.counted("notifications_expired_total", route=route) == 1
    (told,) = log_events
    assert (told["event"], told["log_level"]) == ("group.missed", "error")
    assert (told["group"], told["reason"], told["late_s"]) == (group.id, "PAST_ON_ARRIVAL", 90.0)


def test_an_open_group_whose_new_deadline_is_over_has_its_books_closed_at_once(
    door: Door, route: str
) -> None:
    door.tell(route, _WELL[route])
    door.clock.advance(60)

    moved = _told(route, told_at=door.clock(), deadline_at=START + timedelta(seconds=30))
    assert door.tell(route, moved).status == 202

    assert _published(door) == ["fetch", "close"]
    assert door.metrics.counted("notifications_expired_total", route=route) == 1


# V1: cancelled, and what is only noted


def test_a_cancelled_campaign_owes_nothing_any_more(door: Door) -> None:
    door.change(scheduled=door.scheduled("v1"))
    heard = door.tell(EVENTS_ROUTE, _event(5))
    door.clock.advance(10)

    cancelled = door.tell(EVENTS_ROUTE, _event(4, told_at=door.clock()))
    again = door.tell(EVENTS_ROUTE, _event(4, told_at=door.clock()))

    assert (cancelled.status, cancelled.json) == (202, heard.json)
    assert again.json == heard.json | {"duplicate": True}
    (group,) = door.rows(tables.groups)
    assert group.state == "cancelled"
    assert {row.state for row in door.rows(tables.obligations)} == {State.CANCELLED}
    assert _published(door) == ["fetch"]
    assert door.metrics.counted("requests_duplicate_total", route=EVENTS_ROUTE) == 1


def test_a_campaign_that_was_cancelled_before_it_was_announced_is_not_begun(door: Door) -> None:
    door.change(scheduled=door.scheduled("v1"))
    cancelled = door.tell(EVENTS_ROUTE, _event(4, told_at=START))

    heard = door.tell(EVENTS_ROUTE, _event(5, told_at=START - _SECOND))

    assert heard.json == {"accepted": True, "id": cancelled.json["id"], "duplicate": True}
    assert door.rows(tables.obligations) == door.published.due == []


@pytest.mark.parametrize("event_type", [1, 7, 18])
def test_an_event_of_another_type_is_acknowledged_as_ignored_counted_and_listed(
    door: Door, event_type: int, log_events: list[EventDict]
) -> None:
    door.change(scheduled=door.scheduled("v1"))
    body = orjson.dumps({"EventTypeID": event_type, "Whatever": ["private"]})

    answer = door.tell(EVENTS_ROUTE, body)

    (kept,) = door.rows(tables.rejections)
    assert answer.status == 202
    assert answer.json == {"accepted": True, "id": kept.id, "duplicate": False, "ignored": True}
    assert (kept.route, kept.status, kept.reason) == (EVENTS_ROUTE, 202, "ignored")
    assert (kept.detail, kept.body_bytes, kept.at) == (f"event type {event_type}", len(body), START)
    assert door.rows(tables.groups) == door.rows(tables.obligations) == []
    assert door.metrics.counted("notifications_ignored_total", route=EVENTS_ROUTE) == 1
    assert door.metrics.counted("requests_accepted_total", route=EVENTS_ROUTE) == 1
    assert [event["event"] for event in log_events] == ["event.ignored"]


# Refusals


def _is_refused(door: Door, route: str, answer: Any, status: int, reason: str) -> None:
    assert (answer.status, answer.json["error"], answer.json["accepted"]) == (status, reason, False)
    assert str(status) in openapi_document()["paths"][route]["post"]["responses"]
    assert door.rows(tables.groups) == door.rows(tables.obligations) == door.published.due == []
    (kept,) = door.rows(tables.rejections)
    assert (kept.route, kept.status, kept.reason) == (route, status, reason)
    assert kept.detail == answer.json["detail"]
    assert door.metrics.counted("requests_refused_total", route=route, reason=reason) == 1


def _basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"optimove:{password}".encode()).decode()}


def test_the_token_may_also_be_the_password_of_basic(door: Door, route: str) -> None:
    assert door.tell(route, _WELL[route], query=b"", headers=_basic(TOKEN)).status == 202


@pytest.mark.parametrize(
    ("query", "headers"),
    [(b"", {}), (b"token=wrong", {}), (b"token=", {}), (b"", _basic("wrong")), (b"", _basic(""))],
    ids=["none", "a wrong one", "an empty one", "a wrong password", "an empty password"],
)
def test_without_the_token_nothing_is_heard_and_the_sender_is_asked_for_it(
    door: Door, route: str, query: bytes, headers: dict[str, str]
) -> None:
    answer = door.tell(route, _WELL[route], query=query, headers=headers)

    _is_refused(door, route, answer, 401, "credentials")
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(("query", "headers"), [(b"token=", {}), (b"", _basic("")), (b"", {})])
def test_where_no_token_is_configured_nobody_is_let_in(
    door: Door, query: bytes, headers: dict[str, str]
) -> None:
    door.change(scheduled=door.scheduled("v2", token=""))

    answer = door.tell(SEND_GROUPS_ROUTE, _send_group(), query=query, headers=headers)

    _is_refused(door, SEND_GROUPS_ROUTE, answer, 401, "credentials")


def test_the_route_of_the_other_api_refuses_whatever_is_sent(door: Door) -> None:
    answer = door.tell(EVENTS_ROUTE, b"not even JSON")

    _is_refused(door, EVENTS_ROUTE, answer, 409, "other_api")


def test_and_the_reverse(door: Door) -> None:
    door.change(scheduled=door.scheduled("v1"))

    _is_refused(door, SEND_GROUPS_ROUTE, door.tell(SEND_GROUPS_ROUTE, _send_group()), 409, "other_api")


def test_whoever_has_no_token_is_not_told_which_api_is_in_force(door: Door) -> None:
    answer = door.tell(EVENTS_ROUTE, _event(), query=b"token=wrong")

    _is_refused(door, EVENTS_ROUTE, answer, 401, "credentials")


_BROKEN: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "malformed"),
    "half of JSON": (b'{"send_group": {', 400, "malformed"),
    "bad UTF-8": (b'{"timestamp": "\xff"}', 400, "malformed"),
    "an array": (b"[]", 400, "malformed"),
    "nested too deep": (b"[" * 5_000, 400, "malformed"),
    "no field": (b"{}", 422, "invalid"),
    "too large": (b" " * (MAX_BODY_BYTES + 1), 413, "too_large"),
}


@pytest.mark.parametrize("case", _BROKEN)
def test_a_broken_body_is_refused(door: Door, route: str, case: str) -> None:
    body, status, reason = _BROKEN[case]

    _is_refused(door, route, door.tell(route, body), status, reason)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timestamp": "2026-03-02"}, "timestamp"),
        ({"timestamp": 1_772_442_000}, "timestamp"),
        (
            {"send_group": {"id": 1, "approval_deadline": "2026-02-30 10:00:00"}},
            "send_group.approval_deadline",
        ),
        ({"send_group": {"id": None, "approval_deadline": "2026-03-02 11:00:00"}}, "send_group.id"),
        ({"occurrence": {"action": {}}}, "occurrence.id"),
        ({"occurrence": []}, "occurrence"),
    ],
)
def test_a_wrong_send_group_is_told_its_fields_and_none_of_its_values(
    door: Door, change: dict[str, object], field: str
) -> None:
    answer = door.tell(SEND_GROUPS_ROUTE, _send_group() | change)

    _is_refused(door, SEND_GROUPS_ROUTE, answer, 422, "invalid")
    assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize(
    ("event_type", "change", "field"),
    [
        (5, {"EventTypeID": None}, "EventTypeID"),
        (5, {"EventTypeID": True}, "EventTypeID"),
        (5, {"ClearanceRequiredBy": "soon"}, "ClearanceRequiredBy"),
        (5, {"CampaignID": 1.5}, "CampaignID"),
        (4, {"CampaignID": ""}, "CampaignID"),
        (4, {"TimeStamp": None}, "TimeStamp"),
    ],
)
def test_a_wrong_event_is_told_its_fields_and_none_of_its_values(
    door: Door, event_type: int, change: dict[str, object], field: str
) -> None:
    door.change(scheduled=door.scheduled("v1"))

    answer = door.tell(EVENTS_ROUTE, _event(event_type) | change)

    _is_refused(door, EVENTS_ROUTE, answer, 422, "invalid")
    assert list(answer.json["errors"]) == [field]


def test_no_token_is_ever_repeated_kept_or_logged(
    door: Door, route: str, log_events: list[EventDict]
) -> None:
    other = EVENTS_ROUTE if route == SEND_GROUPS_ROUTE else SEND_GROUPS_ROUTE
    wrong = _basic("wrong-one") | {"X-Original": "wrong-one"}

    answers = [
        door.tell(route, _WELL[route]),
        door.tell(route, _told(route, group=1) if route == SEND_GROUPS_ROUTE else _event(7)),
        door.tell(route, b"{"),
        door.tell(other, _WELL[other]),
        door.tell(route, _WELL[route], query=b"token=wrong-one", headers=wrong),
    ]

    assert [answer.status for answer in answers] == [202, 202, 400, 409, 401]
    told = b"".join(answer.body for answer in answers).decode()
    kept = str([door.rows(table) for table in (tables.rejections, tables.groups, tables.obligations)])
    for text in (told, kept, str(log_events), repr(door.parts)):
        assert TOKEN not in text
        assert "wrong-one" not in text


# Trouble of our own


def test_without_a_ledger_nothing_is_acknowledged(
    door: Door, route: str, log_events: list[EventDict]
) -> None:
    door.commits.away = 1

    answer = door.tell(route, _WELL[route])

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "503" in openapi_document()["paths"][route]["post"]["responses"]
    assert door.rows(tables.groups) == door.published.due == []
    assert door.metrics.counted("requests_refused_total", route=route, reason="ledger_unavailable") == 1
    assert door.metrics.counted("requests_accepted_total", route=route) == 0
    assert [event["event"] for event in log_events] == ["ledger.unavailable"]


def test_a_sender_that_repeats_what_was_not_acknowledged_is_served(door: Door, route: str) -> None:
    door.commits.unconfirmed = 1  # written, but the commit was not confirmed

    assert door.tell(route, _WELL[route]).status == 503
    again = door.tell(route, _WELL[route])

    assert (again.status, again.json["duplicate"]) == (202, True)
    assert len(door.rows(tables.groups)) == 1


# What the document says


@pytest.mark.parametrize(
    ("written", "is_taken"),
    [
        ("2026-03-02 10:00:00", True),
        ("2026-03-02T10:00:00.123456Z", True),
        ("2026-03-02 10:00:00+01:00", True),
        ("2026-03-02 10:00:00+0100", True),
        ("2026-03-02 10:00", False),
        ("2026-03-02 10:00:00 ", False),
        ("x2026-03-02 10:00:00", False),
        ("2026-03-02 10:00:00.1234567", False),
    ],
)
def test_the_document_allows_the_times_that_are_taken(door: Door, written: str, is_taken: bool) -> None:
    payload = _send_group() | {"timestamp": written}

    assert (re.search(SITE_MOMENT_PATTERN, written) is not None) is is_taken
    assert door.tell(SEND_GROUPS_ROUTE, payload).status == (202 if is_taken else 422)
