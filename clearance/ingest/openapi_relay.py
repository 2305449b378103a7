"""What the OpenAPI document says of the relay: made from the fields that check the recipients."""

from typing import Any

from clearance.ingest.relay import AUTOMATION_ID, MAX_ADDRESSES
from clearance.ingest.relay_door import DRY_RUN_HEADER
from clearance.optilyz import recipients_schema

SECURITY_SCHEME = "relayKey"
_AUTOMATION_ID = {"type": "string", "pattern": f"^{AUTOMATION_ID}$"}
_TEXT = {"type": ["string", "integer", "null"], "maxLength": recipients_schema.MAX_LINE_CHARACTERS}
_INDIVIDUALISATION = _TEXT | {"maxLength": recipients_schema.MAX_INDIVIDUALISATION_CHARACTERS}
_ERRORS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["code", "description"],
        "properties": {"code": {"type": "integer"}, "description": {"type": "string"}},
    },
}
_MESSAGES = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
}
_RESULT = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "duplicate": {"type": "boolean"},
        "leftOut": {"type": "array", "items": {"type": "string"}},
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {"message": {"type": "string"}, "fields": _MESSAGES},
        },
    },
}
_NOT_TAKEN = {
    "type": "object",
    "required": ["success", "errors"],
    "properties": {"success": {"type": "boolean"}, "errors": _ERRORS},
}


def schemas() -> dict[str, dict[str, Any]]:
    """The parts of the document that the relay's operations refer to, by name."""
    beside = {
        "variation": {"description": "Passed on as it is."},
        "vouchers": {"type": ["array", "null"], "items": {}, "description": "Passed on as they are."},
    }
    address = {
        "type": "object",
        "properties": dict.fromkeys(sorted(recipients_schema.FIELDS), _TEXT),
        "patternProperties": {"^individuali[sz]ation[1-9][0-9]{0,2}$": _INDIVIDUALISATION},
    }
    wrapper = {
        "type": "object",
        "required": ["address"],
        "properties": {"address": {"$ref": "#/components/schemas/Address"}} | beside,
    }
    taken = {
        "type": "object",
        "required": ["success"],
        "properties": {
            "success": {"type": "boolean"},
            "requestId": {"type": "string"},
            "dryRun": {"type": "boolean"},
            "errors": _ERRORS,
        },
    }
    return {
        "Address": address,
        "Recipient": {"anyOf": [wrapper, {"$ref": "#/components/schemas/Address"}]},
        "Recipients": {
            "type": "object",
            "required": ["addresses"],
            "properties": {
                "addresses": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_ADDRESSES,
                    "items": {"$ref": "#/components/schemas/Recipient"},
                }
            },
        },
        "TakenRecipient": _with(taken, id={"type": "string"}, result=_RESULT, fields=_MESSAGES),
        "TakenRecipients": _with(
            taken,
            queued={"type": "integer"},
            ignored={"type": "integer"},
            results={"type": "array", "items": _RESULT},
        ),
        "NotTaken": _NOT_TAKEN,
    }


def one() -> dict[str, Any]:
    """The operation that takes one recipient."""
    told = "In the ledger if `success`, and `id` is its id; if not, `errors` say why."
    return _operation("A recipient for an automation of Optilyz.", "Recipient", told, "TakenRecipient")


def many() -> dict[str, Any]:
    """The operation that takes up to a thousand."""
    told = "`results`, by position: the id of what is in the ledger, the error of what is not."
    return _operation("Recipients for an automation of Optilyz.", "Recipients", told, "TakenRecipients")


def _operation(summary: str, sent: str, told: str, answered: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "security": [{SECURITY_SCHEME: []}],
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": _AUTOMATION_ID},
            {
                "name": DRY_RUN_HEADER,
                "in": "header",
                "description": "1: validate, store and batch, but post nothing.",
                "schema": {"type": "string", "enum": ["0", "1"]},
            },
        ],
        "requestBody": {"required": True, "content": _json(sent)},
        "responses": {
            "200": {"description": told, "content": _json(answered)},
            "401": {"description": "The key is missing or wrong.", "content": _json("NotTaken")},
            "503": {
                "description": "Nothing was taken: come again after Retry-After seconds.",
                "content": _json("NotTaken"),
            },
        },
    }


def _with(schema: dict[str, Any], **properties: dict[str, Any]) -> dict[str, Any]:
    return schema | {"properties": schema["properties"] | properties}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
