"""What no sender should send: a clear 4xx, nothing queued, nothing kept of it, and the process as healthy as before."""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system import raw_http
from tests.system.fleet import SECRET, Fleet
from tests.system.processes import until
from tests.system.signed import HEADER, as_json, notification, signed
from tests.system.told import EVENTS, SEND_GROUPS, TOKEN, event, send_group

pytestmark = pytest.mark.timeout(90)

_MAX_BODY_BYTES = 262_144
_GROWTH_BYTES = 48 * 1024 * 1024


@pytest.fixture(autouse=True)
def _stays_healthy(fleet: Fleet) -> Iterator[None]:
    """After every test: the same process, not grown; nothing queued; a good notification is still answered."""
    ingest, owed, before = fleet["ingest"], fleet.ledger.count(""), fleet["ingest"].resident_bytes
    pid = ingest.pid
    yield
    assert (ingest.is_alive, ingest.pid) == (True, pid)
    assert fleet.get("/healthz").status == 200
    grown = ingest.resident_bytes - before
    assert grown < _GROWTH_BYTES, f"grown by {grown} bytes"
    assert fleet.ledger.count("") == owed
    # Soon: what the test before has left may still be under way.
    until(lambda: fleet.queued() == 0, "nothing is queued", timeout_s=10)
    assert fleet.lost() == []
    body = as_json(notification())
    assert fleet.post(body, signed(body, SECRET)).status == 202


_DEEP = 100_000
_MALFORMED = {
    "nothing": b"",
    "not JSON": b"approve=true&customer=C1",
    "half of JSON": as_json(notification())[:200],
    "two documents": b"{}{}",
    "an array": b"[]",
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"timestamp": NaN}',
    "bad UTF-8": b'{"request_uid": "\xff\xfe"}',
    "half of a character": b'{"request_uid": "\xc3"}',
    "UTF-16": '{"request_uid": "a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "100,000 arrays deep": b"[" * _DEEP + b"]" * _DEEP,
    "100,000 arrays that never end": b"[" * _DEEP,
    "40,000 objects deep": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "deep where nobody looks": as_json(notification())[:-1] + b',"notes":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "random bytes": random.Random(4711).randbytes(5000),
}


@pytest.mark.parametrize("name", _MALFORMED)
def test_what_is_not_a_json_object_is_refused_as_malformed(fleet: Fleet, name: str) -> None:
    body = _MALFORMED[name]
    answer = fleet.post(body, signed(body, SECRET))
    assert (answer.status, answer.json()["error"]) == (400, "malformed")
    _is_listed(fleet, 400, "malformed", len(body))


_WRONG: dict[str, tuple[dict[str, object], str]] = {
    "no timestamp": ({"timestamp": None}, "timestamp"),
    "a timestamp as text": ({"timestamp": "1700000000000"}, "timestamp"),
    "a timestamp in seconds": ({"timestamp": 1_700_000_000}, "timestamp"),
    "a timestamp that is infinite": ({"timestamp": 10**300}, "timestamp"),
    "a deadline as a fraction": ({"conditional_execution_approval_deadline": 1.5}, "conditional"),
    "an id that is a number": ({"request_uid": 7}, "request_uid"),
    "an id that is empty": ({"request_uid": ""}, "request_uid"),
    "an id of 10,000 characters": ({"request_uid": "x" * 10_000}, "request_uid"),
    "an id with U+0000": ({"request_uid": "a\0b"}, "request_uid"),
    "a user that is a list": ({"user": ["C1"]}, "user"),
    "a user without an id": ({"user": {}}, "user.user_id"),
    "an occurrence that is text": ({"occurrence": "91000"}, "occurrence"),
    "attributes that are a list": ({"user": {"user_id": "C1", "personalization": []}}, "personalization"),
    "a true that is a 1": ({"occurrence": {"action": {"is_control": 1}}}, "is_control"),
}


@pytest.mark.parametrize("name", _WRONG)
def test_wrong_types_are_refused_with_the_field_and_without_its_value(fleet: Fleet, name: str) -> None:
    changes, field = _WRONG[name]
    body = as_json(notification() | changes)
    answer = fleet.post(body, signed(body, SECRET))
    told = answer.json()
    assert (answer.status, told["error"]) == (422, "invalid")
    assert any(field in path for path in told["errors"]), told
    _is_listed(fleet, 422, "invalid", len(body))


_SIGNATURES: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {HEADER: ""},
    "of another secret": {HEADER: signed(b"{}", "another")[HEADER]},
    "of another body": {HEADER: signed(b"[]", SECRET)[HEADER]},
    "in upper case": {HEADER: signed(b"{}", SECRET)[HEADER].upper()},
    "with a prefix": {HEADER: "sha256=" + signed(b"{}", SECRET)[HEADER]},
    "of 30,000 characters": {HEADER: "a" * 30_000},
    "not in ASCII": {HEADER: "ä" * 64},
}


