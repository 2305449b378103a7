"""How a request body is read: never more than allowed, never longer than allowed."""

import asyncio
from http import HTTPStatus

from starlette.requests import Request

from clearance.errors import Reject

# Python converts no number of thousands of digits; nobody sends an exabyte.
_MOST_DIGITS = 18


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
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        raise Reject(
            HTTPStatus.REQUEST_TIMEOUT, "slow", f"the body did not arrive within {timeout_s:g} s"
        ) from None
    return bytes(body)


def _too_large(max_bytes: int) -> Reject:
    return Reject(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"the body has more than {max_bytes} bytes"
    )
