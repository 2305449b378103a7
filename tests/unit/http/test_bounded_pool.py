"""How `clearance.http.bounded_pool` waits; `test_exchange` shows what that means for a whole exchange."""

import socket
from collections.abc import Iterator
from http.client import HTTPException
from time import monotonic

import pytest

from clearance.http.bounded_pool import _BoundedReply

HOUR_S = 3600.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets, ours and the vendor's."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_each_read_waits_for_what_is_left_of_the_exchange_only(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    ours.settimeout(HOUR_S)
    began_s = monotonic()
    reply = _BoundedReply(ours)
    left_s = []
    for line in (b"one\n", b"two\n"):
        theirs.sendall(line)
        assert reply.fp.readline() == line
        left_s.append(ours.gettimeout() or 0.0)
    reply.close()
    assert HOUR_S - (monotonic() - began_s) <= left_s[1] < left_s[0] < HOUR_S


def test_without_time_left_nothing_is_read_even_if_it_is_there(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    ours.settimeout(1e-9)
    reply = _BoundedReply(ours)
    with pytest.raises(TimeoutError):
        reply.begin()
    reply.close()


def test_a_socket_without_a_timeout_stays_without(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    reply = _BoundedReply(ours)
    theirs.sendall(b"HTTP/1.1 204 Nothing\r\n\r\n")
    reply.begin()
    reply.close()
    assert reply.status == 204
    assert ours.gettimeout() is None


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 103 Early Hints\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
    ],
    ids=["interim", "two in one", "two"],
)
def test_a_reply_of_which_nobody_can_tell_the_end_is_refused_with_its_headers(
    ends: tuple[socket.socket, socket.socket], head: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(head + b"\r\n")
    reply = _BoundedReply(ours)
    with pytest.raises(HTTPException, match="the end"):
        reply.begin()
    reply.close()
