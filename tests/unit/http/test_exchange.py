"""What `clearance.http.exchange` makes of whatever the other side does."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.errors import (
    ClearanceError,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.http.exchange import BoundedHttp, ReplyTooLong, _seconds
from tests.fakes.peer import Answer, Peer, hang, raw, reply, reset, trickle
from tests.services import service_required

pytestmark = pytest.mark.loopback

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CANARY = b"canary C234638"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n"


@pytest.fixture
def http(peer: Peer) -> Iterator[BoundedHttp]:
    http = http_to(peer.url)
    yield http
    http.close()


def http_to(url: str) -> BoundedHttp:
    return BoundedHttp("somebody", url, {"X-API-KEY": "key"}, pool_size=2, now=lambda: NOW)


def post(http: BoundedHttp, timeout_s: float = 2.0) -> bytes:
    return http.exchange("POST", "/path", b"{}", timeout_s=timeout_s).body


def failure(http: BoundedHttp, timeout_s: float = 2.0) -> ClearanceError:
    with pytest.raises(ClearanceError) as caught:
        post(http, timeout_s)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def unavailable(http: BoundedHttp, timeout_s: float = 2.0) -> VendorUnavailable:
    error = failure(http, timeout_s)
    assert isinstance(error, VendorUnavailable)
    return error


def test_a_success_is_given_with_status_body_and_latency(http: BoundedHttp, peer: Peer) -> None:
    peer.answers(reply(202, b'{"a": 1}'))
    began_s = monotonic()
    got = http.exchange("POST", "/path", b'{"sent": 1}', timeout_s=2.0)
    assert (got.status, got.body) == (202, b'{"a": 1}')
    assert 0 < got.latency_s <= monotonic() - began_s
    (request,) = peer.requests
    assert (request.method, request.path, request.body) == ("POST", "/path", b'{"sent": 1}')
    assert request.headers["x-api-key"] == "key"


def test_the_path_of_the_base_url_comes_first(peer: Peer) -> None:
    post(http_to(peer.url + "/tenant/"))
    assert peer.requests[0].path == "/tenant/path"


def test_connections_are_kept(http: BoundedHttp, peer: Peer) -> None:
    peer.answers(reply(200, b"{}"), reply(404, b"{}"), reply(500, b"{}"), reply(200))
    post(http)
    failure(http)
    failure(http)
    post(http)
    assert [request.connection for request in peer.requests] == [1, 1, 1, 1]


def test_a_connection_that_the_vendor_closed_before_is_replaced_unnoticed(
    http: BoundedHttp, peer: Peer
) -> None:
    peer.answers(reply(200, ends=True))
    post(http)
    peer.wait_for_close()
    post(http)
    assert [request.connection for request in peer.requests] == [1, 2]


def test_a_kept_connection_that_closes_on_the_request_is_not_tried_again(
    http: BoundedHttp, peer: Peer
) -> None:
    peer.answers(reply(200), raw(b""))
    post(http)
    assert unavailable(http).may_have_arrived
    assert len(peer.requests) == 2


def test_without_a_listener_the_request_certainly_did_not_arrive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = unavailable(http_to(f"http://127.0.0.1:{port}"))
    assert not error.may_have_arrived
    assert error.status is None


def test_a_connection_attempt_that_is_swallowed_certainly_did_not_arrive() -> None:
    # A listener whose queue is full answers no further attempt.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        error = unavailable(http_to(f"http://127.0.0.1:{listener.getsockname()[1]}"), timeout_s=0.1)
        for each in waiting:
            each.close()
    assert not error.may_have_arrived


def test_a_name_that_is_not_resolved_certainly_did_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert not unavailable(http_to("http://nowhere.invalid")).may_have_arrived


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_without_time_nothing_is_sent(http: BoundedHttp, peer: Peer, timeout_s: float) -> None:
    assert not unavailable(http, timeout_s).may_have_arrived
    assert peer.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        reset,
        raw(b""),
        raw(b"HTTP/1.1 20"),
        raw(HEAD),
        raw(HEAD + b"\r\n" + CANARY),
        raw(CANARY + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncanar"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n" + CANARY),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n" + CANARY),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + CANARY),
        raw(b"HTTP/1.1 103 Early Hints\r\n\r\n", ends=False),
        raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"\r\n"),
        reply(200, b"a" * 1_100_000),
    ],
    ids=range(15),
)
def test_an_exchange_that_breaks_may_have_arrived(http: BoundedHttp, peer: Peer, answer: Answer) -> None:
    peer.answers(answer)
    error = unavailable(http)
    assert error.may_have_arrived
    assert error.status is None
    assert post(http) == b""  # and the next one is clean


@pytest.mark.parametrize(
    "answer",
    [
        hang,
        trickle(b"", b"H", every_s=0.02),
        trickle(b"HTTP/1.1 200 OK\r\n", b"X: a\r\n", every_s=0.02),
        trickle(HEAD + b"\r\n", b"a", every_s=0.02),
        trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", every_s=0.02),
        trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n", every_s=0.02),
    ],
    ids=["silence", "status", "headers", "body", "chunks", "continues"],
)
def test_silence_and_trickling_end_with_the_timeout(http: BoundedHttp, peer: Peer, answer: Answer) -> None:
    peer.answers(answer)
    began_s = monotonic()
    error = unavailable(http, timeout_s=0.15)
    took_s = monotonic() - began_s
    assert error.may_have_arrived
    assert "in time" in str(error)
    assert 0.14 <= took_s < 1.0  # unbounded, it would go on until the test ends


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_a_5xx_is_unavailable_with_its_status(http: BoundedHttp, peer: Peer, status: int) -> None:
    peer.answers(reply(status, CANARY, {"Retry-After": "7"}))
    error = unavailable(http)
    assert (error.status, error.may_have_arrived, error.retry_after_s) == (status, True, 7.0)


@pytest.mark.parametrize("status", [401, 403])
def test_a_bad_key_is_credentials_refused(http: BoundedHttp, peer: Peer, status: int) -> None:
    peer.answers(reply(status, CANARY))
    error = failure(http)
    assert isinstance(error, VendorCredentialsRefused)
    assert error.status == status


@pytest.mark.parametrize("status", [301, 304, 307, 400, 404, 409, 422])
def test_other_answers_are_refusals_and_nothing_is_followed(
    http: BoundedHttp, peer: Peer, status: int
) -> None:
    peer.answers(reply(status, b"" if status == 304 else CANARY, {"Location": "/elsewhere"}))
    error = failure(http)
    assert isinstance(error, VendorRefused)
    assert error.status == status
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "expected_s"),
    [
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Mon, 02 Mar 2026 09:00:30 GMT", 30.0),
        ("Mon, 02 Mar 2026 09:00:30 -0000", 30.0),
        ("Mon, 02 Mar 2026 08:00:00 GMT", 0.0),
        ("9" * 400, 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u0663", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
def test_a_429_is_throttled_with_the_wait_that_was_asked_for(
    http: BoundedHttp, peer: Peer, retry_after: str | None, expected_s: float | None
) -> None:
    peer.answers(reply(429, CANARY, {} if retry_after is None else {"Retry-After": retry_after}))
    error = failure(http)
    assert isinstance(error, VendorThrottled)
    assert error.retry_after_s == expected_s


@given(
    st.text(max_size=40)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,30} [A-Z][a-z]{2} \d{1,30} \d\d:\d\d:\d\d .{0,20}")
)
def test_any_retry_after_is_a_wait_of_at_most_a_day_or_none(text: str) -> None:
    wait_s = _seconds(text, NOW)
    assert wait_s is None or 0 <= wait_s <= 86_400


def test_an_error_names_whom_it_is_about(http: BoundedHttp, peer: Peer) -> None:
    peer.answers(reply(500), reply(429), reply(401), reply(404), reset)
    assert all(str(failure(http)).startswith("somebody: ") for _ in range(5))


def test_too_long_a_reply_is_told_from_one_that_breaks_and_costs_the_connection(peer: Peer) -> None:
    http = BoundedHttp("somebody", peer.url, {}, pool_size=1, max_reply_bytes=10)
    peer.answers(reply(200, b"a" * 10), reply(200, b"a" * 1000), reset)
    assert post(http) == b"a" * 10
    assert isinstance(failure(http), ReplyTooLong)
    assert not isinstance(failure(http), ReplyTooLong)
    assert [request.connection for request in peer.requests] == [1, 1, 2]


def test_a_header_of_one_request_wins_and_is_gone_with_the_next(http: BoundedHttp, peer: Peer) -> None:
    http.exchange("POST", "/path", b"", timeout_s=2.0, headers={"X-API-KEY": "other", "X-One": "1"})
    post(http)
    seen = [(request.headers["x-api-key"], request.headers.get("x-one")) for request in peer.requests]
    assert seen == [("other", "1"), ("key", None)]


def test_a_status_counts_however_its_body_ends(http: BoundedHttp, peer: Peer) -> None:
    peer.answers(raw(b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 9\r\n\r\nabc"))
    error = failure(http)
    assert isinstance(error, VendorThrottled)
    assert error.retry_after_s == 3.0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "optimove",
        "ftp://h",
        "//h",
        "http://",
        "http://user:canary@h",
        "http://h?canary=1",
        "http://h#c",
        "http://h:canary",
    ],
)
def test_a_base_url_that_cannot_be_used_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="http") as caught:
        http_to(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "canary\r\nX: y", "canary\n", "canary\u00fc", "canary\0"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        BoundedHttp("somebody", "http://127.0.0.1:1", {"X-API-KEY": key}, pool_size=1)
    assert "canary" not in str(caught.value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    if shutil.which("openssl") is None:
        service_required("openssl", "it is not on the path")
    path = tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    )
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True, timeout=20)
    path.write_bytes(path.read_bytes() + path.with_name("certificate.pem.crt").read_bytes())
    return path


@pytest.fixture
def tls_peer(certificate: Path) -> Iterator[Peer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    peer = Peer(context)
    yield peer
    peer.stop()


def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(tls_peer: Peer) -> None:
    error = unavailable(http_to(tls_peer.url))
    assert not error.may_have_arrived
    assert "certificate" in str(error)
    assert tls_peer.requests == []


def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(
    tls_peer: Peer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert not unavailable(http_to(tls_peer.url.replace("127.0.0.1", "localhost"))).may_have_arrived
    assert tls_peer.requests == []


def test_over_tls_connections_are_kept_and_trickling_ends_with_the_timeout(
    tls_peer: Peer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    http = http_to(tls_peer.url)
    tls_peer.answers(reply(200, b"{}"), trickle(HEAD + b"\r\n", b"a", every_s=0.02))
    assert post(http) == b"{}"
    began_s = monotonic()
    assert unavailable(http, timeout_s=0.15).may_have_arrived
    assert monotonic() - began_s < 1.0
    assert [request.connection for request in tls_peer.requests] == [1, 1]
