"""The old API, as its callers know it: a login, a token, event listeners.

Paths are accepted with and without `/current` and in any letter case, so they are looked up in a table, not routed.
Source: facts sheet, "legacy auth", "path forms", "Calls"; the public client `optimove` 2.0.0, which quotes listener
URLs and reads the login's reply as a JSON text.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web
from aiohttp.typedefs import Handler
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from clearance.sandbox.answers import RefusedError, load_object, load_with, refusal, reply
from clearance.sandbox.credentials import Credentials
from clearance.sandbox.gate import Gate
from clearance.sandbox.limits import Group
from clearance.sandbox.loopback import NotLoopbackError, load_loopback_url
from clearance.sandbox.times import Times

# Source: facts sheet, "Events a listener may receive".
EVENT_TYPES = (1, 2, 3, 4, 5, 11, 13, 14, 18)
SCHEDULED_CONDITIONAL_EXECUTION = 5


class _ListenerSchema(Schema):
    EventTypeID = fields.Integer(strict=True, required=True, validate=validate.OneOf(EVENT_TYPES))
    ListenerURL = fields.String(required=True)
    ChannelID = fields.Integer(strict=True)

    @validates_schema(skip_on_field_errors=True)
    def check_channel(self, data: dict[str, Any], **_: object) -> None:
        """Source: facts sheet, RegisterEventListener."""
        if data["EventTypeID"] == SCHEDULED_CONDITIONAL_EXECUTION and "ChannelID" in data:
            raise ValidationError("event type 5 cannot be bound to a channel", "ChannelID")


class _UnregisterSchema(Schema):
    EventTypeID = fields.Integer(strict=True, required=True, validate=validate.OneOf(EVENT_TYPES))


class LegacyApi:
    """Handlers of the legacy API, and the listeners that were registered, by event type."""

    def __init__(self, *, credentials: Credentials, times: Times) -> None:
        self.url_by_event_type: dict[int, str] = {}
        self._credentials = credentials
        self._times = times

    def handler_by_call(self, gate: Gate) -> dict[str, dict[str, Handler]]:
        """The API's handlers behind the gate, by lower-case path without `/current`, then by method."""

        def call(handler: Callable[[web.Request], Any], *, is_public: bool = False) -> Handler:
            return gate.guard(Group.GENERAL, handler, is_public=is_public)

        return {
            "general/login": {"POST": call(self.log_in, is_public=True)},
            "general/registereventlistener": {"POST": call(self.register)},
            "general/unregistereventlistener": {"POST": call(self.unregister)},
            "general/getregisteredeventlisteners": {"GET": call(self.get_listeners)},
            "general/getlastdataupdate": {"GET": call(self.get_last_data_update)},
        }

    async def log_in(self, request: web.Request) -> web.Response:
        """A token, as a JSON text."""
        sent = load_object(await request.read())
        return reply(self._credentials.log_in(sent.get("Username"), sent.get("Password")))

    async def register(self, request: web.Request) -> web.Response:
        """RegisterEventListener: 200, no payload."""
        sent: dict[str, Any] = load_with(_ListenerSchema(), await request.read(), dict)
        text = sent["ListenerURL"]
        try:
            url = load_loopback_url(text if "://" in text else unquote_plus(text))
        except NotLoopbackError as error:
            raise RefusedError("invalid", errors={"ListenerURL": [str(error)]}) from None
        self.url_by_event_type[sent["EventTypeID"]] = str(url)
        return web.Response()

    async def unregister(self, request: web.Request) -> web.Response:
        """UnregisterEventListener: 200, no payload, registered or not."""
        sent: dict[str, int] = load_with(_UnregisterSchema(), await request.read(), dict)
        self.url_by_event_type.pop(sent["EventTypeID"], None)
        return web.Response()

    async def get_listeners(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """GetRegisteredEventListeners; the shape is inferred from the call that registers."""
        return reply(
            [
                {"EventTypeID": kind, "ListenerURL": url}
                for kind, url in sorted(self.url_by_event_type.items())
            ]
        )

    async def get_last_data_update(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """GetLastDataUpdate: always today."""
        today = datetime.fromtimestamp(self._times.wall_ms() / 1000, tz=UTC)
        return reply({"Date": today.strftime("%Y-%m-%d")})


def dispatch(handler_by_call: dict[str, dict[str, Handler]]) -> Handler:
    """One handler for all paths that are looked up in a table."""

    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.path.lower().strip("/").removeprefix("current/")
        handler_by_method = handler_by_call.get(path)
        if handler_by_method is None:
            return refusal(HTTPStatus.NOT_FOUND, "no such call")
        handler = handler_by_method.get(request.method)
        if handler is None:
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"use {' or '.join(handler_by_method)}")
        return await handler(request)

    return handle
