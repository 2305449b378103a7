"""The ingest process: the door's application on its HTTP server."""

from starlette.applications import Starlette

from clearance.ingest.app import create_app
from config import logs, settings
from config.settings import Settings
from workers import collector, otel, wiring

# Of all headers of a request together; the longest that a sender of ours sends has a few hundred bytes.
_MOST_HEADER_BYTES = 32_768


def application() -> Starlette:
    """The ASGI application; the server calls this in the process that serves."""
    here = settings.load()
    logs.configure(here.log_format, here.log_level, "ingest")
    otel.begin("ingest")
    app = create_app(wiring.ingest_parts(here))
    collector.settle()
    return app


def run(settings_: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings

    wiring.require_ingest(settings_)
    Granian(
        "workers.ingest:application",
        factory=True,
        address=settings_.ingest_host,
        port=settings_.ingest_port,
        interface=Interfaces.ASGI,
        # With HTTP/2 on offer, a connection that never says anything is never closed.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(settings_.ingest_header_timeout_s * 1000),
            max_buffer_size=_MOST_HEADER_BYTES,
        ),
        websockets=False,
        workers=1,
        log_dictconfig=logs.GRANIAN_LOG_CONFIG,
        log_access=False,
    ).serve()
