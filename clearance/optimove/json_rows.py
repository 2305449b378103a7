"""What are the elements of a JSON array that is too long to be held? One after the other, as its bytes come in.

In: pieces of bytes, cut anywhere. Out: every element that is whole, as soon as it is, as orjson would load it. Memory
is bounded by the longest element. An element that cannot be represented (nested too deep, a number past what a
float holds) is given as `UNUSABLE`; the others do not suffer from it.

| the bytes | raise |
|---|---|
| are no array (the vendor writes an error into a success reply as a bare text) | `VendorRefused` |
| hold an element of more than `MAX_ROW_BYTES` | `VendorRefused`: asking again would not help |
| end too early, or stop being JSON | `VendorUnavailable`, after the whole elements before |

The parser is ijson, by its events: its ready-made rows would keep a path for every level of nesting, and end the whole
stream at one number that is too large. A lone surrogate (`\\ud800`, no text at all) comes out of it as `?`.
Source: ijson 3.6, "Push interfaces"; facts sheet, "error in a success reply".
"""

import math
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import ijson  # type: ignore[import-untyped]  # it publishes none

from clearance.errors import VendorRefused, VendorUnavailable
from clearance.optimove.http import VENDOR

MAX_ROW_BYTES = 1 << 20
MAX_DEPTH = 16  # of one element; what is kept of it must be written as JSON again
UNUSABLE = object()
_STEP_BY_EVENT = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}
_INT64 = range(-(2**63), 2**63)
# What the parser raises over bytes that are no JSON: its own, and what escapes it over broken text and numbers.
_BROKEN = (ijson.JSONError, ArithmeticError, ValueError)


def load_rows(pieces: Iterable[bytes], *, status: int) -> Iterator[Any]:
    """The elements of the array that `pieces` spell; `status` is that of the reply, for errors.

    Raises:
        VendorUnavailable: The reply is broken; fetch it again. What was given before holds.
        VendorRefused: The reply is not what was asked for.
    """
    events: Any = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events)
    rows = _Rows(status)
    unfinished_bytes = 0
    for piece in filter(None, pieces):  # to the parser, an empty one is the end
        is_broken = _is_broken(parser.send, piece, events)
        found = rows.take(events)
        events.clear()
        yield from found
        if is_broken:
            raise VendorUnavailable(VENDOR, "a reply that stops being JSON")
        unfinished_bytes = len(piece) if found else unfinished_bytes + len(piece)
        if unfinished_bytes > MAX_ROW_BYTES:
            raise VendorRefused(VENDOR, status, f"a row of more than {MAX_ROW_BYTES} bytes")
    try:
        parser.close()
    except _BROKEN:
        raise VendorUnavailable(VENDOR, "a reply that ends too early") from None
    rows.take(events)  # a bare number ends with the reply


def _is_broken(send: Callable[[bytes], None], piece: bytes, events: list[Any]) -> bool:
    try:
        send(piece)
    except SystemError:
        # A number of thousands of digits leaves an event behind that must not be looked into.
        del events[-1:]
    except _BROKEN:  # its text quotes what was sent
        pass
    else:
        return False
    return True


class _Rows:
    """Puts the parser's events together."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._is_inside = False  # the array
        self._parent: dict[str, Any] | list[Any] | None = (
            None  # what the next value belongs to; None: the array
        )
        self._outer: list[dict[str, Any] | list[Any] | None] = []  # and what that belongs to
        self._key = ""
        self._skipped_depth = 0  # how deep inside a part that is left out
        self._is_usable = True

    def take(self, events: Iterable[tuple[str, Any]]) -> list[Any]:
        """The elements that `events` have completed. Keys and texts, which most of them are, are put here."""
        found: list[Any] = []
        parent, key = self._parent, self._key
        for event, value in events:
            if event == "map_key":
                key = value
            elif event == "string" and parent is not None:
                if type(parent) is dict:
                    parent[key] = value
                else:
                    parent.append(value)  # type: ignore[union-attr]  # not a dict, so the list
            else:
                self._key = key
                self._take_other(event, value, found)
                parent = self._parent
        self._key = key
        return found

    def _take_other(self, event: str, value: Any, found: list[Any]) -> None:
        if self._skipped_depth:
            self._skip(_STEP_BY_EVENT.get(event, 0))
        elif event in {"start_map", "start_array"}:
            self._begin({} if event == "start_map" else [])
        elif event in {"end_map", "end_array"}:
            self._end(found)
        else:
            self._put(_number(value) if event == "number" else value, found)

    def _begin(self, container: dict[str, Any] | list[Any]) -> None:
        if not self._is_inside:
            if type(container) is dict:
                raise VendorRefused(VENDOR, self._status, "a reply that is no array")
            self._is_inside = True
            return
        self._outer.append(self._parent)
        if len(self._outer) > MAX_DEPTH:
            self._is_usable = False
            self._parent = None
            self._skip(1)
            return
        if type(self._parent) is dict:
            self._parent[self._key] = container
        elif self._parent is not None:
            self._parent.append(container)  # type: ignore[union-attr]  # not a dict, so the list
        self._parent = container

    def _skip(self, step: int) -> None:
        self._skipped_depth += step
        if not self._skipped_depth:
            self._parent = self._outer.pop()

    def _end(self, found: list[Any]) -> None:
        if not self._outer:
            return  # of the array
        element, self._parent = self._parent, self._outer.pop()
        if self._parent is None:
            found.append(element if self._is_usable else UNUSABLE)
            self._is_usable = True

    def _put(self, value: Any, found: list[Any]) -> None:
        if self._parent is None:
            if not self._is_inside:
                what = (
                    "an error text in a success reply" if type(value) is str else "a reply that is no array"
                )
                raise VendorRefused(VENDOR, self._status, what)
            found.append(value)
            return
        self._is_usable &= value is not UNUSABLE
        if type(self._parent) is dict:
            self._parent[self._key] = value
        else:
            self._parent.append(value)  # type: ignore[union-attr]  # not a dict, so the list


def _number(value: int | Decimal) -> object:
    """Whole in 64 bits, otherwise a float; what is too large for one is unusable."""
    if type(value) is int and value in _INT64:
        return value
    try:
        number = float(value)
    except OverflowError:
        return UNUSABLE
    return number if math.isfinite(number) else UNUSABLE
