"""What `clearance.http.streamed` makes of a long reply: piece by piece, whole, slow, cut off, or left alone."""

from collections.abc import Iterator
from time import monotonic

import pytest

from clearance.errors import (
    ClearanceError,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.http.streamed import PIECE_BYTES, StreamedHttp
from tests.fakes.peer import Answer, Peer, hang, raw, reply, reset, trickle

pytestmark = pytest.mark.loopback

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"


@pytest.fixture
def http(peer: Peer) -> Iterator[StreamedHttp]:
    http = http_to(peer)
    yield http
    http.close()


def http_to(peer: Peer, silence_s: float = 2.0) -> StreamedHttp:
    return StreamedHttp("somebody", peer.url, {"X-API-KEY": "key"}, pool_size=1, silence_s=silence_s)


def read(http: StreamedHttp, total_s: float = 3.0) -> bytes:
    with http.stream("GET", "/path?a=b,c&$top=1", total_s=total_s) as streamed:
        return b"".join(streamed.pieces)


def read_until_broken(http: StreamedHttp, total_s: float = 3.0) -> tuple[bytes, ClearanceError]:
    got: list[bytes] = []
    with pytest.raises(ClearanceError) as caught:
        read_into(got, http, total_s)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return b"".join(got), caught.value


def read_into(got: list[bytes], http: StreamedHttp, total_s: float) -> None:
    with http.stream("GET", "/", total_s=total_s) as streamed:
        got.extend(streamed.pieces)


def test_a_long_reply_comes_in_pieces_with_its_status(http: StreamedHttp, peer: Peer) -> None:
    body = b"0123456789" * 200_000  # an exchange would take 1 MiB at most
    peer.answers(reply(206, body))
    with http.stream("GET", "/path?a=b,c&$top=1", total_s=10.0) as streamed:
        assert streamed.status == 206
        pieces = list(streamed.pieces)
    assert b"".join(pieces) == body
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    (request,) = peer.requests
    assert (request.method, request.path, request.body) == ("GET", "/path?a=b,c&$top=1", b"")
    assert request.headers["x-api-key"] == "key"


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"abc"),
        raw(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", ends=False),
        raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"),
    ],
    ids=["length", "chunks", "close"],
)
def test_a_whole_reply_ends_however_its_end_is_told(http: StreamedHttp, peer: Peer, answer: Answer) -> None:
    peer.answers(answer)
    assert read(http) == b"abc"


def test_an_empty_reply_has_no_pieces(http: StreamedHttp, peer: Peer) -> None:
    peer.answers(reply(204), reply(200))
    assert read(http) == read(http) == b""


def test_a_piece_is_given_as_soon_as_it_is_there(http: StreamedHttp, peer: Peer) -> None:
    peer.answers(trickle(HEAD + b"first", b"", every_s=0.01))
    with http.stream("GET", "/", total_s=3.0) as streamed:
        assert next(streamed.pieces) == b"first"


def test_a_connection_is_kept_after_a_whole_reply(http: StreamedHttp, peer: Peer) -> None:
    peer.answers(reply(200, b"abc"), reply(200), reply(404), reply(200, b"d"))
    assert read(http) == b"abc"
    read(http)
    read_until_broken(http)
    assert read(http) == b"d"
    assert [request.connection for request in peer.requests] == [1, 1, 1, 1]


def test_a_reply_that_is_left_before_its_end_costs_the_connection(http: StreamedHttp, peer: Peer) -> None:
    peer.answers(raw(HEAD + b"0123456789", ends=False), reply(200, b"next"))
    with http.stream("GET", "/", total_s=3.0) as streamed:
        next(streamed.pieces)
    peer.wait_for_close()  # at once, although somebody still holds the pieces
    assert read(http) == b"next"
    assert [request.connection for request in peer.requests] == [1, 2]


@pytest.mark.parametrize(
    ("answer", "before"),
    [
        (raw(HEAD + b"canary"), b"canary"),
        (raw(HEAD), b""),
        (raw(CHUNKED + b"6\r\ncanary\r\n"), b"canary"),
        (raw(CHUNKED + b"9\r\ncanary"), b"canary"),
        (raw(CHUNKED + b"6\r\ncanary\r\ncanary\r\n"), b"canary"),
    ],
    ids=["short", "none", "no last chunk", "short chunk", "no chunk"],
)
def test_a_reply_that_breaks_off_is_unavailable_after_what_did_arrive(
    http: StreamedHttp, peer: Peer, answer: Answer, before: bytes
) -> None:
    peer.answers(answer)
    got, error = read_until_broken(http)
    assert got == before
    assert isinstance(error, VendorUnavailable)
    assert read(http) == b""  # and the next one is clean


def test_silence_amid_a_reply_ends_it_long_before_the_total(peer: Peer) -> None:
    peer.answers(raw(HEAD + b"begun", ends=False), hang)
    http = http_to(peer, silence_s=0.1)
    for before in (b"begun", b""):
        began_s = monotonic()
        got, error = read_until_broken(http, total_s=30.0)
        assert (got, isinstance(error, VendorUnavailable)) == (before, True)
        assert "in time" in str(error)
        assert 0.09 <= monotonic() - began_s < 3.0


def test_a_slow_reply_is_read_on_while_no_silence_is_too_long_until_the_total(peer: Peer) -> None:
    peer.answers(trickle(CHUNKED, b"1\r\na\r\n", every_s=0.02))
    began_s = monotonic()
    got, error = read_until_broken(http_to(peer, silence_s=1.0), total_s=0.3)
    assert isinstance(error, VendorUnavailable)
    assert len(got) > 1
    assert 0.29 <= monotonic() - began_s < 0.95  # less than the silence that is allowed


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, VendorRefused),
        (404, VendorRefused),
        (401, VendorCredentialsRefused),
        (403, VendorCredentialsRefused),
        (429, VendorThrottled),
        (500, VendorUnavailable),
    ],
)
def test_other_answers_mean_what_they_mean_elsewhere(
    http: StreamedHttp, peer: Peer, status: int, expected: type[ClearanceError]
) -> None:
    peer.answers(reply(status, b"canary", {"Retry-After": "7"}))
    got, error = read_until_broken(http)
    assert (got, type(error)) == (b"", expected)
    assert getattr(error, "status", None) == status
    assert getattr(error, "retry_after_s", 7.0) == 7.0


@pytest.mark.parametrize("answer", [reset, raw(b""), raw(b"HTTP/1.1 20"), raw(b"canary\r\n\r\n")])
def test_an_exchange_that_breaks_before_the_body_is_unavailable(
    http: StreamedHttp, peer: Peer, answer: Answer
) -> None:
    peer.answers(answer)
    _, error = read_until_broken(http)
    assert isinstance(error, VendorUnavailable)


@pytest.mark.parametrize("total_s", [0.0, -1.0])
def test_without_time_nothing_is_sent(http: StreamedHttp, peer: Peer, total_s: float) -> None:
    _, error = read_until_broken(http, total_s)
    assert isinstance(error, VendorUnavailable)
    assert not error.may_have_arrived
    assert peer.requests == []
