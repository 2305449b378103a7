"""What the door says of itself: the OpenAPI document, made from the schemas that check the requests."""

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import fields

from clearance.ingest import listener_token, mailings, openapi_relay, relay_door, scheduled, triggered
from clearance.optilyz import mailing_states
from clearance.optimove import bodies, events_schema, send_groups_schema, triggered_schema
from clearance.optimove.signature import HEADER

_TEXT_OR_NUMBER = ["string", "integer"]
_TYPE_BY_FIELD = {
    triggered_schema.Identifier: ("string", None),
    triggered_schema.Label: (_TEXT_OR_NUMBER, None),
    triggered_schema.EpochMilliseconds: ("integer", "int64"),
    triggered_schema.EpochSeconds: ("integer", "int64"),
    triggered_schema.Flag: ("boolean", None),
    triggered_schema.Object: ("object", None),
    triggered_schema.Attributes: ("object", None),
    bodies.ScheduledId: (_TEXT_OR_NUMBER, None),
    bodies.SiteMoment: ("string", None),
    bodies.Count: ("integer", None),
    events_schema.EventType: (_TEXT_OR_NUMBER, None),
    mailing_states.RecipientObject: ("object", None),
}
# A time on the site's clock, as `site_time` reads it. Which month has which days, no pattern can say.
SITE_MOMENT_PATTERN = (
    r"^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[ T]"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?$"
)
_ID_LIMITS = {
    "minLength": 1,
    "maxLength": triggered_schema.MAX_ID_CHARACTERS,
    "pattern": r"^[^\u0000-\u001f\u007f]+$",
}
_LIMITS_BY_FIELD: dict[type[fields.Field[Any]], dict[str, Any]] = {
    triggered_schema.Identifier: _ID_LIMITS,
    bodies.ScheduledId: _ID_LIMITS | {"minimum": 0},
    bodies.SiteMoment: {"pattern": SITE_MOMENT_PATTERN},
    bodies.Count: {"minimum": 0, "maximum": bodies.GREATEST_COUNT},
    events_schema.EventType: {"minimum": 0, "maximum": bodies.GREATEST_COUNT, "pattern": "^[0-9]{1,9}$"},
}

_REFUSED = {"$ref": "#/components/schemas/Refused"}
_ACCEPTED = {"$ref": "#/components/schemas/Accepted"}
_REFUSALS = {
    "400": "Malformed: not JSON in UTF-8, or not an object.",
    "401": "The signature does not match, or the signed timestamp is not fresh.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "422": "Invalid: `errors` names the fields.",
    "429": "Too many requests from this address: come again after Retry-After seconds.",
}
_SCHEDULED_REFUSALS = _REFUSALS | {
    "401": "The listener's token is missing or wrong.",
    "409": "The site has the other scheduled API.",
}
# Either of the two.
_TOKEN: list[dict[str, list[str]]] = [{"listenerToken": []}, {"listenerPassword": []}]
_RELAY_KEY: list[dict[str, list[str]]] = [{openapi_relay.SECURITY_SCHEME: []}, {"relayToken": []}]


