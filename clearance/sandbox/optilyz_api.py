"""Optilyz' calls: a token, automations, and recipients for them.

A reply to many recipients is positional, and 200 also when some of them were refused. The reply to one, and the
words of refusals, are not documented: inferred from the reply to many.
Source: facts sheet, "Optilyz"; base URL `.../api`, paths v1 and v2.
"""

import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from clearance.sandbox.answers import RefusedError, load_object, reply
from clearance.sandbox.gate import Gate
from clearance.sandbox.limits import Group
from clearance.sandbox.optilyz_automations import Automation, Automations, AutomationState
from clearance.sandbox.optilyz_credentials import OptilyzCredentials
from clearance.sandbox.optilyz_record import Asked, OptilyzRecord, reference_of
from clearance.sandbox.optilyz_rules import refusal_of, refuses_all
from clearance.sandbox.options import OPTILYZ_PATH

RECIPIENTS_MAX = 1_000

_Take = Callable[[web.Request, Asked, Automation], Awaitable[web.Response]]


class OptilyzApi:
    """Handlers of the calls. `current_record` is what letters are taken into."""

    def __init__(
        self,
        *,
        credentials: OptilyzCredentials,
        automations: Automations,
        current_record: Callable[[], OptilyzRecord],
    ) -> None:
        self._credentials = credentials
        self._automations = automations
        self._current_record = current_record

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        """The routes behind the gate."""
        automations = f"{OPTILYZ_PATH}/v2/automations"
        return [
            web.post(
                f"{OPTILYZ_PATH}/v1/authenticate",
                gate.guard(Group.OPTILYZ, self.authenticate, is_public=True),
            ),
            web.get(automations, gate.guard(Group.OPTILYZ, self.get_automations)),
            web.get(automations + "/{id}", gate.guard(Group.OPTILYZ, self.get_automation)),
            web.post(automations + "/{id}/recipient", self._recorded(gate, self.take_one)),
            web.post(automations + "/{id}/recipients", self._recorded(gate, self.take_many)),
        ]

    async def authenticate(self, request: web.Request) -> web.Response:
        """A token for the key."""
        sent = load_object(await request.read())
        return reply({"token": self._credentials.authenticate(sent.get("key"))})

    async def get_automations(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """All automations."""
        return reply([automation.shown(name) for name, automation in self._automations])

    async def get_automation(self, request: web.Request) -> web.Response:
        """One automation."""
        automation_id = request.match_info["id"]
        return reply(self._automations.get(automation_id).shown(automation_id))

    async def take_one(self, request: web.Request, asked: Asked, automation: Automation) -> web.Response:
        """One recipient: its id, or 400 with the reason."""
        result = self._take(asked, automation, [load_object(await request.read())])[0]
        return reply(result, HTTPStatus.BAD_REQUEST if "error" in result else HTTPStatus.OK)

    async def take_many(self, request: web.Request, asked: Asked, automation: Automation) -> web.Response:
        """Up to 1,000 recipients, each with a result at its position."""
        elements = load_object(await request.read()).get("addresses")
        if not isinstance(elements, list) or not elements:
            raise RefusedError("addresses: must be a list that is not empty")
        if len(elements) > RECIPIENTS_MAX:
            raise RefusedError(
                f"addresses: at most {RECIPIENTS_MAX}", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            )
        results = self._take(asked, automation, elements)
        ignored = sum("error" in result for result in results)
        return reply(
            {
                "requestId": str(uuid.uuid4()),
                "queued": len(results) - ignored,
                "ignored": ignored,
                "results": results,
            }
        )

    def _recorded(self, gate: Gate, take: _Take) -> Handler:
        """`take` behind the gate, and the record before the gate: what the gate holds back is in flight as well."""

        async def handle(request: web.Request) -> web.StreamResponse:
            record, status = self._current_record(), 0
            asked = record.begin(request, request.match_info["id"])

            async def take_it(guarded: web.Request) -> web.Response:
                automation = self._automations.get(asked.automation_id)
                if automation.state is not AutomationState.LIVE:
                    raise RefusedError("the automation is paused", status=HTTPStatus.CONFLICT)
                return await take(guarded, asked, automation)

            try:
                _note(asked, await request.read())
                answer = await gate.guard(Group.OPTILYZ, take_it)(request)
                status = answer.status
            finally:
                record.end(request, asked, status)
            return answer

        return handle

    def _take(self, asked: Asked, automation: Automation, elements: list[Any]) -> list[dict[str, Any]]:
        if any(refuses_all(_address(element)) for element in elements):
            raise RefusedError("addresses: a recipient cannot be processed")
        return [self._result(asked, automation, element) for element in elements]

    def _result(self, asked: Asked, automation: Automation, element: Any) -> dict[str, Any]:
        address = _address(element)
        variation = element.get("variation") if isinstance(element, dict) else None
        record, message = self._current_record(), refusal_of(address, variation, automation.variations)
        if message is not None:
            record.refuse(asked, message)
            return {"error": {"message": message}}
        letter_id = uuid.uuid4().hex
        record.print(asked, letter_id, address)
        return {"id": letter_id}


def _note(asked: Asked, body: bytes) -> None:
    """What the request is about, also when the gate never lets it in."""
    try:
        sent = load_object(body)
    except RefusedError:
        return
    elements = sent.get("addresses", [sent])
    if isinstance(elements, list):
        asked.size = len(elements)
        asked.references = tuple(reference_of(_address(element)) for element in elements[:RECIPIENTS_MAX])


def _address(element: Any) -> Any:
    """The address in its wrapper, or bare."""
    return element.get("address", element) if isinstance(element, dict) else element
