"""A triggered notification as Optimove sends it, with made-up content."""

from datetime import datetime, timedelta
from typing import Any

import orjson

from clearance.optimove.signature import sign

SECRET = "abcdefg"


def epoch_ms(at: datetime) -> int:
    """Epoch milliseconds, exactly."""
    return round(at.timestamp() * 1000)


def triggered_payload(
    at: datetime,
    *,
    request_uid: str = "r-1",
    customer_id: str = "C1",
    budget: timedelta = timedelta(seconds=5),
    **attributes: object,
) -> dict[str, Any]:
    """The payload signed at `at`, with the deadline `budget` later."""
    return {
        "timestamp": epoch_ms(at),
        "conditional_execution_approval_deadline": epoch_ms(at + budget),
        "request_uid": request_uid,
        "is_hashed": False,
        "user": {"user_id": customer_id, "is_visitor": False, "personalization": attributes},
        "occurrence": {
            "series_id": 7,
            "occurrence_id": "o-1",
            "tags": ["welcome"],
            "action": {"id": 3, "is_control": False, "channels": [{"id": 15, "name": "Email"}]},
        },
        "trigger_context": {"name": "Signed up", "events": []},
    }


def triggered_body(at: datetime, **given: Any) -> bytes:
    """The same as the bytes of a request."""
    return orjson.dumps(triggered_payload(at, **given))


def signature(body: bytes, secret: str = SECRET) -> str:
    """What the vendor puts into the header."""
    return sign(body, secret)
