"""How does a notification get to a webhook? One POST over a bounded pool of kept connections, never repeated.

A request waits for a free connection inside its timeout, and that wait counts as the receiver's: it is what an
open-loop sender sees. Source of "never repeated": facts sheet, "retries of a webhook (... others: none assumed)".
"""

from collections.abc import Mapping

import aiohttp
from yarl import URL

CONNECTIONS = 512
TIMEOUT_S = 10.0
# Less than the 5 s after which common servers close an idle connection: reusing it then would be a failed POST.
KEEP_ALIVE_S = 4.0


class Sender:
    """Open inside a running loop, closed with it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers={"Content-Type": "application/json", "User-Agent": "clearance-sandbox"},
            skip_auto_headers=("Accept", "Accept-Encoding"),
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def post(self, url: URL, body: bytes, headers: Mapping[str, str]) -> int | None:
        """The status of the reply; None when there was none. A redirect is a status: it is not followed."""
        if self._session is None:
            raise RuntimeError("the sender is not open")
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
