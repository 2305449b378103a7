"""The Celery application of a worker process: `python -m celery -A workers.app worker`, as `clearance worker` runs it.

The lane comes from `CLEARANCE_LANE`, which `clearance worker LANE` sets for the process it becomes.
"""

import os
import signal
import sys
from typing import Any

from celery import signals
from celery.platforms import isatty

from config import logs, settings
from config.queues import QUEUE_BY_LANE
from workers import collector, deciding, wiring
from workers.event_cadence import EventCadence

LANE = os.environ.get("CLEARANCE_LANE", "triggered")
_SETTINGS = settings.load()


@signals.setup_logging.connect(weak=False)
def _log(**_: Any) -> None:
    logs.configure(_SETTINGS.log_format, _SETTINGS.log_level, f"worker-{LANE}")


@signals.worker_ready.connect(weak=False)
def _begin(**_: Any) -> None:
    if _SETTINGS.metrics_port:
        wiring.metrics.serve(_SETTINGS.metrics_port)
    if QUEUE_BY_LANE[LANE].pool == "threads":
        collector.settle()
    if _RULES:
        _RULES.begin()
    if _RULES and not isatty(sys.stdout):
        # In place of Celery's own handler, which starts the worker anew; on a terminal, SIGHUP is its end.
        signal.signal(signal.SIGHUP, lambda *_: _RULES.request_reload())


@signals.worker_shutdown.connect(weak=False)
def _end(**_: Any) -> None:
    if _RULES:
        _RULES.close()


@signals.celeryd_init.connect(weak=False)
def _warm_up(**_: Any) -> None:
    if QUEUE_BY_LANE[LANE].pool == "threads":
        wiring.warm_up(app)  # the first notification should not wait for what every one needs


_RULES = deciding.rules_keeper(_SETTINGS, LANE) if LANE in wiring.LANES_THAT_DECIDE else None
app = wiring.celery_app(_SETTINGS, LANE, _RULES)
app.steps["consumer"].add(EventCadence)
