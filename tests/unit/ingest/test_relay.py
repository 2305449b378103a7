"""The relay: what is taken and how it is answered; and that no content gets anything but 200."""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from structlog.typing import EventDict

from clearance.ingest.openapi import openapi_document
from clearance.ingest.relay_answers import SUPPRESSED
from clearance.ingest.relay_door import LOST_ROUTE, MANY_ROUTE, ONE_ROUTE
from clearance.ledger import address_suppressions, tables
from clearance.ledger.mail_tables import mail_recipients
from clearance.mail_states import RecipientState
from clearance.obligations import Lane
from tests.fakes.asgi import Answer
from tests.fakes.clock import START
from tests.unit.ingest.conftest import MAX_BODY_BYTES, RELAY_KEYS, Door

_AUTOMATION = "5fc6ca6a89b5e200e0de42e0"
_ADDRESS = {
    "lastName": "Muster",
    "street": "Hauptstr.",
    "houseNumber": "5",
    "zipCode": "10115",
    "city": "Berlin",
    "individualisation1": "anna@example.com",
    "individualisation2": "5f2c-cookie",
}
_KEY = f"Basic {b64encode(f'{RELAY_KEYS[0]}: '.encode()).decode()}"


def _person(number: int) -> dict[str, object]:
    return {"address": _ADDRESS | {"houseNumber": str(number)}}


def _many(door: Door, *recipients: object, **given: Any) -> Answer:
    return _send(door, MANY_ROUTE, {"addresses": list(recipients)}, **given)


def _one(door: Door, recipient: object, **given: Any) -> Answer:
    return _send(door, ONE_ROUTE, recipient, **given)


def _send(
    door: Door,
    route: str,
    payload: object,
    *,
    automation: str = _AUTOMATION,
    headers: dict[str, str] | None = None,
    chunks: Iterable[bytes] | None = None,
    **given: Any,
) -> Answer:
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    path = route.replace("{id}", automation)
    all_headers = {"authorization": _KEY} | (headers or {})
    return door.request(
        "POST", path, headers=all_headers, chunks=(body,) if chunks is None else chunks, **given
    )


def _received(door: Door, outcome: str) -> float:
    return door.metrics.counted("mail_recipients_received_total", outcome=outcome)


# What is taken


def test_recipients_are_answered_by_position_and_are_in_the_ledger(
    door: Door, log_events: list[EventDict]
) -> None:
    wrong = {"address": _ADDRESS | {"fullName": "Anna Muster"}}

    answer = _many(door, _person(1), wrong, _ADDRESS)

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    first, refused, second = door.rows(mail_recipients)
    message = "not allowed together with lastName"
    assert answer.json == {
        "success": True,
        "requestId": first.trace_id,
        "queued": 2,
        "ignored": 1,
        "results": [
            {"id": first.id},
            {"error": {"message": f"fullName: {message}", "fields": {"fullName": [message]}}},
            {"id": second.id},
        ],
    }
    assert [row.state for row in (first, refused, second)] == [
        RecipientState.QUEUED,
        RecipientState.REFUSED,
        RecipientState.QUEUED,
    ]
    assert {row.automation_id for row in (first, refused, second)} == {_AUTOMATION}
    assert orjson.loads(second.payload) == {"address": _ADDRESS}
    assert orjson.loads(first.customer_ids) == {"registered": "anna@example.com", "cookie": "5f2c-cookie"}
    assert (refused.reason, refused.error, refused.payload) == (
        "RECIPIENT_INVALID",
        f"fullName: {message}",
        None,
    )
    assert [_received(door, outcome) for outcome in ("queued", "refused", "duplicate")] == [2, 1, 0]
    assert door.metrics.counted("requests_accepted_total", route=MANY_ROUTE) == 1
    assert len(door.metrics.observed("http_request_seconds", route=MANY_ROUTE, status=200)) == 1
    assert [event["event"] for event in log_events] == ["recipients.received"]


def test_a_batch_that_is_full_is_published_and_one_that_is_not_waits(door: Door) -> None:
    _many(door, _person(1), _person(2))
    assert door.published.due == []

    _many(door, _person(3), _person(4))

    (due,) = door.published.due
    assert (due.lane, due.eta) == (Lane.MAIL, None)
    owed = {row.id: row for row in door.rows(tables.obligations)}
    assert len(owed) == 2
    assert owed[due.obligation_id].run_at == START


def test_one_recipient_is_answered_with_its_id(door: Door) -> None:
    answer = _one(door, {"address": _ADDRESS, "variation": 1})

    (row,) = door.rows(mail_recipients)
    assert (answer.status, answer.json) == (
        200,
        {"success": True, "requestId": row.trace_id, "id": row.id, "result": {"id": row.id}},
    )
    assert orjson.loads(row.payload)["variation"] == 1
    assert door.metrics.counted("requests_accepted_total", route=ONE_ROUTE) == 1