def openapi_document() -> dict[str, Any]:
    """OpenAPI 3.1 for every route of ingest."""
    plugin: Any = MarshmallowPlugin(
        schema_name_resolver=lambda _schema: ""
    )  # no names: parts stand where they are
    spec = APISpec(title="Clearance ingest", version="1", openapi_version="3.1.0", plugins=[plugin])
    for field, (kind, form) in _TYPE_BY_FIELD.items():
        plugin.map_to_openapi_type(field, kind, form)
    plugin.converter.add_attribute_function(_limits)
    components = spec.components
    components.schema("TriggeredNotification", schema=triggered_schema.TriggeredSchema)
    components.schema("SendGroupNotification", schema=send_groups_schema.SendGroupSchema)
    components.schema("ClearanceRequired", schema=events_schema.ClearanceSchema)
    components.schema("CampaignCancelled", schema=events_schema.CancellationSchema)
    components.schema("AnyEvent", schema=events_schema.EventSchema)
    components.schema(
        "Accepted", _object(accepted="boolean", id="string", duplicate="boolean", ignored="boolean")
    )
    components.schema(
        "Refused", _object(accepted="boolean", error="string", detail="string", errors="object")
    )
    in_query = {"type": "apiKey", "in": "query", "name": listener_token.PARAMETER}
    components.security_scheme("listenerToken", in_query)
    components.security_scheme("listenerPassword", {"type": "http", "scheme": "basic"})
    components.security_scheme("relayToken", in_query)
    components.schema("MailingDelivery", schema=mailing_states.MailingSchema)
    for name, schema in openapi_relay.schemas().items():
        components.schema(name, schema)
    components.security_scheme(openapi_relay.SECURITY_SCHEME, {"type": "http", "scheme": "basic"})
    spec.path(triggered.ROUTE, operations={"post": _triggered()})
    spec.path(scheduled.SEND_GROUPS_ROUTE, operations={"post": _send_groups()})
    spec.path(scheduled.EVENTS_ROUTE, operations={"post": _events()})
    spec.path(relay_door.ONE_ROUTE, operations={"post": openapi_relay.one()})
    spec.path(relay_door.MANY_ROUTE, operations={"post": openapi_relay.many()})
    spec.path(mailings.ROUTE, operations={"post": _mailings()})
    spec.path("/healthz", operations={"get": _probe("The process is up.")})
    spec.path("/readyz", operations={"get": _probe("The ledger can acknowledge.", also="503")})
    spec.path("/metrics", operations={"get": {"summary": "Prometheus metrics.", "responses": _texts()}})
    spec.path("/openapi.json", operations={"get": _probe("This document.")})
    document: dict[str, Any] = spec.to_dict()
    return document


def _limits(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    return _LIMITS_BY_FIELD.get(type(field), {})


def _triggered() -> dict[str, Any]:
    signature = {
        "name": HEADER,
        "in": "header",
        "required": True,
        "description": "HMAC-SHA256 of the body under the shared secret, lower-case hex.",
        "schema": {"type": "string"},
    }
    told = _intake(
        "A triggered notification of Optimove, conditional execution.",
        {"$ref": "#/components/schemas/TriggeredNotification"},
        "In the ledger, and owed an answer.",
        _REFUSALS,
    )
    return told | {"parameters": [signature]}


def _send_groups() -> dict[str, Any]:
    told = _intake(
        "A heads-up of Optimove: a send group waits for approval, conditional execution V2.",
        {"$ref": "#/components/schemas/SendGroupNotification"},
        "In the ledger. `id` is our id of the group, the same for every notification of it.",
        _SCHEDULED_REFUSALS,
    )
    return told | {"security": _TOKEN}


def _events() -> dict[str, Any]:
    kinds = ("ClearanceRequired", "CampaignCancelled", "AnyEvent")
    told = _intake(
        "An event of Optimove's listener: 5 asks for clearance of a campaign (V1), 4 cancels one.",
        {"anyOf": [{"$ref": f"#/components/schemas/{kind}"} for kind in kinds]},
        "In the ledger. `id` is our id of the campaign; with `ignored`, of a type that asks for nothing.",
        _SCHEDULED_REFUSALS,
    )
    return told | {"security": _TOKEN}


def _mailings() -> dict[str, Any]:
    told = _intake(
        "A mailing of Optilyz has changed its state.",
        {"$ref": "#/components/schemas/MailingDelivery"},
        "In the ledger. `id` is the same when the same is delivered again.",
        _REFUSALS | {"401": "The key is missing or wrong."},
    )
    return told | {"security": _RELAY_KEY}


def _intake(
    summary: str, schema: dict[str, Any], accepted: str, meaning_by_status: dict[str, str]
) -> dict[str, Any]:
    refusals = {status: _answer(meaning, _REFUSED) for status, meaning in meaning_by_status.items()}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "202": _answer(accepted, _ACCEPTED),
            "503": _answer("Not acknowledged: come again after Retry-After seconds.", _REFUSED),
        }
        | refusals,
    }


def _answer(meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}


def _object(**kind_by_name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in kind_by_name.items()}}


def _probe(meaning: str, *, also: str | None = None) -> dict[str, Any]:
    responses = {"200": _answer(meaning, {"type": "object"})}
    if also:
        responses[also] = _answer(f"Not so. {meaning}", {"type": "object"})
    return {"summary": meaning, "responses": responses}


def _texts() -> dict[str, Any]:
    return {"200": {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
