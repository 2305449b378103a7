"""What does an answer look like that arrives whole and is of no use? HTML, no body, or results that do not fit."""

import orjson
from aiohttp import web

from clearance.sandbox.answers import reply

HTML_REPLY = "<!doctype html><title>One moment</title><p>We will be back in a moment.</p>\n"
EMPTY_REPLY = b""


def miscounted(answer: web.Response) -> web.Response:
    """`answer` with its last result left out; one without results stays as it is."""
    body = answer.body
    content = orjson.loads(body) if isinstance(body, bytes) and body else None
    if not isinstance(content, dict) or not content.get("results"):
        return answer
    return reply(content | {"results": content["results"][:-1]}, answer.status)
