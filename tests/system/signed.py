"""Notifications made by hand, signed as the vendor signs them: for what the sandbox does not play.

Source: vendor page, "Notification Payload" of triggered campaigns (milliseconds outside, seconds in `events`).
"""

import hashlib
import hmac
import json
import time
import uuid

HEADER = "optimove-signature-content"


def notification(
    *, clock_ahead_s: float = 0.0, window_ms: int = 5000, country: str = "DE", request_uid: str = ""
) -> dict[str, object]:
    """One by a vendor whose clock is ahead of ours (behind: negative)."""
    now_ms = round((time.time() + clock_ahead_s) * 1000)
    return {
        "timestamp": now_ms,
        "conditional_execution_approval_deadline": now_ms + window_ms,
        "request_uid": request_uid or str(uuid.uuid4()),
        "is_hashed": False,
        "user": {"user_id": "C4711", "is_visitor": False, "personalization": {"country": country}},
        "occurrence": {
            "series_id": "4100",
            "occurrence_id": "91000",
            "tags": ["bonus"],
            "action": {
                "id": 2,
                "is_control": False,
                "promotions": [{"name": "10% bonus", "code": "BONUS10"}],
                "channels": [{"id": 15, "name": "Email", "brand_id": "main", "template": {"id": 700}}],
            },
        },
        "trigger_context": {
            "id": 300,
            "name": "Deposit",
            "events": [{"key": "d", "timestamp": now_ms // 1000}],
        },
    }


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The headers that go with `body`."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", HEADER: signature}


def as_json(payload: object) -> bytes:
    """Bytes as the vendor writes them, without white space."""
    return json.dumps(payload, separators=(",", ":")).encode()
