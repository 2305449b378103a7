"""The guardian's process: looks at a steady pace until it is told to stop."""

import signal
import threading
from time import monotonic

import structlog

from clearance.errors import LedgerUnavailable
from config.settings import Settings
from workers import wiring

log = structlog.get_logger()

_MOST_BACKOFF = 10


def run(settings: Settings) -> None:
    """Guard until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if settings.metrics_port:
        wiring.metrics.serve(settings.metrics_port)
    guardian = wiring.guardian(settings)
    log.info("guardian.started", interval_s=settings.guardian_interval_s)
    planned, failures = monotonic(), 0
    while not stopping.wait(max(0.0, planned - monotonic())):
        started = monotonic()
        wiring.metrics.gauge("guardian_lag_seconds", started - planned)
        try:
            guardian.look()
            failures = 0
        except LedgerUnavailable as error:
            failures = min(failures + 1, _MOST_BACKOFF)
            log.error("guardian.ledger_unavailable", error=str(error))
        wiring.metrics.observe("guardian_tick_seconds", monotonic() - started)
        planned = started + settings.guardian_interval_s * (1 + failures)
    log.info("guardian.stopped")