def test_one_that_is_refused_is_told_why_in_bloomreachs_words(door: Door) -> None:
    answer = _one(door, _ADDRESS | {"fullName": "Anna Muster", "city": ""})

    (row,) = door.rows(mail_recipients)
    told = {"fullName": ["not allowed together with lastName"], "city": ["required"]}
    assert answer.status == 200
    assert answer.json == {
        "success": False,
        "requestId": row.trace_id,
        "errors": [
            {"code": 1004, "description": "city: required"},
            {"code": 1004, "description": "fullName: not allowed together with lastName"},
        ],
        "fields": told,
    }
    assert row.state == RecipientState.REFUSED


def test_the_same_recipient_again_is_answered_with_the_first_ones_id(door: Door) -> None:
    first = _many(door, _person(1), _person(1), _person(2)).json["results"]
    again = _many(door, _person(2), _person(1)).json
    alone = _one(door, _person(1)).json

    assert first[1] == {"id": first[0]["id"], "duplicate": True}
    assert again["results"] == [
        {"id": first[2]["id"], "duplicate": True},
        {"id": first[0]["id"], "duplicate": True},
    ]
    assert (again["queued"], again["ignored"]) == (2, 0)
    assert (alone["success"], alone["id"], alone["result"]["duplicate"]) == (True, first[0]["id"], True)
    assert len([row for row in door.rows(mail_recipients) if row.state == RecipientState.QUEUED]) == 2
    assert _received(door, "duplicate") == 4


def test_after_the_window_the_same_recipient_gets_another_letter(door: Door) -> None:
    first = _one(door, _person(1)).json["id"]
    door.clock.advance(timedelta(hours=24, seconds=1).total_seconds())

    assert _one(door, _person(1)).json["id"] != first


def test_an_address_that_was_refused_earlier_is_told_so(door: Door) -> None:
    _one(door, _person(1))
    (row,) = door.rows(mail_recipients)
    with door.ledger.write() as connection:
        address_suppressions.suppress_recipient(
            connection, row.id, reason="ADDRESS_REFUSED", who="test", now=START
        )
    door.clock.advance(timedelta(hours=25).total_seconds())

    many = _many(door, _person(1), _person(2)).json
    one = _one(door, _person(1)).json

    assert many["results"][0] == {"error": {"message": SUPPRESSED}}
    assert "id" in many["results"][1]
    assert (many["queued"], many["ignored"], many["success"]) == (1, 1, True)
    assert (one["success"], one["errors"]) == (False, [{"code": 1005, "description": SUPPRESSED}])
    assert _received(door, "suppressed") == 2


def test_fields_that_are_not_sent_on_are_named_in_the_answer(door: Door) -> None:
    answer = _many(door, {"address": _ADDRESS | {"email": "anna@example.com"}, "priority": 1})

    assert answer.json["results"][0]["leftOut"] == ["email", "priority"]


def test_the_campaign_reference_is_kept_with_the_recipient(door: Door) -> None:
    door.change(
        relay=replace(door.parts.relay, intake=door.relay_intake(campaign_field="individualisation3"))
    )

    _many(
        door, _ADDRESS | {"individualisation3": "spring"}, _ADDRESS | {"individualisation3": "s", "city": ""}
    )

    assert [row.campaign for row in door.rows(mail_recipients)] == ["spring", "s"]


@pytest.mark.parametrize(
    ("headers", "is_dry_run"),
    [
        ({}, False),
        ({"x-clearance-dry-run": "0"}, False),
        ({"x-clearance-dry-run": "false"}, False),
        ({"x-clearance-dry-run": " "}, False),
        ({"x-clearance-dry-run": "1"}, True),
        ({"x-clearance-dry-run": "true"}, True),
        ({"x-clearance-dry-run": "anything"}, True),
    ],
)
@pytest.mark.parametrize("send", [_one, _many], ids=["one", "many"])
def test_a_dry_run_is_asked_for_by_a_header_and_said_in_the_answer(
    door: Door, headers: dict[str, str], is_dry_run: bool, send: Any
) -> None:
    answer = send(door, _ADDRESS, headers=headers)

    assert answer.json.get("dryRun", False) is is_dry_run
    assert [row.is_dry_run for row in door.rows(mail_recipients)] == [is_dry_run]


def test_a_deployment_may_rehearse_everything(door: Door) -> None:
    door.change(relay=replace(door.parts.relay, intake=door.relay_intake(is_dry_run=True)))

    assert _one(door, _ADDRESS, headers={"x-clearance-dry-run": "0"}).json["dryRun"] is True


