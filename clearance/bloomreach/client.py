"""How is Bloomreach told something? One call of its Tracking API, with up to 50 commands.

In: commands that are well-formed. Out: what became of each, by position; anything else raises as
`clearance.http.exchange` says, or as `UnreadableAnswer`. A call is sent once: whether it may be repeated is the
caller's to say. Source: facts sheet, "Bloomreach Tracking API v2".
"""

from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import quote

import orjson

from clearance.bloomreach.commands import Command
from clearance.bloomreach.replies import VENDOR, Result, load_results
from clearance.clock import Clock, utc_now
from clearance.http.exchange import BoundedHttp


class BloomreachClient:
    """Threads share one client; `pool_size` is how many of them call at once.

    Raises:
        ValueError: The base URL or the key cannot be used. The text holds neither.
    """

    def __init__(
        self,
        base_url: str,
        *,
        project_token: str,
        key_id: str,
        secret: str,
        timeout_s: float,
        pool_size: int,
        now: Clock = utc_now,
    ) -> None:
        credentials = b64encode(f"{key_id}:{secret}".encode()).decode()
        headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "clearance",
        }
        self._http = BoundedHttp(VENDOR, base_url, headers, pool_size=pool_size, now=now)
        self._path = f"/track/v2/projects/{quote(project_token, safe='')}/batch"
        self._timeout_s = timeout_s

    def send(self, commands: Sequence[Command]) -> list[Result]:
        """What became of each command, by position.

        Raises:
            RetryLater: None of them may be taken as told; `is_unconfirmed` says whether some may have arrived.
            Park: Bloomreach takes none of them.
        """
        sent = {"commands": [{"name": command.name.value, "data": command.data} for command in commands]}
        reply = self._http.exchange("POST", self._path, orjson.dumps(sent), timeout_s=self._timeout_s)
        return load_results(reply.body, len(commands), status=reply.status)

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()
