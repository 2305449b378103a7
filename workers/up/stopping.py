"""In which order are processes stopped, and how long is each given? Used by the supervisor and by what outlives it.

Each process leads a process group of its own. It is asked with SIGTERM; after its grace the whole group gets SIGKILL,
and the group gets it too when its leader is gone: a server's children must not hold its port.
"""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Stoppable:
    """A running process. Stage 0 is stopped first; a stage begins when the one before is gone."""

    pid: int
    stage: int
    grace_s: float


def stop_in_order(
    processes: Iterable[Stoppable],
    *,
    is_gone: Callable[[int], bool],
    monotonic: Callable[[], float],
    pause: Callable[[float], None],
    is_hurried: Callable[[], bool] = lambda: False,
) -> list[int]:
    """Stop them all.

    Args:
        is_gone: Whether the process of a pid has ended (and has been waited for by its parent).
        is_hurried: True: no more grace for anybody.

    Returns:
        The pids that had to be killed.
    """
    killed = []
    by_stage = groupby(sorted(processes, key=lambda item: item.stage), key=lambda item: item.stage)
    for group in [list(members) for _, members in by_stage]:
        killed += _stop_together(group, is_gone, monotonic, pause, is_hurried)
    return killed


def kill_group(pid: int) -> None:
    """SIGKILL for everybody in the group that `pid` leads or led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _stop_together(
    group: list[Stoppable],
    is_gone: Callable[[int], bool],
    monotonic: Callable[[], float],
    pause: Callable[[float], None],
    is_hurried: Callable[[], bool],
) -> list[int]:
    asked_at = monotonic()
    for item in group:
        with suppress(ProcessLookupError):
            os.kill(item.pid, signal.SIGTERM)
    killed, left = [], list(group)
    while left:
        for item in list(left):
            is_over = is_gone(item.pid)
            if not is_over and (monotonic() - asked_at >= item.grace_s or is_hurried()):
                killed.append(item.pid)
                is_over = True
            if is_over:
                kill_group(item.pid)
                left.remove(item)
        if left:
            pause(_POLL_S)
    return killed
