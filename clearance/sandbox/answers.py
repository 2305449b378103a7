"""How does the sandbox say no, and what does it read? JSON both ways, errors by field.

Source: facts sheet, "rate limit", whose 429 body gives the shape of the others.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from marshmallow import Schema, ValidationError

JSON = "application/json"
THROTTLED_MESSAGE = (
    "You have exceeded the rate limit for this API group. Please wait before sending another request."
)

_Loaded = TypeVar("_Loaded")


class RefusedError(Exception):
    """The request cannot be used; `answer()` is what the sender gets."""

    def __init__(
        self,
        message: str,
        *,
        status: int = HTTPStatus.BAD_REQUEST,
        errors: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors

    def answer(self) -> web.Response:
        """The refusal as a reply."""
        return refusal(self.status, str(self), self.errors)


def reply(payload: object, status: int = HTTPStatus.OK) -> web.Response:
    """`payload` as JSON."""
    body = orjson.dumps(payload, option=orjson.OPT_NON_STR_KEYS)  # keys may be enums
    return web.Response(body=body, status=status, content_type=JSON)


def refusal(status: int, message: str, errors: Mapping[str, object] | None = None) -> web.Response:
    """A refusal in the vendor's shape: status, error, message, and `errors` by field when there are any."""
    content: dict[str, object] = {"status": status, "error": HTTPStatus(status).phrase, "message": message}
    if errors:
        content["errors"] = errors
    return reply(content, status)


def throttled(retry_after_s: float | None = None) -> web.Response:
    """429 as the vendor words it; Retry-After only when asked for, because the vendor promises none."""
    answer = refusal(HTTPStatus.TOO_MANY_REQUESTS, THROTTLED_MESSAGE)
    if retry_after_s is not None:
        answer.headers["Retry-After"] = f"{retry_after_s:g}"
    return answer


def load_json(body: bytes) -> object:
    """Raises: RefusedError: The body is not JSON; answer with it."""
    try:
        loaded: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RefusedError("the body is not JSON") from None
    return loaded


def load_object(body: bytes) -> dict[str, object]:
    """Raises: RefusedError: The body is not a JSON object; answer with it."""
    loaded = load_json(body)
    if not isinstance(loaded, dict):
        raise RefusedError("the body is not a JSON object")
    return loaded


def load_with(schema: Schema, body: bytes, kind: type[_Loaded]) -> _Loaded:
    """What `schema` makes of the body, which is a `kind`.

    Raises:
        RefusedError: With the errors by field; answer with it.
    """
    try:
        loaded = schema.load(load_object(body))
    except ValidationError as error:
        raise RefusedError("invalid", errors=error.messages_dict) from None
    if not isinstance(loaded, kind):
        raise TypeError(f"{type(schema).__name__} loads {type(loaded).__name__}, not {kind.__name__}")
    return loaded


def answering(handler: Handler) -> Handler:
    """`handler`, whose refusals are answers."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except RefusedError as refused:
            return refused.answer()

    return handle
