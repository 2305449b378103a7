"""Which part of a long list is asked for? Whole numbers in a query, and pages of bounded size."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from aiohttp import web

from clearance.sandbox.answers import RefusedError

# A page is made in one go, while everybody else waits: some 60 ms for customers with attributes.
PAGE_MAX = 10_000
PAGE_DEFAULT = 1_000


def load_number(request: web.Request, name: str) -> int | None:
    """A parameter that is a whole number; None: it is not there.

    Raises:
        RefusedError: It is something else; answer with it.
    """
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RefusedError("invalid", errors={name: ["must be a whole number"]})
    return int(text)


def load_page(request: web.Request) -> tuple[int, int]:
    """Offset and limit: `?offset=0&limit=1000`. Raises `RefusedError`."""
    limit = load_number(request, "limit")
    return load_number(request, "offset") or 0, min(PAGE_DEFAULT if limit is None else limit, PAGE_MAX)


def page(request: web.Request, items: Sequence[Any]) -> list[Any]:
    """The part of `items` that is asked for. Raises `RefusedError`."""
    offset, limit = load_page(request)
    return list(islice(items, offset, offset + limit))
