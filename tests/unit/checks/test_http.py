"""An `http` check over real connections: what each behaviour of the internal system means for each customer."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from structlog.typing import EventDict

from clearance.checks.destination import open_exchange
from clearance.decisions.decision import APPROVED, Customer, Verdict
from clearance.decisions.rules import HttpCheck, Otherwise
from tests.fakes.clock import ManualClock
from tests.fakes.peer import Answer, Peer, hang, raw, reply, reset
from tests.unit.checks.asking import (
    CHECK,
    FAILED,
    FAILED_AND_APPROVED,
    LEFT_OUT,
    Asking,
    customers,
    results,
    yes,
)

pytestmark = pytest.mark.loopback

HTML = b"<!doctype html><title>Sign in</title><p>canary C1 is approved</p>"


@pytest.fixture
def asking(clock: ManualClock) -> Asking:
    return Asking(clock)


def _asked(peer: Peer) -> list[list[str]]:
    """The customers of each request that arrived."""
    return [[each["customer_id"] for each in json.loads(got.body)["customers"]] for got in peer.requests]


def _keys(peer: Peer) -> list[str]:
    return [got.headers["idempotency-key"] for got in peer.requests]


def test_each_customer_gets_what_the_system_says(asking: Asking, peer: Peer) -> None:
    rows = (
        {"customer_id": "C2", "approved": False, "reason": "BONUS_WALLET_LOCKED"},
        {"customer_id": "C3", "approved": False, "reason": "Jane Doe"},
        {"customer_id": "C1", "approved": True},
    )
    peer.answers(reply(200, results(*rows)))
    verdicts = asking.over(peer).ask(asking.question(customers("C3", "C1", "C2")))
    assert verdicts == [
        Verdict(approved=False, reasons=("PROMOTION_NOT_ACTIVE",)),
        APPROVED,
        Verdict(approved=False, reasons=("PROMOTION_NOT_ACTIVE:BONUS_WALLET_LOCKED",)),
    ]
    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/promotions/activate")
    assert request.headers["content-type"] == "application/json"
    assert asking.calls("answered") == 1


def test_who_is_left_out_is_not_approved_though_errors_approve(asking: Asking, peer: Peer) -> None:
    peer.answers(yes("C1"))
    lenient = asking.over(peer, on_error=Otherwise.APPROVE)
    assert lenient.ask(asking.question(customers("C1", "C2"))) == [APPROVED, LEFT_OUT]


def test_an_answer_for_other_customers_helps_nobody_and_is_counted(
    asking: Asking, peer: Peer, log_events: list[EventDict]
) -> None:
    peer.answers(yes("canary1", "canary2"))
    assert asking.over(peer).ask(asking.question(customers("C1"))) == [LEFT_OUT]
    assert asking.metrics.counted("check_answers_ignored_total", check=CHECK.id) == 2
    assert {
        name: value for event in log_events for name, value in event.items() if name in ("event", "rows")
    } == {"event": "check.answered_unasked", "rows": 2}
    assert "canary" not in str(log_events)


def test_a_row_that_says_neither_follows_on_error_for_its_customer_alone(asking: Asking, peer: Peer) -> None:
    rows = ({"customer_id": "C1", "approved": "true"}, {"customer_id": "C2", "approved": True})
    peer.answers(reply(200, results(*rows)), reply(200, results(*rows)))
    question = asking.question(customers("C1", "C2"))
    assert asking.over(peer).ask(question) == [FAILED, APPROVED]
    lenient = asking.over(peer, on_error=Otherwise.APPROVE)
    assert lenient.ask(question) == [FAILED_AND_APPROVED, APPROVED]
    assert asking.failures("malformed") == 2


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, HTML, {"Content-Type": "text/html"}),
        reply(200, b'{"results": ['),
        reply(200, b"{}"),
        reply(204),
        reply(200, b" " * 1_100_000),
    ],
    ids=["html", "cut short", "no list", "nothing", "too long"],
)
def test_a_2xx_that_is_no_answer_follows_on_error_and_is_not_asked_for_again(
    asking: Asking, peer: Peer, answer: Answer, log_events: list[EventDict]
) -> None:
    peer.answers(answer, answer)
    question = asking.question(customers("C1", "C2"))
    assert asking.over(peer).ask(question) == [FAILED, FAILED]
    lenient = asking.over(peer, on_error=Otherwise.APPROVE)
    assert lenient.ask(question) == [FAILED_AND_APPROVED, FAILED_AND_APPROVED]
    assert len(peer.requests) == 2
    assert asking.failures("malformed") == asking.calls("malformed") == 2
    assert "canary" not in str(log_events)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(500, b"canary"), "server_error"),
        (reply(503), "server_error"),
        (reset, "no_answer"),
        (raw(b""), "no_answer"),
        (raw(b'HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n{"results":'), "no_answer"),
    ],
    ids=["500", "503", "reset", "closed", "half"],
)
def test_what_may_pass_is_asked_again_under_the_same_key(
    asking: Asking, peer: Peer, answer: Answer, why: str
) -> None:
    peer.answers(answer, answer, yes("C1"))
    assert asking.over(peer).ask(asking.question(customers("C1"))) == [APPROVED]
    assert len(peer.requests) == 3
    assert len(set(_keys(peer))) == 1
    assert {request.body for request in peer.requests} == {peer.requests[0].body}
    assert asking.paused_s == [0.05, 0.1]
    assert (asking.calls("failed"), asking.calls("answered"), asking.failures(why)) == (2, 1, 0)


def test_silence_ends_with_the_timeout_and_is_asked_again(asking: Asking, peer: Peer) -> None:
    peer.answers(hang, yes("C1"))
    began_s = monotonic()
    check = asking.over(peer, timeout_s=0.6)
    assert check.ask(asking.question(customers("C1"))) == [APPROVED]
    assert 0.55 <= monotonic() - began_s < 4.0
    assert len(set(_keys(peer))) == 1
    assert len(peer.requests) == 2


def test_an_attempt_never_takes_longer_than_what_is_left(asking: Asking, peer: Peer) -> None:
    peer.answers(hang)
    began_s = monotonic()
    check = asking.over(peer, timeout_s=60.0)
    assert check.ask(asking.question(customers("C1"), left_s=0.04)) == [FAILED]
    assert monotonic() - began_s < 2.0
    assert asking.failures("no_answer") == 1


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 422])
def test_a_refusal_is_not_asked_again(
    asking: Asking, peer: Peer, status: int, log_events: list[EventDict]
) -> None:
    peer.answers(reply(status, b"canary"))
    assert asking.over(peer).ask(asking.question(customers("C1"))) == [FAILED]
    assert len(peer.requests) == 1
    (event,) = log_events
    assert (event["event"], event["check"], event["why"], event["status"]) == (
        "check.failed",
        CHECK.id,
        "refused",
        status,
    )
    assert "canary" not in str(log_events)


def test_connections_are_kept_from_question_to_question_and_over_refusals(asking: Asking, peer: Peer) -> None:
    peer.answers(yes("C1"), reply(500, b"{}"), yes("C1"), reply(429, b"{}", {"Retry-After": "1"}), yes("C1"))
    check = asking.over(peer)
    for _ in range(3):
        assert check.ask(asking.question(customers("C1"))) == [APPROVED]
    assert [request.connection for request in peer.requests] == [1, 1, 1, 1, 1]


def test_429_holds_the_fleet_back_for_as_long_as_was_asked_and_is_asked_again(
    asking: Asking, peer: Peer
) -> None:
    peer.answers(reply(429, b"canary", {"Retry-After": "3"}), yes("C1"))
    asking.jitter = 0.0
    assert asking.over(peer).ask(asking.question(customers("C1"))) == [APPROVED]
    assert asking.cooldown.started == asking.paused_s == [3.0]
    assert len(set(_keys(peer))) == 1
    assert asking.metrics.counted("check_cooldowns_total", check=CHECK.id) == 1
    assert (asking.calls("throttled"), asking.calls("answered")) == (1, 1)


def test_many_customers_are_asked_in_batches_and_answered_in_their_order(asking: Asking, peer: Peer) -> None:
    peer.answers(yes("C1", "C2"), yes("C3"), yes("C5"))
    question = asking.question(customers("C5", "C4", "C3", "C2", "C1"))
    assert asking.over(peer, batch=2).ask(question) == [APPROVED, LEFT_OUT, APPROVED, APPROVED, APPROVED]
    assert _asked(peer) == [["C1", "C2"], ["C3", "C4"], ["C5"]]
    assert len(set(_keys(peer))) == 3


def test_another_order_makes_the_same_batches_with_the_same_keys(asking: Asking, peer: Peer) -> None:
    ids = ("C1", "C2", "C3", "C4", "C5")
    check = asking.over(peer, batch=2)
    for order in (ids, ids[::-1]):
        peer.answers(*(yes(*ids) for _ in range(3)))
        assert check.ask(asking.question(customers(*order))) == [APPROVED] * 5
    assert _keys(peer)[:3] == _keys(peer)[3:]


def test_a_customer_who_comes_twice_is_asked_about_once_as_first_told(asking: Asking, peer: Peer) -> None:
    peer.answers(yes("C1"))
    twice = [*customers("C2", "C1", "C2"), Customer(customer_id="C1", attributes={"country": "AT"})]
    assert asking.over(peer).ask(asking.question(twice)) == [LEFT_OUT, APPROVED, LEFT_OUT, APPROVED]
    assert _asked(peer) == [["C1", "C2"]]
    assert json.loads(peer.requests[0].body)["customers"][0]["attributes"] == {"country": "DE"}


def test_a_batch_that_fails_costs_the_others_nothing(asking: Asking, peer: Peer) -> None:
    peer.answers(yes("C1"), reply(404), yes("C3"))
    question = asking.question(customers("C1", "C2", "C3"))
    assert asking.over(peer, batch=1).ask(question) == [APPROVED, FAILED, APPROVED]


def test_batches_may_be_asked_at_once(asking: Asking, peer: Peer) -> None:
    both = threading.Barrier(2)

    def answer(connection: socket.socket, stopped: threading.Event) -> bool:
        both.wait(5)  # for the other: one after the other, it would end in an error
        return yes("C1", "C2")(connection, stopped)

    peer.answers(answer, answer)
    check = HttpCheck(id=CHECK.id, reason=CHECK.reason, url=peer.url, batch=1)
    with ThreadPoolExecutor(2) as pool:
        asked = asking.check(check, open_exchange(check, pool_size=2), at_once=pool.map)
        assert asked.ask(asking.question(customers("C1", "C2"))) == [APPROVED, APPROVED]


def test_nobody_there_is_unreachable_until_time_is_up(asking: Asking) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    check = HttpCheck(id=CHECK.id, reason=CHECK.reason, url=f"http://127.0.0.1:{port}")
    asked = asking.check(check, open_exchange(check, pool_size=1))
    assert asked.ask(asking.question(customers("C1"), left_s=0.1)) == [FAILED]
    assert asking.failures("unreachable") == 1
    assert asking.calls("failed") == 2


def test_no_customers_are_not_asked_about(asking: Asking, peer: Peer) -> None:
    assert asking.over(peer).ask(asking.question([])) == []
    assert peer.requests == []
