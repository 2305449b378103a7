"""The Celery application of a worker process: `python -m celery -A workers.app worker`, as `clearance worker` runs it.

The lane comes from `CLEARANCE_LANE`, which `clearance worker LANE` sets for the process it becomes.
"""

import os
from typing import Any

from celery import signals

from config import logs, settings
from config.queues import QUEUE_BY_LANE
from workers import collector, wiring
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


@signals.celeryd_init.connect(weak=False)
def _warm_up(**_: Any) -> None:
    if QUEUE_BY_LANE[LANE].pool == "threads":
        wiring.warm_up(app)  # the first notification should not wait for what every one needs


app = wiring.celery_app(_SETTINGS, LANE)
app.steps["consumer"].add(EventCadence)
