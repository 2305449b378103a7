"""The door: what is acknowledged and how, what is refused and how, and that nothing else ever comes back."""

import asyncio
import threading
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, cast

import orjson
import pytest
from starlette.routing import Route
from structlog.typing import EventDict

from clearance.ingest.app import Readiness
from clearance.ingest.openapi import openapi_document
from clearance.ingest.relay_door import LOST_ROUTE
from clearance.ingest.triggered import ROUTE
from clearance.ledger import tables
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.notifications import Accepted
from clearance.obligations import MissedReason, State
from clearance.optimove.signature import HEADER
from clearance.publishing import BackgroundPublisher
from tests.fakes.asgi import Answer, call
from tests.fakes.clock import START
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.payloads import epoch_ms, signature, triggered_body, triggered_payload
from tests.unit.ingest.conftest import MAX_BODY_BYTES, Door

_RESPONSES = openapi_document()["paths"][ROUTE]["post"]["responses"]


def test_a_notification_is_committed_published_and_acknowledged(door: Door) -> None:
    body = triggered_body(START)

    answer = door.post(body)

    assert answer.status == 202
    assert answer.headers["content-type"] == "application/json"
    (kept,) = door.rows(tables.notifications)
    assert answer.json == {"accepted": True, "id": kept.id, "duplicate": False}
    assert (kept.kind, kept.vendor_id, kept.customer_id, kept.body) == ("triggered", "r-1", "C1", body)
    assert (kept.received_at, kept.signed_at) == (START, START)
    (owed,) = door.rows(tables.obligations)
    assert (owed.state, owed.lane, owed.subject) == (State.OPEN, "triggered", kept.id)
    assert owed.deadline_at == START + timedelta(seconds=5)
    assert owed.publish_at == START + timedelta(seconds=1)
    (due,) = door.published.due
    assert (due.obligation_id, due.task, due.trace_id) == (owed.id, owed.task, owed.trace_id)
    assert (due.deadline_at, due.eta, due.attempts) == (owed.deadline_at, None, 0)
    assert door.metrics.counted("requests_accepted_total", route=ROUTE) == 1
    assert len(door.metrics.observed("http_request_seconds", route=ROUTE, status=202)) == 1


def test_the_same_notification_again_is_acknowledged_with_the_first_ones_id(door: Door) -> None:
    body = triggered_body(START)
    first = door.post(body)
    door.clock.advance(1)

    again = door.post(body)

    assert again.status == 202
    assert again.json == {"accepted": True, "id": first.json["id"], "duplicate": True}
    assert len(door.rows(tables.obligations)) == len(door.published.due) == 1
    assert door.metrics.counted("requests_duplicate_total", route=ROUTE) == 1
    assert door.metrics.counted("requests_accepted_total", route=ROUTE) == 2


@pytest.mark.parametrize("budget_s", [-60.0, 0.0, 0.2])
def test_one_with_no_time_left_is_acknowledged_and_recorded_as_missed(
    door: Door, budget_s: float, log_events: list[EventDict]
) -> None:
    answer = door.post(triggered_body(START, budget=timedelta(seconds=budget_s)))

    assert answer.status == 202
    (owed,) = door.rows(tables.obligations)
    assert (owed.state, owed.reason) == (State.MISSED, MissedReason.PAST_ON_ARRIVAL)
    assert door.published.due == []
    assert door.metrics.counted("notifications_expired_total", route=ROUTE) == 1
    missed = door.metrics.counted(
        "obligations_missed_total", lane="triggered", reason=MissedReason.PAST_ON_ARRIVAL
    )
    assert missed == 1
    assert [event["event"] for event in log_events] == ["obligation.missed"]


def test_a_repeated_one_with_no_time_left_is_counted_once(door: Door) -> None:
    body = triggered_body(START, budget=timedelta(0))
    door.post(body)
    door.post(body)

    assert door.metrics.counted("notifications_expired_total", route=ROUTE) == 1


def test_the_deadline_is_the_earliest_reading(door: Door) -> None:
    door.post(triggered_body(START, request_uid="short", budget=timedelta(seconds=3)))
    door.post(triggered_body(START, request_uid="long", budget=timedelta(hours=3)))
    door.post(triggered_body(START + timedelta(seconds=2), request_uid="ahead", budget=timedelta(seconds=5)))

    deadlines = [owed.deadline_at - START for owed in door.rows(tables.obligations)]
    assert deadlines == [timedelta(seconds=3), timedelta(seconds=5), timedelta(seconds=5)]


# Refusals


def _without(*path: str) -> bytes:
    payload = triggered_payload(START)
    part: Any = payload
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return orjson.dumps(payload)


