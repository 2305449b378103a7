"""May this sender tell us of scheduled campaigns? Their notifications are not signed: a token is asked for.

In: the query and the header `Authorization` of a request, as they came. Out: nothing, or a `Reject` with 401.
Invariants: without a configured token nobody is let in; the comparison takes the same time whatever differs; no text
that leaves this module holds any part of what was sent.

The token is the query parameter `token`, or the password of Basic auth under any name. An operator registers the
listener's URL by hand, and it may come back percent-encoded. A plus sign in a query is a space to some and a plus to
others, so both readings count. Of several parameters `token` the first one counts.
Source: the HTML standard, "application/x-www-form-urlencoded", and RFC 3986 for the plus sign.
"""

import hmac
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from clearance.errors import Reject
from clearance.ingest.basic_auth import read_basic

PARAMETER = "token"
REASON = "credentials"


class ListenerToken:
    """Holds the token that the listener's URL was registered with; an empty one matches nothing."""

    def __init__(self, token: str) -> None:
        self._token = token.encode("utf-8", "surrogateescape")

    def matches(self, query: bytes, authorization: str | None) -> bool:
        """Whether the token is among what was sent."""
        is_match = False
        for given in (*_in_query(query), *_in_basic(authorization)):
            is_match |= hmac.compare_digest(self._token, given)
        return is_match and bool(self._token)

    def verify(self, query: bytes, authorization: str | None) -> None:
        """Return if it matches.

        Raises:
            Reject: 401, reason `credentials`. The sender's URL or our setting is wrong; answer and queue nothing.
        """
        if not self.matches(query, authorization):
            raise Reject(HTTPStatus.UNAUTHORIZED, REASON, "the listener's token is missing or wrong")


def _in_query(query: bytes) -> Iterator[bytes]:
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if unquote_to_bytes(name) == PARAMETER.encode():
            yield unquote_to_bytes(value)
            yield unquote_to_bytes(value.replace(b"+", b" "))
            return


def _in_basic(authorization: str | None) -> Iterator[bytes]:
    _, colon, password = read_basic(authorization).partition(b":")
    if colon:
        yield password
