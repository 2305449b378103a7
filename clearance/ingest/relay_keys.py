"""May this caller hand over letters? A key is asked for, as the user name of Basic auth.

In: the header `Authorization` of a request. Out: nothing, or a `Reject` with 401. Invariants: without a configured key
nobody is let in; the comparison takes the same time whichever key it is and whatever differs; no text that leaves this
module holds any part of what was sent.

The password plays no role, and may be missing with its colon: callers send none, a space or `-`.
Source: facts sheet, "auth".
"""

import hmac
from collections.abc import Sequence
from http import HTTPStatus

from clearance.errors import Reject
from clearance.ingest.basic_auth import read_basic

REASON = "credentials"


class RelayKeys:
    """Holds the keys that are valid now: several while callers change from one to the next."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(key.encode("utf-8", "surrogateescape") for key in keys if key)

    def verify(self, authorization: str | None) -> None:
        """Return if the caller has one of the keys.

        Raises:
            Reject: 401, reason `credentials`. The caller's key or our setting is wrong; answer and queue nothing.
        """
        given = read_basic(authorization).partition(b":")[0]
        is_match = False
        for key in self._keys:
            is_match |= hmac.compare_digest(key, given)
        if not (is_match and given):
            raise Reject(HTTPStatus.UNAUTHORIZED, REASON, "the key is missing or wrong")
