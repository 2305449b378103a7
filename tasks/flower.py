"""How Flower hears of an obligation that did not have a message to itself: the events that Celery would have sent.

Under load one message carries several obligations, and is one task to Celery. What goes wrong with one of them is told
under that obligation's own id, so that a retry looks in Flower as it does when there is no load.
"""

from typing import Any

import structlog
from celery import Task
from celery.exceptions import Retry

from clearance.obligations import Claimed

log = structlog.get_logger()


def show(task: Task, claimed: Claimed, trouble: Exception) -> None:
    """Send Celery's events for an attempt that ended in `trouble`; never fails, because nothing depends on it."""
    is_retry = isinstance(trouble, Retry)
    shown = getattr(trouble, "exc", None) or trouble
    received: dict[str, Any] = {
        "uuid": claimed.obligation_id,
        "name": task.name,
        "args": f"('{claimed.obligation_id}',)",
        "kwargs": "{}",
        "retries": claimed.attempt - 1,
    }
    ended = {"uuid": claimed.obligation_id, "exception": repr(shown), "traceback": ""}
    try:
        with task.app.events.default_dispatcher(hostname=task.request.hostname) as dispatcher:
            dispatcher.send("task-received", **received)
            dispatcher.send("task-started", uuid=claimed.obligation_id)
            dispatcher.send("task-retried" if is_retry else "task-failed", **ended)
    except Exception as error:  # noqa: BLE001 - a broker that is away must not undo what the ledger has
        log.warning("flower.not_told", error=type(error).__name__)
