"""One supervised process: started, watched until it is ready, started again when it dies."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from workers.up.restarts import RestartPolicy, Restarts
from workers.up.stopping import Stoppable, kill_group

WriteLine = Callable[[str, bytes], None]


class ChildState(StrEnum):
    """Where a process stands."""

    WAITING = "waiting"  # for its wave, or for its restart
    STARTING = "starting"
    READY = "ready"
    FINISHED = "finished"  # one that runs once has done so
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What is to be run.

    Attributes:
        environment: Added to the supervisor's own. May hold secrets.
        is_ready: Whether it can be used; asked several times a second until it is, so it must be quick.
        wave: Started when everything in the waves before is ready.
        stage: Stopped when everything in the stages before is gone.
        grace_s: How long it may take to stop.
        address: Where it can be reached; empty for nowhere.
        on_ready: Called each time that it has become ready.
        runs_once: It is expected to end with 0, and is ready then.
    """

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    wave: int = 0
    stage: int = 0
    grace_s: float = 5.0
    address: str = ""
    on_ready: Callable[[], None] = lambda: None
    runs_once: bool = False


class Child:
    """A `Process` under way. All times are `now` of the caller's monotonic clock, in seconds."""

    def __init__(self, process: Process, write_line: WriteLine, policy: RestartPolicy) -> None:
        self.process = process
        self.state = ChildState.WAITING
        self.restarts = 0
        self.exit_code: int | None = None
        self.was_ready = False
        self._write_line = write_line
        self._restarts = Restarts(policy)
        self._popen: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0

    @property
    def pid(self) -> int | None:
        """The pid while it is running."""
        return self._popen.pid if self._popen else None

    @property
    def stoppable(self) -> Stoppable | None:
        """What has to be stopped; None while it is not running."""
        if self._popen is None:
            return None
        return Stoppable(pid=self._popen.pid, stage=self.process.stage, grace_s=self.process.grace_s)

    def started_for_s(self, now: float) -> float:
        """How long ago it was last started."""
        return now - self._started_at

    def is_due(self, now: float) -> bool:
        """Whether it should be started."""
        return self.state is ChildState.WAITING and now >= self._start_at

    def start(self, now: float) -> None:
        """Start it, in a session of its own: a Ctrl-C in the terminal is the supervisor's to pass on."""
        if self.exit_code is not None:
            self.restarts += 1
        self._started_at = now
        self._popen = subprocess.Popen(  # noqa: S603 - the commands are ours
            self.process.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(self.process.environment),
            start_new_session=True,
        )
        self.state = ChildState.STARTING
        # A thread for each: a process that nobody reads stands still when the pipe is full.
        threading.Thread(target=self._pass_lines_on, args=(self._popen,), daemon=True).start()

    def has_ended(self, now: float) -> bool:
        """Whether it has ended since it was last asked; what it left of its group is killed."""
        if self._popen is None or self._popen.poll() is None:
            return False
        kill_group(self._popen.pid)
        self.exit_code, self._popen = self._popen.returncode, None
        if self.process.runs_once and self.exit_code == 0:
            self.state, self.was_ready = ChildState.FINISHED, True
        else:
            self._start_at = now + self._restarts.wait_after(self.started_for_s(now))
            self.state = ChildState.WAITING
        return True

    def has_become_ready(self) -> bool:
        """Whether it can be used since it was last asked."""
        if self.state is not ChildState.STARTING or self.process.runs_once or not self.process.is_ready():
            return False
        self.state, self.was_ready = ChildState.READY, True
        return True

    def wait_s(self, now: float) -> float:
        """How long until it is started again."""
        return max(0.0, self._start_at - now)

    def wait(self) -> None:
        """Wait for the end of one that was killed."""
        if self._popen is not None:
            self.exit_code, self._popen = self._popen.wait(), None

    def _pass_lines_on(self, popen: "subprocess.Popen[bytes]") -> None:
        assert popen.stdout is not None  # noqa: S101 - it was made with a pipe
        with popen.stdout:
            for line in popen.stdout:
                self._write_line(self.process.name, line)
