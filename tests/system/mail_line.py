"""The line to a vendor, which can be taken away: connections are refused then, and those that stand are cut."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from tests.system.processes import free_port

_CHUNK = 65_536
_TIMEOUT_S = 5.0


class Line:
    """Carries bytes to a port of this machine, in a thread of its own; whoever is cut off on one side is on the other.

    Attributes:
        url: Where the vendor is reached by it.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self.restore()

    def restore(self) -> None:
        """Connections are taken again."""
        self._do(self._listen())

    def take_away(self) -> None:
        """The vendor is gone: what is under way is cut, what comes is refused."""
        self._do(self._end())

    def close(self) -> None:
        """The end of it."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_TIMEOUT_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        # Those who carry see the end of what they read, and are over.
        while self._writers:
            await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there, there_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(there_writer)
        await asyncio.gather(_pump(reader, there_writer), _pump(there, writer))
        self._writers -= {writer, there_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(_CHUNK):
            writer.write(part)
            await writer.drain()
    # What was written still goes out; then the other side sees the end as well.
    writer.close()