def _altered(**values: object) -> bytes:
    return orjson.dumps(triggered_payload(START) | values)


_OLD, _EARLY = START - timedelta(seconds=300.002), START + timedelta(seconds=300.002)
_REFUSED: dict[str, tuple[bytes, dict[str, Any], int, str]] = {
    "no signature": (triggered_body(START), {"signed": None}, 401, "signature"),
    "a wrong signature": (triggered_body(START), {"signed": "0" * 64}, 401, "signature"),
    "another's signature": (
        triggered_body(START),
        {"signed": signature(triggered_body(START), "other")},
        401,
        "signature",
    ),
    "a signature with letters from elsewhere": (
        triggered_body(START),
        {"signed": "é" * 64},
        401,
        "signature",
    ),
    "not fresh": (triggered_body(_OLD), {}, 401, "stale"),
    "from the future": (triggered_body(_EARLY), {}, 401, "stale"),
    "not JSON": (b"{", {}, 400, "malformed"),
    "empty": (b"", {}, 400, "malformed"),
    "not UTF-8": (b'{"request_uid": "\xff"}', {}, 400, "malformed"),
    "nested too deep": (b"[" * 5_000, {}, 400, "malformed"),
    "not an object": (b"[]", {}, 400, "malformed"),
    "a length that is no number": (b"{}", {"headers": {"content-length": "two"}}, 400, "malformed"),
    "a negative length": (b"{}", {"headers": {"content-length": "-1"}}, 400, "malformed"),
    "a length beyond the limit": (
        b"{}",
        {"headers": {"content-length": str(MAX_BODY_BYTES + 1)}},
        413,
        "too_large",
    ),
    "a length beyond all measure": (b"{}", {"headers": {"content-length": "9" * 5_000}}, 413, "too_large"),
    "a body beyond the limit": (b" " * (MAX_BODY_BYTES + 1), {}, 413, "too_large"),
    "no customer": (_without("user", "user_id"), {}, 422, "invalid"),
    "no deadline": (_without("conditional_execution_approval_deadline"), {}, 422, "invalid"),
    "seconds for milliseconds": (_altered(timestamp=int(START.timestamp())), {}, 422, "invalid"),
    "a customer that is a number": (_altered(user={"user_id": 1}), {}, 422, "invalid"),
}


@pytest.mark.parametrize("case", _REFUSED)
def test_a_refusal_says_why_and_leaves_nothing_behind(
    door: Door, case: str, log_events: list[EventDict]
) -> None:
    body, given, status, reason = _REFUSED[case]

    answer = door.post(body, **given)

    assert (answer.status, answer.json["error"]) == (status, reason)
    assert answer.json["accepted"] is False
    assert set(answer.json) - {"errors"} == {"accepted", "error", "detail"}
    assert ("errors" in answer.json) is (status == 422)
    assert str(status) in _RESPONSES
    assert door.rows(tables.notifications) == door.rows(tables.obligations) == []
    assert door.published.due == []
    assert door.metrics.counted("requests_refused_total", route=ROUTE, reason=reason) == 1
    (kept,) = door.rows(tables.rejections)
    assert (kept.status, kept.reason, kept.route, kept.at) == (status, reason, ROUTE, START)
    assert kept.detail == answer.json["detail"]
    assert [event["event"] for event in log_events] == ["request.refused"]


def test_an_invalid_one_is_told_its_errors_by_field(door: Door) -> None:
    answer = door.post(_altered(user={"user_id": 1}, timestamp="soon"))

    assert set(answer.json["errors"]) == {"user.user_id", "timestamp"}
    assert answer.json["errors"]["user.user_id"] == ["must be text of 1 to 256 characters"]


def test_no_refusal_repeats_or_keeps_what_was_sent(door: Door, log_events: list[EventDict]) -> None:
    payload = triggered_payload(START, customer_id="secret-customer", email="jane@example.com")
    payload["timestamp"] = "secret-time"
    body = orjson.dumps(payload)

    answers = [door.post(body), door.post(body, signed="secret-signature"), door.post(b"secret-body")]

    told = b"".join(answer.body for answer in answers).decode()
    kept = str(door.rows(tables.rejections))
    for text in (told, kept, str(log_events)):
        assert "secret" not in text
        assert "jane" not in text
    assert len(door.rows(tables.rejections)) == 3


def test_a_body_that_grows_too_large_is_refused_while_it_comes(door: Door) -> None:
    """It would never end: what is beyond the limit is not read."""
    chunks = [b" " * 1_000] * 50

    answer = door.post(b"", chunks=chunks, then="hang")

    assert answer.status == 413
    assert answer.read == 11


