"""How a request body is read: never more than allowed, never longer than allowed, and while others are answered."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from clearance.errors import Reject

# Python converts no number of thousands of digits; nobody sends an exabyte.
_MOST_DIGITS = 18
_IS_READ = "clearance.body_is_read"
_MOST_DRAINED_BYTES = 64 * 1024 * 1024
# A body of this size is loaded in a few milliseconds, one of megabytes in more than a hundred.
_LOADED_AT_ONCE_BYTES = 16_384

Loaded = TypeVar("Loaded")


async def read_body(request: Request, *, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        Reject: 413 as soon as it is larger than `max_bytes`, 408 when the sender takes longer than `timeout_s`, 400
            for a Content-Length that is no number.
        ClientDisconnect: The sender has gone; there is nobody to answer.
    """
    stated = request.headers.get("content-length")
    if stated is not None and not stated.isdecimal():
        raise Reject(HTTPStatus.BAD_REQUEST, "malformed", "Content-Length is not a number")
    if stated is not None and (len(stated) > _MOST_DIGITS or int(stated) > max_bytes):
        raise _too_large(max_bytes)
    # Nothing is waited for after the last byte of a stated length: to be told that it was the last one takes another
    # turn of the event loop.
    length = None if stated is None else int(stated)
    body, is_whole = bytearray(), length == 0
    try:
        async with asyncio.timeout(timeout_s):
            while not is_whole:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                is_whole = len(body) == length or not message.get("more_body", False)
                request.scope[_IS_READ] = is_whole
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        raise Reject(
            HTTPStatus.REQUEST_TIMEOUT, "slow", f"the body did not arrive within {timeout_s:g} s"
        ) from None
    return bytes(body)


async def load_aside(load: Callable[[], Loaded], body_bytes: int) -> Loaded:
    """What `load` makes of a body of this size: in a thread if it is large, because others want to be answered."""
    if body_bytes <= _LOADED_AT_ONCE_BYTES:
        return load()
    return await asyncio.to_thread(load)


async def drain(request: Request, *, timeout_s: float) -> None:
    """Read what is left of the body, and keep nothing of it.

    A sender whose connection ends while it still sends may never look at the answer. This is for an answer that it
    has to see.
    """
    if request.scope.get(_IS_READ):
        return  # who asks for more than all of it waits until the sender goes
    drained = 0
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                drained += len(chunk)
                if drained > _MOST_DRAINED_BYTES:
                    return


def _too_large(max_bytes: int) -> Reject:
    return Reject(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"the body has more than {max_bytes} bytes"
    )