@pytest.mark.parametrize("name", _SIGNATURES)
def test_a_body_without_a_good_signature_is_refused_before_it_is_read(fleet: Fleet, name: str) -> None:
    answer = fleet.post(b"{}", {"Content-Type": "application/json"} | _SIGNATURES[name])
    assert (answer.status, answer.json()["error"]) == (401, "signature")
    _is_listed(fleet, 401, "signature", 2)


_NO_HEADS_UP: dict[str, dict[str, object]] = {
    "no time": send_group() | {"timestamp": None},
    "a time in epoch seconds": send_group() | {"timestamp": 1_700_000_000},
    "a day that there is not": send_group() | {"timestamp": "2026-02-30 10:00:00"},
    "a group without a deadline": send_group() | {"send_group": {"id": 1}},
    "a group of -1 customers": send_group(customers=-1),
    "a group of 2**31 customers": send_group(customers=2**31),
    "an id of 10,000 characters": send_group(group="x" * 10_000),
    "an id with U+0000": send_group(group="a\0b"),
    "an id that is a fraction": send_group(group=1.5),
    "an occurrence that is text": send_group() | {"occurrence": "222"},
}
_NO_EVENT: dict[str, dict[str, object]] = {
    "no type": event() | {"EventTypeID": None},
    "a type that is a list": event() | {"EventTypeID": [5]},
    "a deadline as text": event() | {"ClearanceRequiredBy": "soon"},
    "a campaign of 10,000 characters": event(campaign="x" * 10_000),
    "a cancellation of nothing": {"EventTypeID": 4},
}


@pytest.mark.parametrize(("api", "route"), [("v2", SEND_GROUPS), ("v1", EVENTS)])
def test_what_is_no_heads_up_is_refused_and_the_token_is_not_logged(
    fleet: Fleet, api: str, route: str
) -> None:
    own = {"CLEARANCE_OPTIMOVE_LISTENER_TOKEN": TOKEN, "CLEARANCE_SCHEDULED_API": api}
    with fleet.second_ingest(own) as webhook_url:
        url = webhook_url.replace("/webhooks/optimove/triggered", f"{route}?token={TOKEN}")
        for name, body in _MALFORMED.items():
            answer = fleet.post(body, {}, url=url)
            assert (answer.status, answer.json()["error"]) == (400, "malformed"), name
        for name, payload in (_NO_HEADS_UP if api == "v2" else _NO_EVENT).items():
            answer = fleet.post(as_json(payload), {}, url=url)
            assert (answer.status, answer.json()["error"]) == (422, "invalid"), name
        assert fleet.post(b" " * (_MAX_BODY_BYTES + 1), {}, url=url).status == 413
        logged = fleet["ingest2"].all_output()
    assert logged.count("request.refused") >= len(_MALFORMED)
    assert TOKEN not in logged


def test_a_scheduled_notification_without_the_token_or_for_the_other_api_is_refused(fleet: Fleet) -> None:
    body = as_json(send_group())
    with fleet.second_ingest({"CLEARANCE_OPTIMOVE_LISTENER_TOKEN": TOKEN}) as webhook_url:
        place = webhook_url.removesuffix("/webhooks/optimove/triggered")
        for query in ("", "?token=", "?token=wrong", f"?Token={TOKEN}", "?token=%FF" * 1000):
            answer = fleet.post(body, {}, url=f"{place}{SEND_GROUPS}{query}")
            assert (answer.status, answer.json()["error"]) == (401, "credentials"), query
        _is_listed(fleet, 401, "credentials", len(body))
        answer = fleet.post(as_json(event()), {}, url=f"{place}{EVENTS}?token={TOKEN}")
        assert (answer.status, answer.json()["error"]) == (409, "other_api")
        _is_listed(fleet, 409, "other_api", len(as_json(event())))


def test_while_no_token_is_configured_nobody_tells_of_scheduled_campaigns(fleet: Fleet) -> None:
    for route in (SEND_GROUPS, EVENTS):
        url = f"{fleet.ingest_url}{route}?token="
        answer = fleet.post(as_json(send_group()), {}, url=url)
        assert (answer.status, answer.json()["error"]) == (401, "credentials")


def test_ten_megabytes_are_refused_by_their_stated_length_before_they_are_sent(fleet: Fleet) -> None:
    url = fleet.webhook_url
    status, took_s = raw_http.exchange(url, [raw_http.head(url, "Content-Length: 10485760") + b"x" * 1000])
    assert status == 413
    assert took_s < 1
    _is_listed(fleet, 413, "too_large", 0)


