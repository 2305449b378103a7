"""The triggered API: webhooks, tenant settings, approvals.

Source: vendor page, "Conditional Execution for Triggered Campaigns"; facts sheet, "Calls" (paths marked I are
inferred). Replies to calls whose reply is not known are 200 with an empty body.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from marshmallow import Schema, fields, validate
from yarl import URL

from clearance.sandbox.answers import RefusedError, load_object, load_with, reply
from clearance.sandbox.gate import Gate
from clearance.sandbox.limits import Group
from clearance.sandbox.loopback import NotLoopbackError, load_loopback_url
from clearance.sandbox.record import Record
from clearance.sandbox.times import Times

BASE = "/conditional-execution/v2/triggered"
DEFAULT_TIMEOUT_MS = 5000
WEBHOOKS_KEPT = 100


class _WebhookSchema(Schema):
    url = fields.String(required=True)


class _SettingsSchema(Schema):
    timeout = fields.Integer(strict=True, validate=validate.Range(1, 600_000))
    secret = fields.String(allow_none=True)


class Tenant:
    """What the tenant has set up: its webhooks, its response timeout in ms, and its secret (empty: unsigned)."""

    def __init__(self, secret: str) -> None:
        self.webhook_by_id: dict[str, URL] = {}
        self.timeout_ms = DEFAULT_TIMEOUT_MS
        self.secret = secret
        self._registered = 0

    def register(self, url: URL) -> str:
        """A new webhook's id."""
        self._registered += 1
        webhook_id = f"webhook{self._registered}"
        self.webhook_by_id[webhook_id] = url
        return webhook_id


class TriggeredApi:
    """Handlers of the triggered API. `current_record` is what approvals are taken into."""

    def __init__(self, *, tenant: Tenant, current_record: Callable[[], Record], times: Times) -> None:
        self._tenant = tenant
        self._current_record = current_record
        self._times = times

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        """The API's routes behind the gate, with and without a trailing slash."""

        def route(method: str, path: str, handler: Any, group: Group = Group.TRIGGERED) -> list[web.RouteDef]:
            guarded = gate.guard(group, handler)
            return [web.route(method, BASE + path + end, guarded) for end in ("", "/")]

        return [
            *route("POST", "/webhooks", self.create_webhook),
            *route("GET", "/webhooks", self.get_webhooks),
            *route("GET", "/webhooks/{id}", self.get_webhook),
            *route("DELETE", "/webhooks/{id}", self.delete_webhook),
            *route("GET", "/settings", self.get_settings),
            *route("PUT", "/settings", self.put_settings),
            *route("POST", "/approval", self.approve, Group.TRIGGERED_APPROVAL),
        ]

    async def create_webhook(self, request: web.Request) -> web.Response:
        """CreateWebhook: 201 with `url` and `id`."""
        sent: dict[str, str] = load_with(_WebhookSchema(), await request.read(), dict)
        try:
            url = load_loopback_url(sent["url"])
        except NotLoopbackError as error:
            raise RefusedError("invalid", errors={"url": [str(error)]}) from None
        if len(self._tenant.webhook_by_id) >= WEBHOOKS_KEPT:
            raise RefusedError("too many webhooks: delete one", status=HTTPStatus.CONFLICT)
        return reply(_shown(self._tenant.register(url), url), HTTPStatus.CREATED)

    async def get_webhooks(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """GetWebhooks: an array."""
        return reply([_shown(*webhook) for webhook in self._tenant.webhook_by_id.items()])

    async def get_webhook(self, request: web.Request) -> web.Response:
        """GetWebhookById."""
        webhook_id = request.match_info["id"]
        url = self._tenant.webhook_by_id.get(webhook_id)
        if url is None:
            raise RefusedError("no such webhook", status=HTTPStatus.NOT_FOUND)
        return reply(_shown(webhook_id, url))

    async def delete_webhook(self, request: web.Request) -> web.Response:
        """DeleteWebhook: 200, no payload."""
        if self._tenant.webhook_by_id.pop(request.match_info["id"], None) is None:
            raise RefusedError("no such webhook", status=HTTPStatus.NOT_FOUND)
        return web.Response()

    async def get_settings(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """The tenant's settings."""
        return reply({"timeout": self._tenant.timeout_ms, "secret": self._tenant.secret or None})

    async def put_settings(self, request: web.Request) -> web.Response:
        """UpdateWebhookSettings: what is not named stays; an empty or null secret ends signing."""
        sent: dict[str, Any] = load_with(_SettingsSchema(), await request.read(), dict)
        self._tenant.timeout_ms = sent.get("timeout", self._tenant.timeout_ms)
        self._tenant.secret = sent.get("secret", self._tenant.secret) or ""
        return await self.get_settings(request)

    async def approve(self, request: web.Request) -> web.Response:
        """SendWebhookApproval: the first answer in time counts; 200, no payload, for late and unknown ones as well."""
        body = await request.read()
        read_at_ms, read_at_s = self._times.wall_ms(), self._times.monotonic_s()
        sent = load_object(body)
        errors = _approval_errors(sent)
        if errors:
            raise RefusedError("invalid", errors=errors)
        request_uid, is_approved = str(sent["request_uid"]), sent["approved"] is True
        self._current_record().take(request_uid, is_approved, read_at_ms=read_at_ms, read_at_s=read_at_s)
        return web.Response()


def _shown(webhook_id: str, url: URL) -> dict[str, str]:
    return {"url": str(url), "id": webhook_id}


def _approval_errors(sent: dict[str, object]) -> dict[str, list[str]]:
    """By hand, not by a schema: this is the benchmark's hot path."""
    errors = {}
    if type(sent.get("timestamp")) is not int:
        errors["timestamp"] = ["must be an integer: epoch milliseconds"]
    if not isinstance(sent.get("request_uid"), str) or not sent["request_uid"]:
        errors["request_uid"] = ["must be a text that is not empty"]
    if not isinstance(sent.get("approved"), bool):
        errors["approved"] = ["must be true or false"]
    if not isinstance(sent.get("additional_data", {}), dict):
        errors["additional_data"] = ["must be an object"]
    return errors
