"""What one HTTP exchange with somebody else's system means: a reply, or the error that says what to do.

In: method, path, body, and the longest that it may take. Out: status and body of a 2xx; anything else raises, with
the destination's name.

| what happens | raises |
|---|---|
| no address, no connection, certificate not trusted, no time left | `VendorUnavailable`, certainly not arrived |
| silence, a reset, half a reply, once sending began | `VendorUnavailable`, may have arrived |
| a reply longer than `max_reply_bytes` | `ReplyTooLong`, a `VendorUnavailable` that may have arrived |
| 429 | `VendorThrottled`, with `Retry-After` if there is one |
| 5xx | `VendorUnavailable` with the status, and `Retry-After` if there is one |
| 401, 403 | `VendorCredentialsRefused` |
| 3xx and any other 4xx | `VendorRefused` |

Nothing that has begun to be sent is sent again from here. A kept-alive connection that the other side has closed is
noticed before anything is sent (the socket is readable), and a fresh one is opened in its place: then the request
certainly was not processed. If it is closed in the instant between, a closed connection and a request that
was read but not answered look the same (RFC 9112, section 9.3.1), so the caller hears `may_have_arrived` and decides.

Error texts never hold what the other side wrote: that may be a customer's id.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ssl import SSLCertVerificationError
from time import monotonic

import urllib3
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError, SSLError

from clearance import tracing
from clearance.clock import Clock, utc_now
from clearance.errors import (
    ClearanceError,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.http.bounded_pool import open_pool

MAX_REPLY_BYTES = 1 << 20  # vendors answer approvals and webhooks in a few hundred
LONGEST_RETRY_AFTER_S = 86_400.0  # who means longer than a day is misread, or misconfigured
# Source: RFC 9110, 5.6.2.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CREDENTIAL_STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A 2xx. `latency_s` is from before connecting to after the last byte of the body."""

    status: int
    body: bytes
    latency_s: float


class ReplyTooLong(VendorUnavailable):
    """The other side answered 2xx with more than anybody reads: it is there, and asking again will not help."""


class _TooLongError(urllib3.exceptions.ProtocolError):
    pass


class BoundedHttp:
    """Keeps connections to one base URL; threads share it.

    Args:
        destination: Names the other side in errors: a vendor, a check. Never an address.
        headers: Sent with every request.
        silence_s: The longest wait for any byte; by default nothing shorter than the whole exchange.

    Raises:
        ValueError: The base URL or a header's value cannot be used. The text does not hold it.
    """

    def __init__(
        self,
        destination: str,
        base_url: str,
        headers: Mapping[str, str],
        *,
        pool_size: int,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        silence_s: float | None = None,
        now: Clock = utc_now,
    ) -> None:
        if not all(value.isascii() and value.isprintable() and value for value in headers.values()):
            raise ValueError("a header must be printable ASCII")
        if not all(map(_HEADER_NAME.fullmatch, headers)):
            raise ValueError("a header's name must be a token")
        self._destination = destination
        self._pool, self._prefix = open_pool(base_url, pool_size=pool_size, silence_s=silence_s)
        self._headers = dict(headers)
        self._max_reply_bytes = max_reply_bytes
        self._now = now

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request, once. It ends within about `timeout_s` (see `bounded_pool` for what is not bounded).

        `headers` are those of this request alone; they win over the others, and must be printable ASCII too.

        Raises:
            RetryLater, Park: See the module's table.
        """
        if timeout_s <= 0:
            raise VendorUnavailable(self._destination, "no time left to send", may_have_arrived=False)
        with tracing.span("vendor.call", vendor=self._destination):
            return self._exchanged(method, path, body, timeout_s, self._headers | dict(headers or {}))

    def _exchanged(
        self, method: str, path: str, body: bytes | None, timeout_s: float, headers: dict[str, str]
    ) -> Reply:
        began_s = monotonic()
        try:
            response = self._pool.urlopen(
                method,
                self._prefix + path,
                body=body,
                headers=headers,
                retries=False,
                assert_same_host=False,
                timeout=urllib3.Timeout(total=timeout_s),
                preload_content=False,
                decode_content=False,
            )
            if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                raise self._error(response)
            content = self._read(response)
        except urllib3.exceptions.HTTPError as error:
            # Not chained: the library's text may quote what the other side wrote.
            raise self._unavailable(error) from None
        return Reply(status=response.status, body=content, latency_s=monotonic() - began_s)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def _error(self, response: urllib3.BaseHTTPResponse) -> ClearanceError:
        status, retry_after = response.status, response.headers.get("Retry-After")
        # To the end, so that the connection can be used again; the status counts, however the body ends.
        with suppress(urllib3.exceptions.HTTPError):
            self._read(response)
        retry_after_s = None if retry_after is None else _seconds(retry_after, self._now())
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return VendorThrottled(self._destination, retry_after_s=retry_after_s)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            unavailable = VendorUnavailable(self._destination, f"{status} from the vendor", status=status)
            unavailable.retry_after_s = retry_after_s
            return unavailable
        if status in CREDENTIAL_STATUSES:
            return VendorCredentialsRefused(self._destination, status)
        return VendorRefused(self._destination, status)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """The whole body, as it was sent. The last, empty read is where a reply that is cut short shows itself."""
        content = b""
        while part := response.read(self._max_reply_bytes + 1 - len(content)):
            content += part
            if len(content) > self._max_reply_bytes:
                response.close()
                raise _TooLongError
        return content

    def _unavailable(self, error: Exception) -> VendorUnavailable:
        if isinstance(error, NewConnectionError | ConnectTimeoutError):
            return VendorUnavailable(self._destination, "no connection", may_have_arrived=False)
        if isinstance(error, ReadTimeoutError):
            return VendorUnavailable(self._destination, "no answer in time")
        if isinstance(error, SSLError) and isinstance(error.args[0], SSLCertVerificationError):
            return VendorUnavailable(self._destination, "certificate not trusted", may_have_arrived=False)
        if isinstance(error, _TooLongError):
            return ReplyTooLong(self._destination, "too long a reply")
        return VendorUnavailable(self._destination, f"exchange broken ({type(error).__name__})")


def _seconds(retry_after: str, now: datetime) -> float | None:
    """Seconds to wait, 0 to a day; None if it says neither seconds nor a date. Source: RFC 9110, 10.2.3."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A date with zone -0000 comes without one, and means UTC.
    left_s = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(0.0, left_s), LONGEST_RETRY_AFTER_S)
