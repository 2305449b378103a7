"""How does Bloomreach say no? In three shapes, as its documentation and its public client know them.

`error` for credentials, `message` for a body that has not the right structure, `errors` (a list, or an object by field)
for content. Source: facts sheet, "Bloomreach Tracking API v2".
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from aiohttp import web

from clearance.sandbox.answers import RefusedError, reply

Errors = Sequence[str] | Mapping[str, Sequence[str]]


class BloomreachRefused(RefusedError):
    """A refusal in one of Bloomreach's shapes: `shape` names the field that holds what is wrong."""

    def __init__(self, shape: str, content: str | Errors, *, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(str(content), status=status)
        self.content = content
        self._shape = shape

    def answer(self) -> web.Response:
        """The refusal as a reply."""
        return reply({"success": False, self._shape: self.content}, self.status)


def unauthorized(message: str) -> BloomreachRefused:
    """401: nobody that is known."""
    return BloomreachRefused("error", message, status=HTTPStatus.UNAUTHORIZED)


def forbidden(message: str) -> BloomreachRefused:
    """403: known, with the wrong secret."""
    return BloomreachRefused("error", message, status=HTTPStatus.FORBIDDEN)


def malformed(message: str) -> BloomreachRefused:
    """400: the body has not the right structure."""
    return BloomreachRefused("message", message)


def invalid(errors: Errors) -> BloomreachRefused:
    """400: the structure is right, the content is not."""
    return BloomreachRefused("errors", errors)