@pytest.mark.parametrize("route", [ONE_ROUTE, MANY_ROUTE])
def test_a_slash_at_the_end_makes_no_difference(door: Door, route: str) -> None:
    payload = _ADDRESS if route == ONE_ROUTE else {"addresses": [_ADDRESS]}

    assert _send(door, route + "/", payload).json["success"] is True

    (row,) = door.rows(mail_recipients)
    assert row.automation_id == _AUTOMATION
    assert door.metrics.counted("requests_accepted_total", route=route) == 1


def test_a_thousand_recipients_are_taken(door: Door) -> None:
    door.change(relay=replace(door.parts.relay, max_body_bytes=10**6))

    answer = _many(door, *(_person(number) for number in range(1000)))

    assert (answer.json["queued"], len(door.rows(mail_recipients))) == (1000, 1000)


# What is not


_LATIN_1 = '{"addresses": [{"address": {"city": "Köln"}}]}'.encode("latin-1")
_NOT_TAKEN: dict[str, tuple[str, bytes, str, int]] = {
    "nothing": (MANY_ROUTE, b"", "malformed", 1001),
    "not JSON": (MANY_ROUTE, b"addresses=1", "malformed", 1001),
    "half of JSON": (MANY_ROUTE, b'{"addresses": [', "malformed", 1001),
    "a template that was not filled in": (MANY_ROUTE, b'{"addresses": [,]}', "malformed", 1001),
    "Latin-1": (MANY_ROUTE, _LATIN_1, "malformed", 1001),
    "half a surrogate": (MANY_ROUTE, b'{"addresses": ["\\ud800"]}', "malformed", 1001),
    "nested too deep": (MANY_ROUTE, b"[" * 5000, "malformed", 1001),
    "not an object": (MANY_ROUTE, b"[]", "wrong_shape", 1003),
    "no addresses": (MANY_ROUTE, b"{}", "wrong_shape", 1003),
    "addresses that are none": (MANY_ROUTE, b'{"addresses": null}', "wrong_shape", 1003),
    "addresses in an object": (MANY_ROUTE, b'{"addresses": {"0": {}}}', "wrong_shape", 1003),
    "empty addresses": (MANY_ROUTE, b'{"addresses": []}', "wrong_shape", 1003),
    "1,001 addresses": (MANY_ROUTE, orjson.dumps({"addresses": [{}] * 1001}), "too_many", 1002),
    "a body beyond the limit": (MANY_ROUTE, b" " * (MAX_BODY_BYTES + 1), "too_large", 1002),
    "one: nothing": (ONE_ROUTE, b"", "malformed", 1001),
    "one: not an object": (ONE_ROUTE, b"[]", "wrong_shape", 1003),
    "one: many": (ONE_ROUTE, b'{"addresses": [{}]}', "wrong_shape", 1003),
}


@pytest.mark.parametrize("case", _NOT_TAKEN)
def test_a_body_that_cannot_be_read_is_answered_with_200_and_listed(
    door: Door, case: str, log_events: list[EventDict]
) -> None:
    route, body, reason, code = _NOT_TAKEN[case]

    answer = _send(door, route, body)

    assert (answer.status, answer.json["success"]) == (200, False)
    ((error),) = answer.json["errors"]
    assert error["code"] == code
    assert door.rows(mail_recipients) == []
    assert door.metrics.counted("requests_refused_total", route=route, reason=reason) == 1
    (kept,) = door.rows(tables.rejections)
    assert (kept.status, kept.reason, kept.route, kept.detail) == (200, reason, route, error["description"])
    assert [event["event"] for event in log_events] == ["request.refused"]


@pytest.mark.parametrize("headers", [{"content-length": "10000000"}, {"content-length": "9" * 5000}])
def test_a_body_that_says_it_is_too_large_is_read_to_its_end_before_the_answer(
    door: Door, headers: dict[str, str]
) -> None:
    """A caller that is cut off while it sends may not look at the answer, and would come again."""
    answer = _send(door, MANY_ROUTE, b"", headers=headers, chunks=[b" " * 1000] * 50)

    assert (answer.status, answer.json["errors"][0]["code"], answer.read) == (200, 1002, 50)


def test_a_slow_body_is_answered_with_200_too(door: Door) -> None:
    door.change(relay=replace(door.parts.relay, body_timeout_s=0.01))

    answer = _send(door, MANY_ROUTE, b"{", then="hang")

    assert (answer.status, answer.json["success"]) == (200, False)
    assert door.metrics.counted("requests_refused_total", route=MANY_ROUTE, reason="slow") == 1


