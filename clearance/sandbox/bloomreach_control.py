"""How is Bloomreach looked at? `/sandbox/bloomreach/...`: what it knows of a customer, and all events.

Faults and latency: `PUT /sandbox/faults` with group `bloomreach`. Figures: `GET /sandbox/report`, under `bloomreach`.
"""

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from aiohttp import web

from clearance.sandbox.answers import RefusedError, answering, reply
from clearance.sandbox.bloomreach_api import BloomreachApi
from clearance.sandbox.bloomreach_credentials import BloomreachCredentials
from clearance.sandbox.bloomreach_record import BloomreachRecord, Customer
from clearance.sandbox.gate import Gate
from clearance.sandbox.paging import page
from clearance.sandbox.times import Times


class Bloomreach:
    """The vendor and its control; owns the record."""

    def __init__(self, *, credentials: BloomreachCredentials, project_token: str, times: Times) -> None:
        self.record = BloomreachRecord()
        self._credentials = credentials
        self._api = BloomreachApi(
            project_token=project_token, current_record=lambda: self.record, times=times
        )

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        """The control's routes, and the vendor's behind the gate."""
        return [
            web.get("/sandbox/bloomreach/customers", answering(self.get_customers)),
            web.get("/sandbox/bloomreach/customers/{kind}/{value}", answering(self.get_customer)),
            web.get("/sandbox/bloomreach/events", answering(self.get_events)),
            *self._api.routes(gate),
        ]

    def report(self) -> dict[str, Any]:
        """What the report says of it."""
        return self.record.summary() | {"unauthorized": self._credentials.refused}

    def reset(self) -> None:
        """Forget customers, events and counts."""
        self.record = BloomreachRecord()
        self._credentials.refused = 0

    async def get_customer(self, request: web.Request) -> web.Response:
        """The customer with this id."""
        customer = self.record.find(request.match_info["kind"], request.match_info["value"])
        if customer is None:
            raise RefusedError("no such customer", status=HTTPStatus.NOT_FOUND)
        return reply(_show(customer) | {"events": [asdict(event) for event in customer.events]})

    async def get_customers(self, request: web.Request) -> web.Response:
        """All customers without their events: `?offset=0&limit=1000`."""
        customers = self.record.customers()
        return reply(
            {"count": len(customers), "customers": [_show(each) for each in page(request, customers)]}
        )

    async def get_events(self, request: web.Request) -> web.Response:
        """Events in the order of arrival: `?offset=0&limit=1000`."""
        events = self.record.events
        return reply({"count": len(events), "events": [asdict(event) for event in page(request, events)]})


def _show(customer: Customer) -> dict[str, Any]:
    return {"ids": customer.ids, "properties": customer.properties}
