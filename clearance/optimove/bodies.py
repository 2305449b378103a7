"""Which body of a scheduled notification can be worked? JSON of an object, that a schema accepts field by field.

In: bytes, whatever they are. Out: the checked payload, or a `Reject` whose text and errors name fields and what was
expected, never values. `SiteMoment`, `Count` and `ScheduledId` are the fields that both scheduled APIs share.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, cast

import orjson
from marshmallow import EXCLUDE, Schema, ValidationError, fields

from clearance.errors import Reject
from clearance.optimove import site_time
from clearance.optimove.triggered_schema import Identifier

MAX_ERRORS = 20  # a body of broken parts would otherwise be answered with more than was sent
GREATEST_COUNT = 2**31 - 1  # the ledger's integers


class SiteMoment(fields.Field[datetime]):
    """A time without a zone, in the site's, or with an offset. Loaded as written: naive, or aware."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            return site_time.parse(value)
        except ValueError:
            raise ValidationError(site_time.EXPECTED) from None


class Count(fields.Field[int]):
    """A number of things, or a place among them."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if type(value) is not int or not 0 <= value <= GREATEST_COUNT:
            raise ValidationError(f"must be a whole number of 0 to {GREATEST_COUNT}")
        return value


class ScheduledId(Identifier):
    """An id that the vendor writes as a number or as text; text from here on."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if type(value) is int and value >= 0:
            return str(value)
        if type(value) is not str:
            raise ValidationError("must be text or a whole number")
        return super()._deserialize(value)


class Part(Schema):
    """An object of a payload; fields that we do not know are ignored."""

    error_messages = {"type": "must be an object"}  # noqa: RUF012  # marshmallow's own form

    class Meta:
        unknown = EXCLUDE


def load_object(body: bytes) -> dict[str, Any]:
    """The object that `body` holds, unchecked.

    Raises:
        Reject: 400, reason `malformed`: not JSON, not UTF-8, nested too deep, or no object.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        # The decoder's text would quote the body.
        raise Reject(HTTPStatus.BAD_REQUEST, "malformed", "the body is not JSON in UTF-8") from None
    if type(payload) is not dict:
        raise Reject(HTTPStatus.BAD_REQUEST, "malformed", "the body is not a JSON object")
    return payload


def check(schema: Schema, payload: dict[str, Any]) -> dict[str, Any]:
    """What `schema` makes of `payload`.

    Raises:
        Reject: 422, reason `invalid`, with a list of messages by dotted path, e.g. `send_group.id`.
    """
    try:
        return cast(dict[str, Any], schema.load(payload))
    except ValidationError as error:
        errors = dict(islice(_by_path(error.messages_dict), MAX_ERRORS))
    told = f"fields are missing or wrong: {', '.join(errors)}"
    raise Reject(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", told, errors)


def _by_path(messages: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, list[str]]]:
    for key, told in messages.items():
        here = path if key == "_schema" else f"{path}.{key}".lstrip(".")
        if isinstance(told, Mapping):
            yield from _by_path(told, here)
        else:
            yield here, told
