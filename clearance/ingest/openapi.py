"""What the door says of itself: the OpenAPI document, made from the schemas that check the requests."""

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from clearance.ingest import triggered
from clearance.optimove import triggered_schema
from clearance.optimove.signature import HEADER

_TYPE_BY_FIELD = {
    triggered_schema.Identifier: ("string", None),
    triggered_schema.Label: ("string", None),
    triggered_schema.EpochMilliseconds: ("integer", "int64"),
    triggered_schema.EpochSeconds: ("integer", "int64"),
    triggered_schema.Flag: ("boolean", None),
    triggered_schema.Object: ("object", None),
    triggered_schema.Attributes: ("object", None),
}

_REFUSED = {"$ref": "#/components/schemas/Refused"}
_REFUSALS = {
    "400": "Malformed: not JSON in UTF-8, or not an object.",
    "401": "The signature does not match, or the signed timestamp is not fresh.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "422": "Invalid: `errors` names the fields.",
}


def openapi_document() -> dict[str, Any]:
    """OpenAPI 3.1 for every route of ingest."""
    plugin: Any = MarshmallowPlugin(
        schema_name_resolver=lambda _schema: ""
    )  # no names: parts stand where they are
    spec = APISpec(title="Clearance ingest", version="1", openapi_version="3.1.0", plugins=[plugin])
    for field, (kind, form) in _TYPE_BY_FIELD.items():
        plugin.map_to_openapi_type(field, kind, form)
    spec.components.schema("TriggeredNotification", schema=triggered_schema.TriggeredSchema)
    spec.components.schema("Accepted", _object(accepted="boolean", id="string", duplicate="boolean"))
    spec.components.schema(
        "Refused", _object(accepted="boolean", error="string", detail="string", errors="object")
    )
    spec.path(triggered.ROUTE, operations={"post": _triggered()})
    spec.path("/healthz", operations={"get": _probe("The process is up.")})
    spec.path("/readyz", operations={"get": _probe("The ledger can acknowledge.", also="503")})
    spec.path("/metrics", operations={"get": {"summary": "Prometheus metrics.", "responses": _texts()}})
    spec.path("/openapi.json", operations={"get": _probe("This document.")})
    document: dict[str, Any] = spec.to_dict()
    return document


def _triggered() -> dict[str, Any]:
    refusals = {status: _answer(meaning, _REFUSED) for status, meaning in _REFUSALS.items()}
    return {
        "summary": "A triggered notification of Optimove, conditional execution.",
        "parameters": [
            {
                "name": HEADER,
                "in": "header",
                "required": True,
                "description": "HMAC-SHA256 of the body under the shared secret, lower-case hex.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/TriggeredNotification"}}
            },
        },
        "responses": {
            "202": _answer("In the ledger, and owed an answer.", {"$ref": "#/components/schemas/Accepted"}),
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
