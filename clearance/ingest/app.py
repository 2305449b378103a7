"""Which routes ingest has, and how every request is answered: one place where an outcome becomes a status.

In: ASGI requests. Out: 202 when the notification is in the ledger; 4xx when the sender must act; 503 with Retry-After
when we must. Nothing that a sender sends can make it answer 500.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import orjson
import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from clearance.errors import LedgerUnavailable, Reject
from clearance.ingest import triggered
from clearance.ingest.acceptance import Acceptance
from clearance.ingest.body import read_body
from clearance.ingest.openapi import openapi_document
from clearance.ingest.refusals import Refusals
from clearance.ingest.triggered import TriggeredIntake
from clearance.ledger.notifications import NewNotification
from clearance.optimove.signature import HEADER
from clearance.telemetry import Metrics

log = structlog.get_logger()

_RETRY_AFTER_S = 1

Take = Callable[[bytes, Request], NewNotification]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether this process can acknowledge, and why not."""

    is_ready: bool
    checks: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestParts:
    """What the door is made of; wiring builds them."""

    acceptance: Acceptance
    refusals: Refusals
    metrics: Metrics
    triggered: TriggeredIntake
    max_body_bytes: int
    body_timeout_s: float
    exposition: Callable[[], bytes]
    exposition_type: str
    readiness: Callable[[], Readiness]
    on_shutdown: Sequence[Callable[[], None]] = ()


def create_app(parts: IngestParts) -> Starlette:
    """The ASGI application."""
    document = orjson.dumps(openapi_document())

    async def healthz(_request: Request) -> Response:
        return _json(200, {"status": "ok"})

    def readyz(_request: Request) -> Response:  # in a thread: it asks the ledger
        readiness = parts.readiness()
        return _json(
            200 if readiness.is_ready else 503, {"ready": readiness.is_ready, "checks": readiness.checks}
        )

    async def metrics(_request: Request) -> Response:
        return Response(parts.exposition(), media_type=parts.exposition_type)

    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    def take_triggered(body: bytes, request: Request) -> NewNotification:
        return parts.triggered.take(body, request.headers.get(HEADER))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for close in parts.on_shutdown:
            close()

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route(triggered.ROUTE, _intake(parts, triggered.ROUTE, take_triggered), methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi),
        ],
    )


def _intake(parts: IngestParts, route: str, take: Take) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a route that acknowledges notifications."""

    async def endpoint(request: Request) -> Response:
        started = perf_counter()
        response = await answer(request)
        parts.metrics.observe(
            "http_request_seconds", perf_counter() - started, route=route, status=response.status_code
        )
        return response

    async def answer(request: Request) -> Response:
        body = b""
        try:
            body = await read_body(request, max_bytes=parts.max_body_bytes, timeout_s=parts.body_timeout_s)
            new = take(body, request)
            accepted = await parts.acceptance.accept(new)
        except Reject as reject:
            parts.refusals.note(route=route, reject=reject, body_bytes=len(body))
            return _refusal(reject)
        except LedgerUnavailable as error:
            parts.metrics.count("requests_refused_total", route=route, reason="ledger_unavailable")
            log.error("ledger.unavailable", route=route, error=str(error))
            headers = {"Retry-After": str(_RETRY_AFTER_S)}
            return _json(503, {"accepted": False, "error": "unavailable", "detail": "come again"}, headers)
        except ClientDisconnect:
            parts.metrics.count("requests_refused_total", route=route, reason="disconnected")
            return Response(status_code=400)
        parts.metrics.count("requests_accepted_total", route=route)
        if accepted.is_duplicate:
            parts.metrics.count("requests_duplicate_total", route=route)
        elif new.obligation.missed is not None:
            _tell_missed(parts.metrics, route, new)
        return _json(
            202, {"accepted": True, "id": accepted.notification_id, "duplicate": accepted.is_duplicate}
        )

    return endpoint


def _tell_missed(metrics: Metrics, route: str, new: NewNotification) -> None:
    obligation = new.obligation
    metrics.count("notifications_expired_total", route=route)
    metrics.count("obligations_missed_total", lane=obligation.lane, reason=str(obligation.missed))
    log.error("obligation.missed", obligation=obligation.obligation_id, reason=str(obligation.missed))


def _refusal(reject: Reject) -> Response:
    content: dict[str, Any] = {"accepted": False, "error": reject.reason, "detail": str(reject)}
    if reject.errors:
        content["errors"] = reject.errors
    return _json(reject.status.value, content)


def _json(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status_code=status, headers=headers, media_type="application/json")