def test_a_body_that_comes_too_slowly_is_refused(door: Door) -> None:
    door.change(body_timeout_s=0.01)

    answer = door.post(b"", chunks=[b"{"], then="hang")

    assert (answer.status, answer.json["error"]) == (408, "slow")
    assert "408" in _RESPONSES
    assert len(door.rows(tables.rejections)) == 1


def test_a_body_in_pieces_is_put_together(door: Door) -> None:
    body = triggered_body(START)

    answer = door.post(body, chunks=[body[:1], b"", body[1:100], body[100:]])

    assert answer.status == 202


def test_nothing_is_waited_for_after_the_last_byte_of_a_stated_length(door: Door) -> None:
    body = triggered_body(START)

    answer = door.post(
        body, headers={"content-length": str(len(body))}, chunks=[body[:7], body[7:]], then="hang"
    )

    assert (answer.status, answer.read) == (202, 2)


def test_a_sender_that_goes_away_leaves_nothing_behind(door: Door) -> None:
    body = triggered_body(START)

    answer = door.post(body, chunks=[body[:10]], then="disconnect")

    assert answer.status == 400
    assert door.rows(tables.notifications) == []
    assert door.metrics.counted("requests_refused_total", route=ROUTE, reason="disconnected") == 1


# Trouble of our own


def _is_not_acknowledged(door: Door, answer: Answer) -> None:
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json == {"accepted": False, "error": "unavailable", "detail": "come again"}
    assert "503" in _RESPONSES
    assert door.published.due == []
    refused = door.metrics.counted("requests_refused_total", route=ROUTE, reason="ledger_unavailable")
    assert refused == 1
    assert door.metrics.counted("requests_accepted_total", route=ROUTE) == 0


def test_without_a_ledger_nothing_is_acknowledged(door: Door, log_events: list[EventDict]) -> None:
    door.commits.away = 1

    _is_not_acknowledged(door, door.post(triggered_body(START)))

    assert door.rows(tables.notifications) == []
    assert [event["event"] for event in log_events] == ["ledger.unavailable"]


def test_a_ledger_that_takes_too_long_is_not_waited_for(door: Door) -> None:
    waiting: list[Future[Any]] = []

    def never(_operation: object, _item: object) -> Future[Any]:
        waiting.append(Future())
        return waiting[0]

    door.commits.submit = never  # type: ignore[method-assign]
    door.change(acceptance=door.acceptance(cast(BackgroundPublisher, door.published), timeout_s=0.01))

    _is_not_acknowledged(door, door.post(triggered_body(START)))

    assert waiting[0].cancelled()  # it need not be written any more


def test_what_is_committed_after_the_answer_is_published_all_the_same(door: Door) -> None:
    """It is owed from the commit on; whoever committed it need not wait for the guardian."""
    commit: Future[Accepted] = Future()
    commit.set_running_or_notify_cancel()  # the group is being written: giving up does not stop it
    door.commits.submit = lambda _operation, _item: commit  # type: ignore[method-assign]
    door.change(acceptance=door.acceptance(cast(BackgroundPublisher, door.published), timeout_s=0.01))
    _is_not_acknowledged(door, door.post(triggered_body(START)))

    commit.set_result(Accepted(notification_id="n-1", is_duplicate=False))

    assert len(door.published.due) == 1


def test_after_a_ledger_that_took_too_long_the_next_one_is_served(door: Door) -> None:
    """The real group commit: who gave up must not stop it."""
    commits = GroupCommit(door.ledger, RecordingMetrics())
    door.commits.submit = commits.submit  # type: ignore[method-assign]
    publisher = cast(BackgroundPublisher, door.published)
    with door.ledger.write():  # somebody holds SQLite's only write lock
        door.change(acceptance=door.acceptance(publisher, timeout_s=0.01))
        assert door.post(triggered_body(START)).status == 503
    door.change(acceptance=door.acceptance(publisher))

    answer = door.post(triggered_body(START, request_uid="r-2"))

    assert answer.status == 202
    commits.close()


def test_a_sender_that_repeats_what_was_not_acknowledged_is_served(door: Door) -> None:
    door.commits.unconfirmed = 1  # written, but the commit was not confirmed
    body = triggered_body(START)

    assert door.post(body).status == 503
    again = door.post(body)

    assert (again.status, again.json["duplicate"]) == (202, True)
    assert len(door.rows(tables.obligations)) == 1


