"""The Celery application of a worker process: `python -m celery -A workers.app worker`, as `clearance worker` runs it.

The lane comes from `CLEARANCE_LANE`, which `clearance worker LANE` sets for the process it becomes.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.platforms import isatty

from config import logs, settings
from config.queues import QUEUE_BY_LANE
from workers import collector, deciding, exposition, otel, wiring
from workers.event_cadence import EventCadence
from workers.rules_keeper import RulesKeeper

LANE = os.environ.get("CLEARANCE_LANE", "triggered")
_SETTINGS = settings.load()


@signals.setup_logging.connect(weak=False)
def _log(**_: Any) -> None:
    logs.configure(_SETTINGS.log_format, _SETTINGS.log_level, f"worker-{LANE}")


@signals.worker_ready.connect(weak=False)
def _begin(sender: Any, **_: Any) -> None:
    exposition.serve(_SETTINGS)
    if _IS_THREADED:
        otel.begin(f"worker-{LANE}")
        collector.settle()
        _decide()

    def hang_up(*_: object) -> None:
        for pid in sender.pool.info["processes"]:
            os.kill(pid, signal.SIGHUP)

    _listen(_reload if _IS_THREADED else hang_up)


@signals.worker_process_init.connect(weak=False)
def _begin_child(**_: Any) -> None:
    otel.begin(f"worker-{LANE}")
    _decide()
    _listen(_reload)
    wiring.warm_up(app)


@signals.worker_shutdown.connect(weak=False)
@signals.worker_process_shutdown.connect(weak=False)
def _end(**_: Any) -> None:
    for rules in _RULES:
        rules.close()
    otel.end()


@signals.worker_shutdown.connect(weak=False)
def _end_parent(**_: Any) -> None:
    exposition.discard()


@signals.celeryd_init.connect(weak=False)
def _warm_up(**_: Any) -> None:
    _log()  # Celery asks for it later than the rules are loaded
    if _IS_THREADED:
        wiring.warm_up(app)  # the first notification should not wait for what every one needs


def _rules() -> RulesKeeper:
    """Those of this process: made in the one that decides, which is a child where there are children."""
    if not _RULES:
        _RULES.append(deciding.rules_keeper(_SETTINGS, LANE))
    return _RULES[0]


def _decide() -> None:
    if LANE in wiring.LANES_THAT_DECIDE:
        _rules().begin()


def _reload(*_: object) -> None:
    for rules in _RULES:
        rules.request_reload()


def _listen(on_hang_up: Callable[..., None]) -> None:
    # In place of Celery's own handler, which starts the worker anew; on a terminal, SIGHUP is its end.
    if LANE in wiring.LANES_THAT_DECIDE and not isatty(sys.stdout):
        signal.signal(signal.SIGHUP, on_hang_up)


_IS_THREADED = QUEUE_BY_LANE[LANE].pool == "threads"
_RULES: list[RulesKeeper] = []
app = wiring.celery_app(_SETTINGS, LANE, _rules)
app.steps["consumer"].add(EventCadence)
