"""How does a sandbox run? In one process, until it is told to stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from clearance.sandbox.app import create_app
from clearance.sandbox.options import SandboxOptions

# A hanging reply (fault "hang") must not hold up the end.
SHUTDOWN_TIMEOUT_S = 0.5
BACKLOG = 2048


@asynccontextmanager
async def running(options: SandboxOptions) -> AsyncIterator[str]:
    """The base URL of a sandbox that listens as long as the context is open."""
    runner = web.AppRunner(create_app(options), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port, backlog=BACKLOG).start()
        host = f"[{options.host}]" if ":" in options.host else options.host
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def serve(options: SandboxOptions) -> None:
    """Serve until SIGTERM or SIGINT. Prints one line with the address when it listens."""
    # Fewer, larger collections: a pause here would be measured as the latency of the system under test.
    gc.set_threshold(50_000, 50, 100)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(options))


def loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """uvloop when it is installed, for its lower cost a message; else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


async def _serve(options: SandboxOptions) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with running(options) as url:
        sys.stdout.write(f"sandbox listening on {url}\n")
        sys.stdout.flush()
        await stopped.wait()