def test_a_broker_that_hangs_delays_no_answer(door: Door) -> None:
    come_back = threading.Event()
    publisher = BackgroundPublisher(lambda _batch: come_back.wait(60) and None)  # type: ignore[func-returns-value]
    door.change(acceptance=door.acceptance(publisher))

    answers = [door.post(triggered_body(START, request_uid=f"r-{number}")) for number in range(20)]

    assert [answer.status for answer in answers] == [202] * 20  # would not return otherwise
    come_back.set()
    publisher.close()


def test_many_at_once_are_all_answered(door: Door) -> None:
    commits = GroupCommit(door.ledger, RecordingMetrics())
    door.commits.submit = commits.submit  # type: ignore[method-assign]
    bodies = [triggered_body(START, request_uid=f"r-{number % 60}") for number in range(120)]

    async def all_at_once() -> list[Answer]:
        app = door.app
        return await asyncio.gather(
            *(call(app, "POST", ROUTE, headers={HEADER: signature(body)}, chunks=(body,)) for body in bodies)
        )

    answers = asyncio.run(all_at_once())

    assert {answer.status for answer in answers} == {202}
    assert sum(answer.json["duplicate"] for answer in answers) == 60
    assert len({answer.json["id"] for answer in answers}) == 60
    assert len(door.rows(tables.obligations)) == len(door.published.due) == 60
    commits.close()


# Skew


def test_a_skewed_clock_is_measured_and_told_once_a_minute(door: Door, log_events: list[EventDict]) -> None:
    for number in range(3):
        ahead = door.clock() + timedelta(seconds=2)
        door.post(triggered_body(ahead, request_uid=f"r-{number}"))
        door.clock.advance(30)

    assert door.metrics.level("clock_skew_seconds") == pytest.approx(2)
    told = [event for event in log_events if event["event"] == "clock.skewed"]
    assert [event["vendor_ahead_s"] for event in told] == [2.0, 2.0]


def test_the_window_of_freshness_is_open_to_its_ends(door: Door) -> None:
    for number, at in enumerate((START - timedelta(minutes=5), START + timedelta(minutes=5))):
        assert epoch_ms(at)
        assert door.post(triggered_body(at, request_uid=f"r-{number}")).status == 202


# Operations


def test_the_process_is_up(door: Door) -> None:
    answer = door.request("GET", "/healthz")

    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("readiness", "status"),
    [
        (Readiness(is_ready=True, checks={"ledger": "ok"}), 200),
        (Readiness(is_ready=False, checks={"ledger": "unavailable"}), 503),
    ],
)
def test_it_is_ready_when_it_can_acknowledge(door: Door, readiness: Readiness, status: int) -> None:
    door.readiness = readiness

    answer = door.request("GET", "/readyz")

    assert answer.status == status
    assert answer.json == {"ready": readiness.is_ready, "checks": readiness.checks}
    assert str(status) in openapi_document()["paths"]["/readyz"]["get"]["responses"]


def test_metrics_are_text(door: Door) -> None:
    answer = door.request("GET", "/metrics")

    assert (answer.status, answer.body) == (200, b"clearance_up 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_the_document_is_served_and_describes_every_route(door: Door) -> None:
    answer = door.request("GET", "/openapi.json")

    assert answer.status == 200
    assert answer.json == orjson.loads(orjson.dumps(openapi_document()))
    routes = {route.name for route in door.app.routes if isinstance(route, Route)}
    # Which is there for those who miss the others.
    assert set(answer.json["paths"]) == routes - {LOST_ROUTE}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    # Not a redirect: it would lead to a host of the caller's choice, and away from TLS.
    [("POST", "/nowhere", 404), ("POST", ROUTE + "/", 404), ("POST", "/healthz", 405)],
)
def test_what_is_not_served_is_said_so(door: Door, method: str, path: str, status: int) -> None:
    assert door.request(method, path).status == status


def test_a_wrong_method_is_counted_logged_and_listed(door: Door, log_events: list[EventDict]) -> None:
    answer = door.request("GET", ROUTE)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.json == {"accepted": False, "error": "method", "detail": "the method must be POST"}
    assert door.metrics.counted("requests_refused_total", route=ROUTE, reason="method") == 1
    assert [(row.route, row.status) for row in door.rows(tables.rejections)] == [(ROUTE, 405)]
    assert [event["event"] for event in log_events] == ["request.refused"]


def test_on_shutdown_everything_is_closed_in_order(door: Door) -> None:
    closed: list[str] = []
    door.change(on_shutdown=(lambda: closed.append("commits"), lambda: closed.append("publisher")))
    app = door.app

    async def live() -> None:
        async with app.router.lifespan_context(app):
            assert closed == []

    asyncio.run(live())

    assert closed == ["commits", "publisher"]
