"""The Celery application of a worker process: `python -m celery -A workers.app worker`, as `clearance worker` runs it.

The lane comes from `CLEARANCE_LANE`, which `clearance worker LANE` sets for the process it becomes.
"""

import os
from typing import Any

from celery import signals

from config import logs, settings
from workers import wiring

LANE = os.environ.get("CLEARANCE_LANE", "triggered")
_SETTINGS = settings.load()


@signals.setup_logging.connect(weak=False)
def _log(**_: Any) -> None:
    logs.configure(_SETTINGS.log_format, _SETTINGS.log_level, f"worker-{LANE}")


@signals.worker_ready.connect(weak=False)
def _serve_metrics(**_: Any) -> None:
    if _SETTINGS.metrics_port:
        wiring.metrics.serve(_SETTINGS.metrics_port)


app = wiring.celery_app(_SETTINGS, LANE)
