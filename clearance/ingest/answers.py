"""What a sender is answered: one place where an outcome becomes a status and a body."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from clearance.errors import Reject
from clearance.ingest import listener_token

COME_AGAIN = {"Retry-After": "1"}
# Many clients send a name and a password only after they were asked (RFC 9110, section 11.6.1).
ASK_FOR_NAME = {"WWW-Authenticate": 'Basic realm="clearance", charset="UTF-8"'}


def acknowledged(the_id: str, *, is_duplicate: bool) -> Response:
    """202: it is in the ledger. The same id for the same thing, however often it is sent."""
    return as_json(202, {"accepted": True, "id": the_id, "duplicate": is_duplicate})


def ignored(the_id: str) -> Response:
    """202: it was recorded, and nothing will come of it."""
    return as_json(202, {"accepted": True, "id": the_id, "duplicate": False, "ignored": True})


def refused(reject: Reject, headers: dict[str, str] | None = None) -> Response:
    """4xx: the sender must act."""
    content: dict[str, Any] = {"accepted": False, "error": reject.reason, "detail": str(reject)}
    if reject.errors:
        content["errors"] = reject.errors
    return as_json(reject.status.value, content, headers or _headers_of(reject))


def _headers_of(reject: Reject) -> dict[str, str] | None:
    if reject.status is HTTPStatus.TOO_MANY_REQUESTS:
        return COME_AGAIN
    return ASK_FOR_NAME if reject.reason == listener_token.REASON else None


def unavailable() -> Response:
    """503: nothing is acknowledged."""
    content = {"accepted": False, "error": "unavailable", "detail": "come again"}
    return as_json(503, content, COME_AGAIN)


def as_json(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    """Any other answer."""
    return Response(orjson.dumps(content), status_code=status, headers=headers, media_type="application/json")
