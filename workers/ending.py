"""Is this worker asked to end? For tasks that would go on for longer than it may take to."""

import threading

from celery import signals


def asked_to_end() -> threading.Event:
    """Set when Celery begins to end this worker."""
    is_asked = threading.Event()

    def note(**_: object) -> None:
        is_asked.set()

    signals.worker_shutting_down.connect(note, weak=False)
    return is_asked