@pytest.mark.parametrize("automation", ["", "/", "a/b", "{{ id }}", "a" * 65, "ä", "../x", "a b", "a\nb"])
@pytest.mark.parametrize("route", [ONE_ROUTE, MANY_ROUTE])
def test_whatever_stands_in_place_of_an_automation_is_answered_with_200(
    door: Door, route: str, automation: str
) -> None:
    answer = _send(door, route, b"{}", automation=automation)

    assert (answer.status, answer.json["success"], answer.json["errors"][0]["code"]) == (200, False, 1006)
    assert door.metrics.counted("requests_refused_total", route=route, reason="automation") == 1


_LOST = (
    "",
    "/",
    "/recipient",
    "/recipients/",
    f"/{_AUTOMATION}",
    f"/{_AUTOMATION}/recipientz",
    "/a/recipient/b",
)


@pytest.mark.parametrize("below", _LOST)
def test_a_path_that_is_none_of_ours_does_not_stop_the_webhook_and_is_listed(
    door: Door, below: str, log_events: list[EventDict]
) -> None:
    answer = _send(door, LOST_ROUTE + below, _person(1))

    assert (answer.status, answer.json["success"], answer.json["errors"][0]["code"]) == (200, False, 1006)
    assert door.rows(mail_recipients) == []
    assert door.metrics.counted("requests_refused_total", route=LOST_ROUTE, reason="path") == 1
    (kept,) = door.rows(tables.rejections)
    assert (kept.status, kept.reason, kept.route) == (200, "path", LOST_ROUTE)
    assert [event["event"] for event in log_events] == ["request.refused"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [LOST_ROUTE, ONE_ROUTE, MANY_ROUTE, MANY_ROUTE + "/"])
def test_another_method_is_answered_with_405_which_stops_no_webhook(
    door: Door, method: str, path: str
) -> None:
    answer = door.request(method, path.replace("{id}", _AUTOMATION), headers={"authorization": _KEY})

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    route = path.removesuffix("/")
    assert door.metrics.counted("requests_refused_total", route=route, reason="method") == 1


@pytest.mark.parametrize("authorization", ["", "Basic", "Basic !", "Bearer x", "Basic d3Jvbmc6"])
@pytest.mark.parametrize("route", [ONE_ROUTE, MANY_ROUTE, LOST_ROUTE + "/recipient"])
def test_without_a_key_nothing_is_kept_and_the_answer_is_401(
    door: Door, route: str, authorization: str
) -> None:
    answer = _send(door, route, _person(1), headers={"authorization": authorization})

    assert (answer.status, answer.json["success"]) == (401, False)
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.json["errors"][0]["code"] == 1007
    assert door.rows(mail_recipients) == []
    (kept,) = door.rows(tables.rejections)
    assert (kept.status, kept.reason, kept.body_bytes) == (401, "credentials", 0)


def test_when_the_ledger_is_away_the_caller_is_told_to_come_again(
    door: Door, log_events: list[EventDict]
) -> None:
    door.commits.away = 1

    answer = _many(door, _person(1))

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert (answer.json["success"], answer.json["errors"][0]["code"]) == (False, 1008)
    assert door.metrics.counted("requests_refused_total", route=MANY_ROUTE, reason="ledger_unavailable") == 1
    assert [event["event"] for event in log_events] == ["ledger.unavailable"]


def test_what_was_written_without_our_knowing_is_recognised_when_it_comes_again(door: Door) -> None:
    door.commits.unconfirmed = 1
    assert _many(door, _person(1)).status == 503

    again = _many(door, _person(1)).json

    (row,) = door.rows(mail_recipients)
    assert again["results"] == [{"id": row.id, "duplicate": True}]


def test_a_caller_that_goes_away_leaves_nothing_behind(door: Door) -> None:
    _send(door, MANY_ROUTE, b'{"addresses": [', then="disconnect")

    assert door.rows(mail_recipients) == []
    assert door.metrics.counted("requests_refused_total", route=MANY_ROUTE, reason="disconnected") == 1


def test_no_answer_about_a_request_and_no_log_repeats_what_was_sent(
    door: Door, log_events: list[EventDict]
) -> None:
    wrong = {"address": _ADDRESS | {"city": "secret\n1", "zipCode": ["secret"], "email": "secret"}}
    answers = [
        _many(door, wrong),
        _one(door, wrong),
        _one(door, b"secret"),
        _one(door, {}, automation="secret/1"),
    ]

    told = b"".join(answer.body for answer in answers).decode()
    kept = str([row.error for row in door.rows(mail_recipients)]) + str(door.rows(tables.rejections))
    for text in (told, kept, str(log_events)):
        assert "secret" not in text


def test_every_status_is_documented() -> None:
    for route in (ONE_ROUTE, MANY_ROUTE):
        assert set(openapi_document()["paths"][route]["post"]["responses"]) == {"200", "401", "503"}
