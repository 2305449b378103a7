"""How is Optilyz looked at and set up? `/sandbox/optilyz/...`: letters, requests, automations, tokens.

Faults and latency: `PUT /sandbox/faults` with group `optilyz`. Figures: `GET /sandbox/report`, under `optilyz`.
"""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from clearance.sandbox.answers import answering, load_with, reply
from clearance.sandbox.gate import Gate
from clearance.sandbox.optilyz_api import OptilyzApi
from clearance.sandbox.optilyz_automations import Automation, Automations, AutomationSchema
from clearance.sandbox.optilyz_credentials import OptilyzCredentials
from clearance.sandbox.optilyz_record import Asked, Letter, OptilyzRecord
from clearance.sandbox.paging import page


class Optilyz:
    """The vendor and its control; owns the record."""

    def __init__(self, credentials: OptilyzCredentials) -> None:
        self.record = OptilyzRecord()
        self._credentials = credentials
        self._automations = Automations()
        self._api = OptilyzApi(
            credentials=credentials, automations=self._automations, current_record=lambda: self.record
        )

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        """The control's routes, and the vendor's behind the gate."""
        return [
            web.get("/sandbox/optilyz", self.get_summary),
            web.get("/sandbox/optilyz/letters", answering(self.get_letters)),
            web.get("/sandbox/optilyz/repeated", answering(self.get_repeated)),
            web.get("/sandbox/optilyz/requests", answering(self.get_requests)),
            web.put("/sandbox/optilyz/automations/{id}", answering(self.put_automation)),
            web.delete("/sandbox/optilyz/tokens", self.delete_tokens),
            *self._api.routes(gate),
        ]

    def report(self) -> dict[str, Any]:
        """What the report says of it."""
        return self.record.summary() | {"unauthorized": self._credentials.refused}

    def reset(self) -> None:
        """Forget what happened; automations are as at the start, tokens live on."""
        self.record = OptilyzRecord()
        self._automations.reset()
        self._credentials.refused = 0

    async def get_summary(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """The figures alone, for those who look often."""
        return reply(self.report())

    async def get_letters(self, request: web.Request) -> web.Response:
        """Letters in the order of printing: `?offset=0&limit=1000`."""
        letters = self.record.letters
        return reply({"count": len(letters), "letters": list(map(_show_letter, page(request, letters)))})

    async def get_repeated(self, request: web.Request) -> web.Response:
        """Every printing of what was printed more than once."""
        letters = list(self.record.repeated())
        return reply({"count": len(letters), "letters": list(map(_show_letter, page(request, letters)))})

    async def get_requests(self, request: web.Request) -> web.Response:
        """Requests in the order of arrival; `?cut=1` only those whose answer was cut, with their recipients."""
        requests: Sequence[Asked] = self.record.requests
        if request.query.get("cut") == "1":
            requests = [asked for asked in requests if asked.is_cut]
        return reply({"count": len(requests), "requests": list(map(_show_request, page(request, requests)))})

    async def put_automation(self, request: web.Request) -> web.Response:
        """Add an automation, or change one."""
        automation_id = request.match_info["id"]
        automation = load_with(AutomationSchema(), await request.read(), Automation)
        self._automations.put(automation_id, automation)
        return reply(automation.shown(automation_id))

    async def delete_tokens(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """Revoke every token."""
        self._credentials.revoke_tokens()
        return reply({"revoked": True})


def _show_letter(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.letter_id,
        "automation": letter.automation_id,
        "request": letter.request,
        "reference": letter.reference,
    }


def _show_request(asked: Asked) -> dict[str, Any]:
    return {
        "number": asked.number,
        "automation": asked.automation_id,
        "size": asked.size,
        "printed": asked.printed,
        "refused": asked.refused,
        "status": asked.status or None,
        "fault": asked.fault,
        "is_cut": asked.is_cut,
        "references": list(asked.references),
    }
