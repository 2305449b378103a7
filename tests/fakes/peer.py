"""An HTTP server on loopback that answers as a test tells it to: also late, half, slowly, or not at all.

One answer serves one request, in order; when none is left, 200 without a body. Nothing waits longer than `stop`.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, Queue

IDLE_S = 5.0
POLL_S = 0.02  # how soon a waiting connection notices that the test is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What arrived. Header names are in lower case; `connection` counts from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


Answer = Callable[[socket.socket, threading.Event], bool]
"""Answers one request; true if the connection stays open."""


def reply(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, ends: bool = False
) -> Answer:
    """A whole reply; with `ends` the connection is closed after it, though the reply did not say so."""
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return raw(head + body, ends=ends)


def raw(sent: bytes, *, ends: bool = True) -> Answer:
    """Exactly these bytes; by default the connection is closed after them."""

    def answer(connection: socket.socket, stopped: threading.Event) -> bool:
        connection.sendall(sent)
        return not ends

    return answer


def hang(connection: socket.socket, stopped: threading.Event) -> bool:
    """No answer."""
    stopped.wait(IDLE_S)
    return False


def reset(connection: socket.socket, stopped: threading.Event) -> bool:
    """A TCP reset in place of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def trickle(start: bytes, each: bytes, *, every_s: float) -> Answer:
    """`start`, and then `each` again and again."""

    def answer(connection: socket.socket, stopped: threading.Event) -> bool:
        connection.sendall(start)
        while not stopped.wait(every_s):
            connection.sendall(each)
        return False

    return answer


class Peer:
    """Listens until `stop`. `requests` are those that arrived whole."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.closed = threading.Semaphore(0)
        self._answers: Queue[Answer] = Queue()
        self._tls = tls
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def answers(self, *answers: Answer) -> None:
        for answer in answers:
            self._answers.put(answer)

    def wait_for_close(self) -> None:
        """Until the peer has closed one connection more."""
        assert self.closed.acquire(timeout=IDLE_S)

    def stop(self) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(IDLE_S)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        count = 0
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            count += 1
            self._start(self._serve, connection, count)

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.settimeout(IDLE_S)
        try:
            with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as served:
                served.settimeout(POLL_S)
                while self._serve_one(served, number):
                    pass
        except OSError:
            pass  # the client went away: some tests are about that
        self.closed.release()

    def _serve_one(self, connection: socket.socket, number: int) -> bool:
        received = self._receive(connection, b"")
        while received and b"\r\n\r\n" not in received:
            received = self._receive(connection, received)
        if not received:
            return False
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body = self._receive(connection, body)
        method, path, _ = first.split(" ")
        self.requests.append(Request(method=method, path=path, headers=headers, body=body, connection=number))
        try:
            answer = self._answers.get_nowait()
        except Empty:
            answer = reply(200)
        return answer(connection, self._stopped)

    def _receive(self, connection: socket.socket, before: bytes) -> bytes:
        """`before` and what came next; nothing if the client closed or the peer stops."""
        while not self._stopped.is_set():
            try:
                received = connection.recv(65536)
            except TimeoutError:
                continue
            return before + received if received else b""
        return b""
