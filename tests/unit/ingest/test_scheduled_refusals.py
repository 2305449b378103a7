"""The routes for scheduled campaigns: whom and what they refuse, and that no token is ever repeated."""

import re
from base64 import b64encode

import pytest
from structlog.typing import EventDict

from clearance.ingest.openapi import SITE_MOMENT_PATTERN, openapi_document
from clearance.ingest.scheduled import EVENTS_ROUTE, SEND_GROUPS_ROUTE
from clearance.ledger import tables
from tests.fakes.asgi import Answer
from tests.unit.ingest.conftest import MAX_BODY_BYTES, TOKEN, Door
from tests.unit.ingest.told import GOOD, event, send_group, told_of


def _is_refused(door: Door, route: str, answer: Answer, status: int, reason: str) -> None:
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
    assert door.tell(route, GOOD[route], query=b"", headers=_basic(TOKEN)).status == 202


@pytest.mark.parametrize(
    ("query", "headers"),
    [(b"", {}), (b"token=wrong", {}), (b"token=", {}), (b"", _basic("wrong")), (b"", _basic(""))],
    ids=["none", "a wrong one", "an empty one", "a wrong password", "an empty password"],
)
def test_without_the_token_nothing_is_heard_and_the_sender_is_asked_for_it(
    door: Door, route: str, query: bytes, headers: dict[str, str]
) -> None:
    answer = door.tell(route, GOOD[route], query=query, headers=headers)

    _is_refused(door, route, answer, 401, "credentials")
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(("query", "headers"), [(b"token=", {}), (b"", _basic("")), (b"", {})])
def test_where_no_token_is_configured_nobody_is_let_in(
    door: Door, query: bytes, headers: dict[str, str]
) -> None:
    door.change(scheduled=door.scheduled("v2", token=""))

    answer = door.tell(SEND_GROUPS_ROUTE, send_group(), query=query, headers=headers)

    _is_refused(door, SEND_GROUPS_ROUTE, answer, 401, "credentials")


def test_the_route_of_the_other_api_refuses_whatever_is_sent(door: Door) -> None:
    answer = door.tell(EVENTS_ROUTE, b"not even JSON")

    _is_refused(door, EVENTS_ROUTE, answer, 409, "other_api")


def test_and_the_reverse(door: Door) -> None:
    door.change(scheduled=door.scheduled("v1"))

    _is_refused(door, SEND_GROUPS_ROUTE, door.tell(SEND_GROUPS_ROUTE, send_group()), 409, "other_api")


def test_whoever_has_no_token_is_not_told_which_api_is_in_force(door: Door) -> None:
    answer = door.tell(EVENTS_ROUTE, event(), query=b"token=wrong")

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
    answer = door.tell(SEND_GROUPS_ROUTE, send_group() | change)

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

    answer = door.tell(EVENTS_ROUTE, event(event_type) | change)

    _is_refused(door, EVENTS_ROUTE, answer, 422, "invalid")
    assert list(answer.json["errors"]) == [field]


def test_no_token_is_ever_repeated_kept_or_logged(
    door: Door, route: str, log_events: list[EventDict]
) -> None:
    other = EVENTS_ROUTE if route == SEND_GROUPS_ROUTE else SEND_GROUPS_ROUTE
    wrong = _basic("wrong-one") | {"X-Original": "wrong-one"}

    answers = [
        door.tell(route, GOOD[route]),
        door.tell(route, told_of(route, group=1) if route == SEND_GROUPS_ROUTE else event(7)),
        door.tell(route, b"{"),
        door.tell(other, GOOD[other]),
        door.tell(route, GOOD[route], query=b"token=wrong-one", headers=wrong),
    ]

    assert [answer.status for answer in answers] == [202, 202, 400, 409, 401]
    told = b"".join(answer.body for answer in answers).decode()
    kept = str([door.rows(table) for table in (tables.rejections, tables.groups, tables.obligations)])
    for text in (told, kept, str(log_events), repr(door.parts)):
        assert TOKEN not in text
        assert "wrong-one" not in text


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
    payload = send_group() | {"timestamp": written}

    assert (re.search(SITE_MOMENT_PATTERN, written) is not None) is is_taken
    assert door.tell(SEND_GROUPS_ROUTE, payload).status == (202 if is_taken else 422)
