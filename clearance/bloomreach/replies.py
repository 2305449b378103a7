"""What does Bloomreach's answer to a batch say, command by command?

In: the body of a 2xx, and how many commands were sent. Out: one result for each, by position. An answer that cannot be
laid beside the commands (not JSON, no results, too few or too many) says nothing about any of them: some may have been
taken. Source: facts sheet, "Bloomreach Tracking API v2": `results[{success, errors}]`; `errors` is a list or an object,
and other errors stand in `error` or `message`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from clearance.errors import VendorUnavailable

VENDOR = "bloomreach"
_LONGEST_TEXT_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one command. `error` is what Bloomreach says of one that it refused: it may quote the command."""

    is_taken: bool
    error: str = ""


class UnreadableAnswer(VendorUnavailable):
    """A success that does not say what became of each command."""


def load_results(body: bytes, count: int, *, status: int) -> list[Result]:
    """The results of `count` commands, by position.

    Raises:
        UnreadableAnswer: They cannot be told; `status` is the answer's.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _unreadable(status, "that is not JSON") from None
    results = told.get("results") if isinstance(told, dict) else None
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise _unreadable(status, "without results")
    if len(results) != count:
        raise _unreadable(status, f"with {len(results)} results for {count} commands")
    return [_result(each) for each in results]


def _result(told: dict[str, Any]) -> Result:
    if told.get("success") is True:
        return Result(is_taken=True)
    texts = [*_texts(told.get("errors")), *_texts(told.get("error")), *_texts(told.get("message"))]
    # PostgreSQL keeps no U+0000: the end of the whole batch would be refused, and it would be sent again for ever.
    text = "; ".join(texts).replace("\0", "")
    return Result(is_taken=False, error=text[:_LONGEST_TEXT_CHARS] or "no error was given")


def _texts(told: object) -> Sequence[str]:
    if told is None or told == "":
        return ()
    if isinstance(told, list):
        return [text for each in told for text in _texts(each)]
    if isinstance(told, dict):
        return [f"{name}: {text}" for name, each in told.items() for text in _texts(each)]
    return (str(told),)


def _unreadable(status: int, what: str) -> UnreadableAnswer:
    return UnreadableAnswer(VENDOR, f"{status} with an answer {what}")
