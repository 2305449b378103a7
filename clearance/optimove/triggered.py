"""Can this body be worked, and what does it say?

In: the body of a notification whose signature holds. Out: one frozen value, or a `Reject` whose text and errors
name fields and units, never values. Anything that Optimove may send gives one of the two.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, cast

import orjson
from marshmallow import ValidationError

from clearance.errors import Reject
from clearance.optimove.triggered_notification import TriggeredNotification, TriggerEvent, notification_from
from clearance.optimove.triggered_schema import TriggeredSchema

__all__ = ["TriggerEvent", "TriggeredNotification", "load_triggered", "reload_triggered"]

MAX_ERRORS = 20  # a body of broken events would otherwise be answered with more than was sent
_schema = TriggeredSchema()


def load_triggered(body: bytes) -> TriggeredNotification:
    """The notification that `body` (JSON in UTF-8) holds; fields that we do not know are ignored.

    Raises:
        Reject: 400, reason `malformed`: not JSON, not UTF-8, nested too deep, or no object.
        Reject: 422, reason `invalid`, with a list of messages by dotted path, e.g. `user.user_id`.
    """
    try:
        return cast(TriggeredNotification, _schema.load(_payload(body)))
    except ValidationError as error:
        errors = dict(islice(_by_path(error.messages_dict), MAX_ERRORS))
    told = f"fields are missing or wrong: {', '.join(errors)}"
    raise Reject(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", told, errors)


def reload_triggered(body: bytes) -> TriggeredNotification:
    """The same value, without checking: only for a body that `load_triggered` has accepted and the ledger kept.

    Raises:
        Reject: As above for 400. A body that was never accepted may raise anything: a bug of the caller.
    """
    return notification_from(_payload(body))


def _payload(body: bytes) -> dict[str, Any]:
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        # The decoder's text would quote the body.
        raise Reject(HTTPStatus.BAD_REQUEST, "malformed", "the body is not JSON in UTF-8") from None
    if type(payload) is not dict:
        raise Reject(HTTPStatus.BAD_REQUEST, "malformed", "the body is not a JSON object")
    return payload


def _by_path(messages: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, list[str]]]:
    for key, told in messages.items():
        here = path if key == "_schema" else f"{path}.{key}".lstrip(".")
        if isinstance(told, Mapping):
            yield from _by_path(told, here)
        else:
            yield here, told
