"""HTTP as no library would send it: bytes on a socket, and whatever comes back."""

import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit


def exchange(
    url: str, parts: Iterable[bytes], *, pause_s: float = 0.0, timeout_s: float = 15.0
) -> tuple[int, float]:
    """Send `parts`, with a pause after each, until an answer comes; its status (0: closed without one) and the seconds.

    The status is read as soon as it is there, even when not everything has been sent.
    """
    place = urlsplit(url)
    started = time.monotonic()
    with socket.create_connection((place.hostname or "", place.port or 80), timeout=timeout_s) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
                answer = _within(connection, pause_s)
                if answer:
                    break
            connection.settimeout(timeout_s)
            answer = answer or connection.recv(65_536)
        except (BrokenPipeError, ConnectionResetError):
            answer = answer or _left_over(connection)
    status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    return status, time.monotonic() - started


def abandon(url: str, part: bytes) -> None:
    """Send `part` and go away."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 80), timeout=5) as connection:
        connection.sendall(part)


def head(url: str, *lines: str) -> bytes:
    """The beginning of a POST to `url` with these header lines."""
    place = urlsplit(url)
    first = (f"POST {place.path} HTTP/1.1", f"Host: {place.netloc}", "Content-Type: application/json")
    return "\r\n".join((*first, *lines, "", "")).encode()


def chunk(content: bytes) -> bytes:
    """One chunk of a body without a stated length; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def _within(connection: socket.socket, pause_s: float) -> bytes:
    connection.settimeout(max(pause_s, 0.001))
    try:
        return connection.recv(65_536)
    except TimeoutError:
        return b""
    finally:
        connection.settimeout(15)


def _left_over(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except OSError:
        return b""
