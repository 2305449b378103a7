"""How is a reply read that is too long to be held? Piece by piece, as it arrives, with a bound on every silence.

What happens until the body begins, and what it raises, is the table of `exchange`. After that a body that stops, breaks
or ends too early raises `VendorUnavailable` from the iterator, after every byte that did arrive. A body without a
length that simply ends looks whole: only who knows its form can tell, and must.

Bounds: `silence_s` for each wait, the one for the first byte included; `total_s` for all of it. The time that the
reader takes between two pieces counts into the total, not as silence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import urllib3

from clearance.errors import VendorUnavailable
from clearance.http.exchange import BoundedHttp

PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedReply:
    """A 2xx whose body is still to come: `pieces`, of at most `PIECE_BYTES` each, none empty, read once."""

    status: int
    pieces: Iterator[bytes]


class StreamedHttp(BoundedHttp):
    """Exchanges, and replies that are read as they arrive. Made like a `BoundedHttp`, with its `silence_s`."""

    @contextmanager
    def stream(self, method: str, path: str, *, total_s: float) -> Iterator[StreamedReply]:
        """Send one request without a body, once, and read the reply inside the `with`.

        A reply that is left before its end costs the connection.

        Raises:
            RetryLater, Park: See the table of `exchange`; and `VendorUnavailable` from `pieces`, when they break off.
        """
        if total_s <= 0:
            raise VendorUnavailable(self._destination, "no time left to send", may_have_arrived=False)
        try:
            response = self._pool.urlopen(
                method,
                self._prefix + path,
                headers=self._headers,
                retries=False,
                assert_same_host=False,
                timeout=urllib3.Timeout(total=total_s),
                preload_content=False,
                decode_content=False,
            )
            if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                raise self._error(response)
        except urllib3.exceptions.HTTPError as error:
            # Not chained: the library's text may quote what the other side wrote.
            raise self._unavailable(error) from None
        try:
            yield StreamedReply(status=response.status, pieces=self._pieces(response))
        finally:
            # After the last piece it has gone back to the pool already; before it, nobody could use it again.
            response.close()

    def _pieces(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        while True:
            try:
                piece = response.read1(PIECE_BYTES)
            except urllib3.exceptions.HTTPError as error:
                raise self._unavailable(error) from None
            if not piece:
                return
            yield piece
