"""How long may one exchange take, whatever the other side does? A urllib3 pool whose timeout is the whole exchange.

urllib3's timeout is per socket operation: a peer that sends a byte a second keeps a thread for ever. Here the
time that is left when the reply begins is measured once, and every read waits no longer than what remains of it,
through status line, headers and body, plain or TLS. Where `silence_s` is given, no read waits longer than that either:
for long replies, of which the total says little about whether they still come.

Bounded by `Timeout(total=...)`: TLS handshake, sending (what fits the kernel's buffers), and the reply.
Not bounded: the resolver (the operating system's own limits), and a name with several addresses that all swallow
the connection attempt (each is given the whole timeout; then the exchange ends).
"""

import io
import math
import socket
import ssl
from functools import partial
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url


class _BoundedStream(io.RawIOBase):
    """Reads from a socket until a moment on the monotonic clock, or a silence, and then raises TimeoutError."""

    def __init__(self, sock: socket.socket, stream: io.RawIOBase, ends_at_s: float, silence_s: float) -> None:
        super().__init__()
        self._sock = sock
        self._stream = stream
        self._ends_at_s = ends_at_s
        self._silence_s = silence_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left_s = self._ends_at_s - monotonic()
        if left_s <= 0:
            raise TimeoutError("the exchange took too long")
        self._sock.settimeout(min(left_s, self._silence_s))
        return self._stream.readinto(buffer)

    def close(self) -> None:
        # The socket stays open for as long as a stream that was made from it.
        self._stream.close()
        super().close()


class _BoundedReply(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, silence_s: float = math.inf, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        # urllib3 sets the socket's timeout to what is left of the total just before it makes the reply.
        left_s = sock.gettimeout()
        if left_s is not None:
            stream = self.fp.detach()
            self.fp = io.BufferedReader(_BoundedStream(sock, stream, monotonic() + left_s, silence_s))

    def begin(self) -> None:
        """Read status line and headers; refuse a reply of which nobody can tell where it ends.

        http.client takes 102 and 103 for the whole reply, so that the real one would answer the next request; and
        urllib3 notices two lengths only when nothing closes the socket any more.
        """
        super().begin()
        lengths = self.headers.get_all("Content-Length", ())
        if self.status < HTTPStatus.OK or len(lengths) > 1 or "," in "".join(lengths):
            raise HTTPException("the end of the reply cannot be told")


class _Connection(HTTPConnection):
    response_class = _BoundedReply


class _TlsConnection(HTTPSConnection):
    response_class = _BoundedReply


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def open_pool(
    base_url: str, *, pool_size: int, silence_s: float | None = None
) -> tuple[HTTPConnectionPool, str]:
    """A pool of kept-alive connections, and the path that `base_url` begins every path with ("" for none).

    Threads share it. More threads than `pool_size` work too, but the surplus connections are not kept.
    For https the certificate and the host name are verified, against the authorities that this machine trusts.

    Raises:
        ValueError: The URL is not `http(s)://host[:port][/path]`. Correct the setting.
    """
    try:
        url = parse_url(base_url)
    except LocationParseError:  # its text holds the URL
        url = Url()
    if url.scheme not in {"http", "https"} or not url.host or url.auth or url.query or url.fragment:
        raise ValueError("must be http(s)://host[:port][/path]")
    path = (url.path or "").rstrip("/")
    pool: HTTPConnectionPool
    if url.scheme == "http":
        pool = _Pool(url.host, url.port, maxsize=pool_size, block=False)
    else:
        # One context for all connections: loading the authorities takes longer than connecting.
        context = ssl.create_default_context()
        pool = _TlsPool(url.host, url.port, maxsize=pool_size, block=False, ssl_context=context)
    if silence_s is not None:
        pool.ConnectionCls = _with_silence(pool.ConnectionCls, silence_s)
    return pool, path


def _with_silence(connection: type[Any], silence_s: float) -> type[Any]:
    reply_class = staticmethod(partial(_BoundedReply, silence_s=silence_s))
    return type("_StreamConnection", (connection,), {"response_class": reply_class})
