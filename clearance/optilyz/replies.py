"""What does Optilyz say to many recipients: which letters it took, and which it refused?

In: the body of a 2xx, and how many recipients were sent. Out: one result for each, in the order in which they were
sent; or `AmbiguousReply`: whoever cannot tell letter by letter must not guess, because a letter that is sent again is
printed again. So nothing is read into a reply of another shape, not even into a part of it.

Source: facts sheet, "reply (many)": `{"requestId", "results": [{"id"} or {"error": {"message"}}]}`, positional; a 2xx
can hold failures. A message may quote the address: it belongs into the ledger, and into no log, metric or error.
"""

from dataclasses import dataclass
from typing import Any

import orjson

_LONGEST_MESSAGE_CHARS = 500
_LONGEST_ID_CHARS = 256


class AmbiguousReply(Exception):
    """A 2xx that does not say what became of each letter. The text holds nothing that the vendor wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenLetter:
    """Optilyz will print it."""

    vendor_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLetter:
    """Optilyz will not; `message` may hold personal data."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersAnswered:
    """One result for each recipient, by position, and the vendor's own name of the request."""

    results: tuple[TakenLetter | RefusedLetter, ...]
    request_id: str | None


def load_results(body: bytes, sent: int) -> LettersAnswered:
    """What became of `sent` recipients.

    Raises:
        AmbiguousReply: It does not fit. A person has to ask the vendor.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise AmbiguousReply(f"a reply of {len(body)} bytes that is not JSON") from None
    results = told.get("results") if isinstance(told, dict) else None
    if not isinstance(results, list):
        raise AmbiguousReply("a reply without results")
    if len(results) != sent:
        raise AmbiguousReply(f"{len(results)} results for {sent} recipients")
    return LettersAnswered(
        results=tuple(_result(each, place) for place, each in enumerate(results)),
        request_id=_request_id(told.get("requestId")),
    )


def _result(told: Any, place: int) -> TakenLetter | RefusedLetter:
    if isinstance(told, dict):
        vendor_id, error = told.get("id"), told.get("error")
        if error is None and isinstance(vendor_id, str) and _is_storable_id(vendor_id):
            return TakenLetter(vendor_id=vendor_id)
        message = error.get("message") if isinstance(error, dict) else None
        if vendor_id is None and isinstance(message, str):
            return RefusedLetter(message=_storable(message)[:_LONGEST_MESSAGE_CHARS])
    raise AmbiguousReply(f"result {place} is neither an id nor an error")


def _is_storable_id(told: str) -> bool:
    return 0 < len(told) <= _LONGEST_ID_CHARS and told == _storable(told)


def _request_id(told: Any) -> str | None:
    return _storable(told)[:_LONGEST_ID_CHARS] if isinstance(told, str) and told else None


def _storable(text: str) -> str:
    """Without what PostgreSQL cannot keep."""
    return text.replace("\0", "")
