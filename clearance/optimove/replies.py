"""What do Optimove's replies say: is a 2xx a success, and what is in those to the set-up calls?

In: the body of a 2xx. Out: values. A reply of another shape raises `VendorRefused`: it names the call's status and
the fields, never what they hold, because a URL may carry a token and the settings carry the secret.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load

from clearance.errors import VendorRefused
from clearance.http.exchange import Reply
from clearance.optimove.http import VENDOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where triggered notifications go. `url` may carry a token."""

    id: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """The tenant's settings. The secret itself is not kept. `timeout_ms` is None if the vendor did not say."""

    timeout_ms: int | None
    has_secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where events of one type go. `url` may carry a token."""

    event_type_id: int
    url: str


class _ReplySchema(Schema):
    class Meta:
        unknown = EXCLUDE


class _WebhookSchema(_ReplySchema):
    id = fields.Raw(required=True)  # text on the vendor's page; other ids of the vendor are numbers
    url = fields.String(required=True)

    @post_load
    def _build(self, reply: dict[str, Any], **_: Any) -> Webhook:
        return Webhook(id=str(reply["id"]), url=reply["url"])


class _SettingsSchema(_ReplySchema):
    timeout = fields.Integer(strict=True, allow_none=True)
    secret = fields.String(allow_none=True)

    @post_load
    def _build(self, reply: dict[str, Any], **_: Any) -> WebhookSettings:
        return WebhookSettings(timeout_ms=reply.get("timeout"), has_secret=bool(reply.get("secret")))


class _ListenerSchema(_ReplySchema):
    eventtypeid = fields.Integer(required=True)
    listenerurl = fields.String(required=True)

    @pre_load
    def _ignore_case(self, reply: Any, **_: Any) -> Any:
        # The vendor's calls differ in case from each other (facts sheet, "Base, auth, limits").
        return {str(key).lower(): value for key, value in reply.items()} if isinstance(reply, dict) else reply

    @post_load
    def _build(self, reply: dict[str, Any], **_: Any) -> Listener:
        return Listener(event_type_id=reply["eventtypeid"], url=reply["listenerurl"])


_webhook, _webhooks = _WebhookSchema(), _WebhookSchema(many=True)
_settings = _SettingsSchema()
_listeners = _ListenerSchema(many=True)


def refuse_error_text(reply: Reply) -> None:
    """A 2xx whose body is a text is an error, whatever it says. Source: facts sheet, "error in a success reply".

    Raises:
        VendorRefused: It is one. The text is not repeated, it may name a customer; its length tells one from another.
    """
    body = reply.body.strip()
    if body[:1] == b'"' and body != b'""':
        what = f"an error text of {len(reply.body)} bytes in a success reply"
        raise VendorRefused(VENDOR, reply.status, what)


def load_webhook(reply: Reply) -> Webhook:
    """From `{"url", "id"}`. Source: vendor page, triggered campaigns, step 1."""
    webhook: Webhook = _load(_webhook, reply)
    return webhook


def load_webhooks(reply: Reply) -> tuple[Webhook, ...]:
    """From an array of the above; inferred. An empty body is an empty array."""
    return tuple(_load(_webhooks, reply, b"[]"))


def load_settings(reply: Reply) -> WebhookSettings:
    """From `{"timeout": ms, "secret"}`. Source: vendor page, triggered campaigns, step 2."""
    settings: WebhookSettings = _load(_settings, reply)
    return settings


def load_listeners(reply: Reply) -> tuple[Listener, ...]:
    """From an array of `{"EventTypeID", "ListenerURL"}`; inferred from the call that registers."""
    return tuple(_load(_listeners, reply, b"[]"))


def _load(schema: Schema, reply: Reply, if_empty: bytes = b"") -> Any:
    try:
        told = orjson.loads(reply.body or if_empty)
        if schema.many and not isinstance(told, list):
            raise VendorRefused(VENDOR, reply.status, "a reply that is no array")
        return schema.load(told)
    except orjson.JSONDecodeError:
        raise VendorRefused(VENDOR, reply.status, "a reply that is not JSON") from None
    except ValidationError as error:
        wrong = ", ".join(sorted(map(str, error.messages_dict)))
        raise VendorRefused(VENDOR, reply.status, f"a reply of another shape: {wrong}") from None
