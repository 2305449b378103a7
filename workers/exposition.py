"""Where are a process' metrics read? At one port of it, those of the child processes that it works with included.

Child processes of a prefork pool serve nothing: each keeps its counts in files of a directory that its parent made
before it became Celery's, and the parent adds them up whenever it is asked. A child that died has counted all the same.
A port that is taken costs the metrics of this process, not its work: approvals are worth more than their count.
"""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import structlog

from config.settings import Settings
from workers.connections import metrics

log = structlog.get_logger()

# The library's own name; it looks at it once, when it is imported.
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "clearance-metrics-"
# Younger, it may be one that is not locked yet.
_LEFT_BEHIND_AFTER_S = 60.0


def share_with_children(settings: Settings) -> None:
    """Before a process becomes the parent of a pool: have it and its children count into one directory."""
    if not settings.metrics_port:
        return
    _sweep()
    directory = tempfile.mkdtemp(prefix=_PREFIX)
    # Held by this process, by what it becomes and by its children, until the last of them is gone.
    handle = os.open(directory, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.set_inheritable(handle, True)
    os.environ[_DIRECTORY] = directory


def serve(settings: Settings) -> None:
    """Serve `/metrics` at the port of the settings, if there is one."""
    if not settings.metrics_port:
        return
    try:
        metrics.serve(settings.metrics_port, settings.metrics_host, shared=os.environ.get(_DIRECTORY, ""))
    except OSError as error:
        log.error(
            "metrics.not_served",
            host=settings.metrics_host,
            port=settings.metrics_port,
            error=error.strerror,
        )


def discard() -> None:
    """The parent ends, and its children have: nobody will ask again. What somebody else named is theirs."""
    directory = Path(os.environ.get(_DIRECTORY, ""))
    if directory.name.startswith(_PREFIX):
        shutil.rmtree(directory, ignore_errors=True)


def _sweep() -> None:
    """Remove what killed pools left behind."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # One that is locked is in use, and one of another user is theirs.
        with suppress(OSError):
            if time.time() - directory.stat().st_mtime < _LEFT_BEHIND_AFTER_S:
                continue
            handle = os.open(directory, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(handle)
