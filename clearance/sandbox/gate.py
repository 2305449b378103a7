"""What stands before every vendor call: credentials, limits, faults.

A guarded handler takes what was sent and returns the reply; the gate decides whether it is called at all and whether
its reply arrives. Latency comes after the handler, so what the vendor has taken was taken on arrival, as by a vendor
that queues and answers slowly. It passes whole even when the sender is gone, because a vendor works on.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from clearance.sandbox.answers import JSON, RefusedError, refusal, throttled
from clearance.sandbox.faults import TAKEN, Fault, Faults, Injection
from clearance.sandbox.limits import Group, SlidingWindows
from clearance.sandbox.spoiled_answers import EMPTY_REPLY, HTML_REPLY, miscounted
from clearance.sandbox.times import Times

# What a request suffers, for those who keep a record of requests.
FAULT = web.RequestKey("fault", Fault)

# Linger on, for zero seconds: closing sends RST instead of FIN. Source: socket(7), SO_LINGER.
_LINGER_ZERO = struct.pack("ii", 1, 0)
_HALF_REPLY = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n{"status":'


class Identifies(Protocol):
    """Whoever knows a vendor's credentials."""

    def identify(self, headers: Mapping[str, str]) -> str:
        """A name for the limits.

        Raises:
            RefusedError: Nobody it knows; answer with it.
        """


class Gate:
    """Wraps the handlers of one vendor's calls."""

    def __init__(
        self, *, credentials: Identifies, windows: SlidingWindows, faults: Faults, times: Times
    ) -> None:
        self._credentials = credentials
        self._windows = windows
        self._faults = faults
        self._sleep = times.sleep

    def guard(self, group: Group, handler: Handler, *, is_public: bool = False) -> Handler:
        """`handler` behind the gate; `is_public` needs no credentials (the login)."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            await request.read()
            try:
                who = "public" if is_public else self._credentials.identify(request.headers)
                _check_content_type(request)
                if not self._windows.admits(who, group):
                    return throttled()
                injection = self._faults.draw(group)
                if injection is None:
                    return await handler(request)
                return await self._inject(request, handler, injection)
            except RefusedError as refused:
                return refused.answer()

        return guarded

    async def _inject(
        self, request: web.Request, handler: Handler, injection: Injection
    ) -> web.StreamResponse:
        fault = injection.fault
        if fault is not None:
            request[FAULT] = fault
        answer = await _answered(request, handler) if fault is None or fault in TAKEN else None
        if fault is Fault.MISCOUNT and answer is not None and answer.status >= HTTPStatus.BAD_REQUEST:
            del request[FAULT]  # a refusal has no results: it arrives as it is
        if injection.latency_s > 0:
            await self._sleep(injection.latency_s)
        if fault in (Fault.HANG, Fault.HANG_AFTER):
            await self._sleep(injection.plan.hang_s)
            return _break(request, _close)
        if fault is Fault.ERROR:
            return refusal(injection.plan.error_status, "injected by PUT /sandbox/faults")
        if fault is Fault.THROTTLE:
            return throttled(injection.plan.retry_after_s)
        if fault in (Fault.RESET, Fault.RESET_AFTER):
            return _break(request, _reset)
        if fault is Fault.HALF:
            return _break(request, _send_half)
        return _spoiled(fault, answer or web.Response())


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the handler says; a refusal suffers what is planned as any other answer does."""
    try:
        return await handler(request)
    except RefusedError as refused:
        return refused.answer()


def _spoiled(fault: Fault | None, answer: web.StreamResponse) -> web.StreamResponse:
    if fault is Fault.HTML:
        return web.Response(text=HTML_REPLY, content_type="text/html")
    if fault is Fault.EMPTY:
        return web.Response(body=EMPTY_REPLY, content_type=JSON)
    if fault is Fault.MISCOUNT and isinstance(answer, web.Response):
        return miscounted(answer)
    return answer


def _check_content_type(request: web.Request) -> None:
    """Source: facts sheet, "content type": it must be sent on POST."""
    if request.method in ("POST", "PUT") and request.content_type != JSON:
        raise RefusedError("Content-Type must be application/json", status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _break(request: web.Request, action: Callable[[asyncio.Transport], None]) -> web.Response:
    """Break the connection; the returned response is never written, because the transport is closing."""
    if request.transport is not None:
        action(request.transport)
    return web.Response()


def _close(transport: asyncio.Transport) -> None:
    transport.close()


def _reset(transport: asyncio.Transport) -> None:
    # A duplicate descriptor, since uvloop hands out a socket without setsockopt; the option belongs to both.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


def _send_half(transport: asyncio.Transport) -> None:
    transport.write(_HALF_REPLY)
    transport.close()
