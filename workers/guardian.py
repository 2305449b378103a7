"""The guardian's process: looks at a steady pace until it is told to stop."""

import signal
import threading
from collections.abc import Callable
from datetime import datetime
from time import monotonic

import structlog

from clearance.clock import utc_now
from clearance.errors import LedgerUnavailable
from config.settings import Settings
from workers import exposition, heartbeats, otel, wiring
from workers.mail_plan import mail_watch

log = structlog.get_logger()

_MOST_BACKOFF = 10
_LOOK_EVERY_S = 5.0
# A look that takes long is followed by a longer rest: it costs a tenth of a core at most.
_REST_BY_LOOK = 9


def run(settings: Settings) -> None:
    """Guard until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if settings.metrics_port:
        exposition.serve(settings)
        _watch("mail-watch", mail_watch(settings).look, stopping)
        _watch("fleet-watch", wiring.fleet_watch(settings).look, stopping)
        _watch("queue-watch", wiring.queue_watch(settings).look, stopping)
    otel.begin("guardian")
    guardian = wiring.guardian(settings)
    looked_at: datetime | None = None
    beats = heartbeats.of_guardian(settings, wiring.celery_app(settings), lambda: looked_at)
    _watch("heartbeats", beats.turn, stopping, every_s=settings.heartbeat_every_s / heartbeats.TURNS)
    log.info("guardian.started", interval_s=settings.guardian_interval_s)
    planned, failures = monotonic(), 0
    while not stopping.wait(max(0.0, planned - monotonic())):
        started = monotonic()
        wiring.metrics.gauge("guardian_lag_seconds", started - planned)
        try:
            guardian.look()
            failures, looked_at = 0, utc_now()
        except LedgerUnavailable as error:
            failures = min(failures + 1, _MOST_BACKOFF)
            log.error("guardian.ledger_unavailable", error=str(error))
        wiring.metrics.observe("guardian_tick_seconds", monotonic() - started)
        planned = started + settings.guardian_interval_s * (1 + failures)
    log.info("guardian.stopped")


def _watch(
    name: str, look: Callable[[], None], stopping: threading.Event, *, every_s: float = _LOOK_EVERY_S
) -> None:
    """Beside the guardian, which waits neither for a broker nor for a count; each in a thread of its own."""

    def watching() -> None:
        while not stopping.is_set():
            started = monotonic()
            try:
                look()
            except Exception:
                # The thread must live: a gauge that stands still looks like a fleet that does.
                log.exception("watch.failed_on_a_bug", watch=name)
            stopping.wait(max(every_s, _REST_BY_LOOK * (monotonic() - started)))

    threading.Thread(target=watching, name=name, daemon=True).start()