def test_ten_megabytes_sent_in_full_are_refused(fleet: Fleet) -> None:
    url = fleet.webhook_url
    parts = [raw_http.head(url, "Content-Length: 10485760"), *[b"x" * 65_536] * 160]
    status, took_s = raw_http.exchange(url, parts)
    assert status == 413
    assert took_s < 5


def test_a_body_without_a_stated_length_is_refused_as_soon_as_it_is_too_large(fleet: Fleet) -> None:
    url = fleet.webhook_url
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        yield raw_http.head(url, "Transfer-Encoding: chunked")
        for _ in range(1000):
            sent += 16_384
            yield raw_http.chunk(b"x" * 16_384)

    status, took_s = raw_http.exchange(url, parts(), pause_s=0.01)
    fleet.note(f"refused with {status} after {sent} bytes and {took_s:.2f} s")
    assert status == 413
    assert sent < 4 * _MAX_BODY_BYTES


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 99999999999999999999999999",),
        ("Content-Length: 9223372036854775807",),
        ("Content-Length: -1",),
        ("Content-Length: 0x10",),
        ("Content-Length: abc",),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: gzip",),
    ],
    ids=" and ".join,
)
def test_an_absurd_length_is_refused(fleet: Fleet, lines: tuple[str, ...]) -> None:
    url = fleet.webhook_url
    status, took_s = raw_http.exchange(url, [raw_http.head(url, *lines) + b"{}"])
    fleet.note(f"{lines}: {status} after {took_s:.2f} s")
    assert status in (400, 413)
    assert took_s < 1


def test_a_body_that_trickles_is_refused_when_its_time_is_over_and_holds_up_nobody(fleet: Fleet) -> None:
    with fleet.second_ingest({"CLEARANCE_INGEST_BODY_TIMEOUT_S": "1.0"}) as url:

        def trickle(_: int) -> tuple[int, float]:
            parts = [raw_http.head(url, "Content-Length: 1000"), *[b"x"] * 100]
            return raw_http.exchange(url, parts, pause_s=0.1)

        with ThreadPoolExecutor(50) as pool:
            slow = [pool.submit(trickle, number) for number in range(50)]
            body, started = as_json(notification()), time.monotonic()
            # Refused for its signature: what is asked here is only whether it is served.
            assert fleet.post(body, {}, url=url).status == 401
            assert time.monotonic() - started < 0.8
            answers = [each.result() for each in slow]
    fleet.note(
        f"slow bodies: {sorted({status for status, _ in answers})}, at most {max(t for _, t in answers):.2f} s"
    )
    assert {status for status, _ in answers} <= {0, 408}
    assert 408 in {status for status, _ in answers}
    assert max(took_s for _, took_s in answers) < 4


def test_a_sender_that_goes_away_in_the_middle_leaves_nothing(fleet: Fleet) -> None:
    url = fleet.webhook_url
    for _ in range(50):
        raw_http.abandon(url, raw_http.head(url, "Content-Length: 1000") + b"{")


def test_unknown_routes_and_methods_are_refused(fleet: Fleet) -> None:
    assert fleet.get("/nowhere").status == 404
    assert fleet.get("/webhooks/optimove/triggered").status == 405


def test_a_flood_of_refused_requests_is_kept_within_bounds(fleet: Fleet) -> None:
    def send(_: int) -> int:
        return fleet.post(b"{}", {HEADER: "wrong"}).status

    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(send, range(1500)))
    assert statuses == {401}
    kept = json.loads(fleet.command("rejected", "list", "--last", "5000", "--json"))
    fleet.note(f"{len(kept)} kept of a flood")
    assert len(kept) <= 1000


def _is_listed(fleet: Fleet, status: int, reason: str, body_bytes: int) -> None:
    def newest() -> list[tuple[int, str, int]]:
        return [(row.status, row.reason, row.body_bytes) for row in fleet.ledger.rejections()[:5]]

    until(lambda: (status, reason, body_bytes) in newest(), f"{reason} is listed", timeout_s=3)


def test_refused_requests_are_listed_by_the_command_without_their_content(fleet: Fleet) -> None:
    body = b'{"user": {"user_id": "very-private"}}'
    assert fleet.post(body, signed(body, SECRET)).status == 422
    _is_listed(fleet, 422, "invalid", len(body))
    told = fleet.command("rejected", "list", "--last", "20", "--json")
    newest = json.loads(told)[0]
    assert newest.keys() == {"at", "route", "status", "reason", "detail", "body_bytes"}
    assert (newest["status"], newest["reason"]) == (422, "invalid")
    assert (newest["route"], newest["body_bytes"]) == ("/webhooks/optimove/triggered", len(body))
    assert "very-private" not in told
