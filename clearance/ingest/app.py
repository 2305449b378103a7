"""Which routes ingest has, and what each of them does with a request.

In: ASGI requests. Out: 202 when the notification is in the ledger; 4xx when the sender must act; 503 with Retry-After
when we must. Nothing that a sender sends can make it answer 500. The relay has rules of its own: see `relay_answers`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter

import orjson
import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from clearance.errors import LedgerUnavailable, Reject
from clearance.ingest import answers, mailings, scheduled, triggered
from clearance.ingest.acceptance import Acceptance
from clearance.ingest.body import read_body
from clearance.ingest.mailings import MailingIntake
from clearance.ingest.openapi import openapi_document
from clearance.ingest.refusals import Refusals
from clearance.ingest.relay_door import RelayDoor
from clearance.ingest.scheduled import ScheduledIntake
from clearance.ingest.source_limit import SourceLimit
from clearance.ingest.triggered import TriggeredIntake
from clearance.ledger.groups import NewCancellation, NewHeadsUp
from clearance.ledger.notifications import NewNotification
from clearance.optimove.heads_up import Ignored
from clearance.optimove.signature import HEADER
from clearance.telemetry import Metrics

log = structlog.get_logger()

Receive = Callable[[bytes, Request], Awaitable[Response]]
"""What a route does with a body: the 202, once the ledger has it. Raises `Reject` or `LedgerUnavailable`."""


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
    sources: SourceLimit
    metrics: Metrics
    triggered: TriggeredIntake
    scheduled: ScheduledIntake
    relay: RelayDoor
    mailings: MailingIntake
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
        return answers.as_json(200, {"status": "ok"})

    def readyz(_request: Request) -> Response:  # in a thread: it asks the ledger
        readiness = parts.readiness()
        status = 200 if readiness.is_ready else 503
        return answers.as_json(status, {"ready": readiness.is_ready, "checks": readiness.checks})

    async def metrics(_request: Request) -> Response:
        return Response(parts.exposition(), media_type=parts.exposition_type)

    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    async def not_allowed(request: Request, _error: Exception) -> Response:
        allowed = sorted(request.scope["route"].methods)
        reject = Reject(HTTPStatus.METHOD_NOT_ALLOWED, "method", f"the method must be {' or '.join(allowed)}")
        parts.refusals.note(route=request.scope["route"].name, reject=reject, body_bytes=0)
        return answers.refused(reject, {"Allow": ", ".join(allowed)})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for close in parts.on_shutdown:
            close()

    probe_by_path = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/openapi.json": openapi}
    app = Starlette(
        lifespan=lifespan,
        routes=[
            _intake(parts, triggered.ROUTE, _receive_triggered(parts)),
            _intake(parts, scheduled.SEND_GROUPS_ROUTE, _receive_send_groups(parts)),
            _intake(parts, scheduled.EVENTS_ROUTE, _receive_events(parts)),
            *parts.relay.routes(),
            _intake(
                parts,
                mailings.ROUTE,
                _receive_mailing(parts),
                admit=_admit_mailing(parts),
                max_body_bytes=parts.relay.max_body_bytes,
            ),
            *(Route(path, probe, name=path) for path, probe in probe_by_path.items()),
        ],
        exception_handlers={HTTPStatus.METHOD_NOT_ALLOWED: not_allowed},
    )
    # A redirect would go to what the caller names as our host, without TLS, and take its credentials along.
    app.router.redirect_slashes = False
    return app


def _intake(
    parts: IngestParts,
    route: str,
    receive: Receive,
    *,
    admit: Callable[[Request], None] | None = None,
    max_body_bytes: int | None = None,
) -> Route:
    """A route that acknowledges notifications. `admit` raises `Reject` for whoever is not worth reading."""
    max_bytes = max_body_bytes or parts.max_body_bytes

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
            parts.sources.verify(request)
            if admit is not None:
                admit(request)
            body = await read_body(request, max_bytes=max_bytes, timeout_s=parts.body_timeout_s)
            response = await receive(body, request)
        except Reject as reject:
            parts.refusals.note(route=route, reject=reject, body_bytes=len(body))
            return answers.refused(reject)
        except LedgerUnavailable as error:
            parts.refusals.note_unavailable(route=route, error=error)
            return answers.unavailable()
        except ClientDisconnect:
            parts.refusals.note_disconnected(route=route)
            return Response(status_code=400)
        parts.metrics.count("requests_accepted_total", route=route)
        return response

    return Route(route, endpoint, methods=["POST"], name=route)


def _receive_triggered(parts: IngestParts) -> Receive:
    async def receive(body: bytes, request: Request) -> Response:
        new = parts.triggered.take(body, request.headers.get(HEADER))
        accepted = await parts.acceptance.accept(new)
        if accepted.is_duplicate:
            parts.metrics.count("requests_duplicate_total", route=triggered.ROUTE)
        elif new.obligation.missed is not None:
            _tell_missed(parts.metrics, new)
        else:
            log.info("notification.accepted", trace_id=new.obligation.trace_id)
        return answers.acknowledged(accepted.notification_id, is_duplicate=accepted.is_duplicate)

    return receive


def _receive_send_groups(parts: IngestParts) -> Receive:
    async def receive(body: bytes, request: Request) -> Response:
        new = parts.scheduled.take_send_group(body, *_credentials(request))
        return await _hear(parts, scheduled.SEND_GROUPS_ROUTE, new)

    return receive


def _receive_events(parts: IngestParts) -> Receive:
    async def receive(body: bytes, request: Request) -> Response:
        route = scheduled.EVENTS_ROUTE
        new = parts.scheduled.take_event(body, *_credentials(request))
        if not isinstance(new, Ignored):
            return await _hear(parts, route, new)
        kept_as = parts.refusals.note_ignored(route=route, event_type=new.event_type, body_bytes=len(body))
        return answers.ignored(kept_as)

    return receive


def _admit_mailing(parts: IngestParts) -> Callable[[Request], None]:
    def admit(request: Request) -> None:
        parts.mailings.verify(*_credentials(request))

    return admit


def _receive_mailing(parts: IngestParts) -> Receive:
    async def receive(body: bytes, _request: Request) -> Response:
        delivery_id, is_duplicate = await parts.mailings.hear(body)
        if is_duplicate:
            parts.metrics.count("requests_duplicate_total", route=mailings.ROUTE)
        return answers.acknowledged(delivery_id, is_duplicate=is_duplicate)

    return receive


async def _hear(parts: IngestParts, route: str, new: NewHeadsUp | NewCancellation) -> Response:
    heard = await parts.acceptance.hear(new)
    if heard.is_duplicate:
        parts.metrics.count("requests_duplicate_total", route=route)
    with structlog.contextvars.bound_contextvars(trace_id=new.trace_id):
        parts.scheduled.tell(route, heard)
    return answers.acknowledged(heard.group_id, is_duplicate=heard.is_duplicate)


def _credentials(request: Request) -> tuple[bytes, str | None]:
    return request.scope["query_string"], request.headers.get("authorization")


def _tell_missed(metrics: Metrics, new: NewNotification) -> None:
    obligation = new.obligation
    metrics.count("notifications_expired_total", route=triggered.ROUTE)
    metrics.count("obligations_missed_total", lane=obligation.lane, reason=str(obligation.missed))
    log.error(
        "obligation.missed",
        trace_id=obligation.trace_id,
        obligation=obligation.obligation_id,
        reason=str(obligation.missed),
    )
