"""What happens at the relay's two routes, where a caller of Optilyz hands its recipients to us.

`POST /api/v2/automations/{id}/recipient` and `/recipients`, as at Optilyz, with or without a slash at the end. The
caller is let in by its key before its body is read; the recipients are in the ledger before the answer. Whatever is in
the body or in place of the automation's id, the answer is 200: see `relay_answers`. So it is for any other path below
`/api/v2/automations`: a template that leaves the id out makes one, and 404 would stop the caller's webhook.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter

import structlog
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from clearance.bloomreach.customer_ids import usable_ids
from clearance.errors import LedgerUnavailable, Reject
from clearance.ingest import relay_answers
from clearance.ingest.acceptance import Acceptance
from clearance.ingest.body import drain, load_aside, read_body
from clearance.ingest.refusals import Refusals
from clearance.ingest.relay import Order, RelayIntake
from clearance.ingest.relay_keys import RelayKeys
from clearance.ingest.source_limit import SourceLimit
from clearance.ledger.mail_intake import TakenAs, TakenRequest
from clearance.telemetry import Metrics

log = structlog.get_logger()

ONE_ROUTE = "/api/v2/automations/{id}/recipient"
MANY_ROUTE = "/api/v2/automations/{id}/recipients"
# Every other path below: what it is called where requests are counted and listed.
LOST_ROUTE = "/api/v2/automations"
DRY_RUN_HEADER = "X-Clearance-Dry-Run"
# Whoever sends the header wants no paper: anything but these asks for a dry run.
_NO_DRY_RUN = frozenset({"", "0", "false", "no", "off"})


class _Anything(PathConvertor):
    """What a template may put in place of an id: slashes, line breaks, nothing. Also that is answered with 200."""

    regex = r"[\s\S]*"


register_url_convertor("anything", _Anything())

Take = Callable[[bytes, Request], Awaitable[Response]]
"""What a route does with a body. Raises `Reject` or `LedgerUnavailable`."""
Answer = Callable[[Order, TakenRequest], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayDoor:
    """The relay's part of ingest."""

    keys: RelayKeys
    intake: RelayIntake
    acceptance: Acceptance
    refusals: Refusals
    sources: SourceLimit
    metrics: Metrics
    max_body_bytes: int
    body_timeout_s: float

    def routes(self) -> list[Route]:
        """Both routes, and in the last place every other path below."""
        routes = []
        for path, answer in ((ONE_ROUTE, relay_answers.one), (MANY_ROUTE, relay_answers.many)):
            template = path.replace("{id}", "{id:anything}")
            take = self._taking(path, answer)
            routes += [self._route(template, path, take), self._route(template + "/", path, take)]
        return [*routes, self._route(LOST_ROUTE + "{rest:anything}", LOST_ROUTE, _lost)]

    def _route(self, template: str, route: str, take: Take) -> Route:
        async def endpoint(request: Request) -> Response:
            started = perf_counter()
            response = await self._answered(request, route, take)
            self.metrics.observe(
                "http_request_seconds", perf_counter() - started, route=route, status=response.status_code
            )
            return response

        return Route(template, endpoint, methods=["POST"], name=route)

    async def _answered(self, request: Request, route: str, take: Take) -> Response:
        body = b""
        try:
            self.sources.verify(request)
            self.keys.verify(request.headers.get("authorization"))
            body = await read_body(request, max_bytes=self.max_body_bytes, timeout_s=self.body_timeout_s)
            return await take(body, request)
        except Reject as reject:
            return await self._refused(request, route, reject, body_bytes=len(body))
        except LedgerUnavailable as error:
            self.refusals.note_unavailable(route=route, error=error)
            return relay_answers.unavailable()
        except ClientDisconnect:
            self.refusals.note_disconnected(route=route)
            return relay_answers.unavailable()

    def _taking(self, route: str, answer: Answer) -> Take:
        async def take(body: bytes, request: Request) -> Response:
            def read() -> Order:
                return self.intake.take(
                    body,
                    request.path_params["id"],
                    is_single=route == ONE_ROUTE,
                    is_dry_run=_wants_dry_run(request),
                )

            order = await load_aside(read, len(body))
            taken = await self.acceptance.take(order.new)
            self._tell(route, order, taken)
            return answer(order, taken)

        return take

    async def _refused(self, request: Request, route: str, reject: Reject, *, body_bytes: int) -> Response:
        if reject.status is HTTPStatus.TOO_MANY_REQUESTS:
            return await self._sent_away(request, route, reject)
        if reject.status is not HTTPStatus.UNAUTHORIZED:
            reject = Reject(HTTPStatus.OK, reject.reason, str(reject))
        self.refusals.note(route=route, reject=reject, body_bytes=body_bytes)
        await drain(request, timeout_s=self.body_timeout_s)
        return relay_answers.refused(reject)

    async def _sent_away(self, request: Request, route: str, reject: Reject) -> Response:
        """Of 429 Bloomreach says that it is logged as failed, of 5xx that it is repeated: these letters are wanted.

        Source: facts sheet, "Bloomreach as the caller".
        """
        unavailable = Reject(HTTPStatus.SERVICE_UNAVAILABLE, reject.reason, str(reject))
        self.refusals.note(route=route, reject=unavailable, body_bytes=0)
        await drain(request, timeout_s=self.body_timeout_s)
        return relay_answers.unavailable()

    def _tell(self, route: str, order: Order, taken: TakenRequest) -> None:
        count_by_outcome = dict.fromkeys(TakenAs, 0)
        for letter in taken.letters:
            count_by_outcome[letter.taken_as] += 1
        for outcome, count in count_by_outcome.items():
            self.metrics.count("mail_recipients_received_total", count, outcome=outcome)
        without_id = sum(not usable_ids(letter.customer_ids) for letter in order.new.letters)
        self.metrics.count("mail_recipients_without_id_total", without_id)
        self.metrics.count("requests_accepted_total", route=route)
        log.info(
            "recipients.received",
            trace_id=order.new.trace_id,
            request=order.new.request_id,
            automation=order.new.automation_id,
            dry_run=order.new.is_dry_run,
            queued=count_by_outcome[TakenAs.QUEUED],
            duplicates=count_by_outcome[TakenAs.DUPLICATE],
            suppressed=count_by_outcome[TakenAs.SUPPRESSED],
            refused=count_by_outcome[TakenAs.REFUSED],
            without_id=without_id,
        )


async def _lost(_body: bytes, _request: Request) -> Response:
    raise Reject(HTTPStatus.OK, "path", f"the path must be {ONE_ROUTE} or {MANY_ROUTE}")


def _wants_dry_run(request: Request) -> bool:
    return request.headers.get(DRY_RUN_HEADER, "").strip().lower() not in _NO_DRY_RUN
