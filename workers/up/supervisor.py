"""What keeps the processes running: starts them in waves, starts again what dies, stops them in order.

One thread, one look at a time (`tick`), so that a caller can do something between two looks. Whatever happens to this
process, nothing that it started stays behind (`workers/up/reaper.py`).
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workers.up.child import Child, ChildState, Process, WriteLine
from workers.up.reaper import Reaper
from workers.up.restarts import RestartPolicy
from workers.up.stopping import stop_in_order

TICK_S = 0.1
_START_TIMEOUT_S = 60.0
# Lines of the supervisor itself carry this name.
NAME = "up"


class StartFailed(Exception):
    """A process ended, or was not ready in time, before it was ever ready: its own lines say why."""


class Supervisor:
    """The processes of one host.

    Args:
        state_file: Names, pids, addresses and restarts are kept here, for whoever wants to look or to kill.
        is_stopping: Asked between looks; True ends `start` and `watch`.
        is_hurried: Asked while stopping; True: no more grace.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        write_line: WriteLine,
        state_file: Path,
        is_stopping: Callable[[], bool],
        is_hurried: Callable[[], bool] = lambda: False,
        policy: RestartPolicy | None = None,
        start_timeout_s: float = _START_TIMEOUT_S,
    ) -> None:
        self._children = [Child(process, write_line, policy or RestartPolicy()) for process in processes]
        self._write_line = write_line
        self._state_file = state_file
        self._is_stopping = is_stopping
        self._is_hurried = is_hurried
        self._start_timeout_s = start_timeout_s
        self._reaper: Reaper | None = None

    @property
    def size(self) -> int:
        """How many processes there are."""
        return len(self._children)

    @property
    def restarts_by_name(self) -> dict[str, int]:
        """How often each process was started again."""
        return {child.process.name: child.restarts for child in self._children}

    @property
    def is_ready(self) -> bool:
        """Whether every process can be used now."""
        return all(child.state in (ChildState.READY, ChildState.FINISHED) for child in self._children)

    def is_up(self, name: str) -> bool:
        """Whether this process can be used now."""
        return any(child.state is ChildState.READY for child in self._children if child.process.name == name)

    def pid(self, name: str) -> int | None:
        """The pid of a process; None while it is not running."""
        return next(child.pid for child in self._children if child.process.name == name)

    def start(self, on_progress: Callable[[int, int], None] = lambda _ready, _all: None) -> bool:
        """Start everything and wait until all of it is ready; False when it was told to stop meanwhile.

        Raises:
            StartFailed: Call `stop` and tell the operator.
        """
        self._reaper = Reaper()
        while not self._is_stopping():
            self.tick()
            on_progress(sum(child.was_ready for child in self._children), len(self._children))
            if self.is_ready:
                return True
            self._refuse_failures()
            time.sleep(TICK_S / 2)
        return False

    def watch(self) -> None:
        """Keep everything running until told to stop."""
        while not self._is_stopping():
            self.tick()
            time.sleep(TICK_S)

    def tick(self) -> None:
        """One look at every process."""
        now = time.monotonic()
        changed = False
        for child in self._children:
            pid = child.pid
            if child.has_ended(now):
                changed = True
                self._ended(child, pid, now)
            elif child.has_become_ready():
                changed = True
                child.process.on_ready()
            elif child.is_due(now) and self._is_turn_of(child):
                changed = True
                child.start(now)
                if self._reaper and child.stoppable:
                    self._reaper.running(child.stoppable)
        if changed:
            self._keep_state()

    def stop(self) -> list[str]:
        """Stop everything in order; the names of those that had to be killed. Safe to call twice."""
        child_by_pid = {child.pid: child for child in self._children if child.pid is not None}

        def is_gone(pid: int) -> bool:
            return child_by_pid[pid].has_ended(time.monotonic())

        running = [child.stoppable for child in child_by_pid.values() if child.stoppable]
        killed = stop_in_order(
            running, is_gone=is_gone, monotonic=time.monotonic, pause=time.sleep, is_hurried=self._is_hurried
        )
        for child in self._children:
            child.wait()
            child.state = ChildState.STOPPED
        if self._reaper:
            self._reaper.close()
            self._reaper = None
            self._state_file.unlink(missing_ok=True)
        return [child_by_pid[pid].process.name for pid in killed]

    def say(self, text: str) -> None:
        """A line of the supervisor's own, among those of the processes."""
        self._write_line(NAME, text.encode() + b"\n")

    def _is_turn_of(self, child: Child) -> bool:
        return all(other.was_ready for other in self._children if other.process.wave < child.process.wave)

    def _ended(self, child: Child, pid: int | None, now: float) -> None:
        if self._reaper and pid is not None:
            self._reaper.gone(pid)
        if child.state is ChildState.FINISHED or not child.was_ready:
            return
        how = (
            f"code {child.exit_code}" if (child.exit_code or 0) >= 0 else f"signal {-(child.exit_code or 0)}"
        )
        self.say(f"{child.process.name} ended with {how}; starts again in {child.wait_s(now):.1f} s")

    def _refuse_failures(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.was_ready:
                continue
            if child.exit_code is not None:
                raise StartFailed(
                    f"{child.process.name} ended with code {child.exit_code} before it was ready"
                )
            if child.pid is not None and child.started_for_s(now) > self._start_timeout_s:
                raise StartFailed(f"{child.process.name} was not ready after {self._start_timeout_s:g} s")

    def _keep_state(self) -> None:
        state = {
            "supervisor": os.getpid(),
            "processes": [
                {
                    "name": child.process.name,
                    "pid": child.pid,
                    "state": child.state.value,
                    "address": child.process.address,
                    "restarts": child.restarts,
                }
                for child in self._children
                if not child.process.runs_once
            ],
        }
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        written = self._state_file.with_suffix(".tmp")
        written.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        written.replace(self._state_file)
