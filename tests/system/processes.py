"""One real process under test: started, killed, frozen, watched, and in the end always gone with all its children."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

# Below the ports that the kernel gives to outgoing connections, so that none of those takes one of ours. Test processes
# beside each other choose from different parts.
_FIRST_PORT, _PORTS_EACH, _PARTS = 18_000, 2000, 7
_STOP_GRACE_S = 10.0
_LOG_TAIL_CHARS = 4000
# A run of tests that is killed itself takes its processes with it, where the system can do that.
_LEASH = [shutil.which("setpriv") or "", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class NotInTimeError(AssertionError):
    """Something that the test waited for did not happen."""


class Child:
    """A process in a group of its own, so that its children are reached too; its output goes to a file.

    Attributes:
        was_killed: The test ended it; a process that is gone without that has failed.
        was_reaped: Its whole group was killed, and nothing of it is left.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environ: Mapping[str, str], directory: Path
    ) -> None:
        self.name = name
        self.was_killed = False
        self.was_reaped = False
        self._command = [*_LEASH, *command]
        self._environ = dict(environ)
        self._directory = directory
        self._log = directory / f"{name}.log"
        self._started_at_byte = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process itself, which is also its group's."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs (or is frozen)."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of a process that is gone; negative: the signal that ended it."""
        return None if self._process is None else self._process.poll()

    @property
    def resident_bytes(self) -> int:
        """The memory of the process and its children."""
        process = psutil.Process(self.pid)
        return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])

    def start(self) -> None:
        """Start it, again if it ran before."""
        assert not self.is_alive, f"{self.name} runs already"
        self.was_killed = self.was_reaped = False
        self._started_at_byte = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """`kill -9`, to it and its children."""
        self.was_killed = True
        self._signal(signal.SIGKILL)
        self._wait()
        self.was_reaped = True

    def freeze(self) -> None:
        """SIGSTOP: it is there, and does nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it as an operator would, and by force when that takes too long."""
        self.was_killed = True
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            self._wait()
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def output(self) -> str:
        """What it has written since it was last started."""
        with self._log.open("rb") as log:
            log.seek(self._started_at_byte)
            return log.read().decode(errors="replace")

    def all_output(self) -> str:
        """What it has written since it was first started."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def tail(self) -> str:
        """The end of its output, for a failed test."""
        return f"--- {self.name} ---\n{self.all_output()[-_LOG_TAIL_CHARS:]}"

    def _signal(self, number: signal.Signals) -> None:
        # A group that was killed and reaped is gone: its number may be somebody else's by now.
        if self._process is None or (self.was_reaped and not self.is_alive):
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(_STOP_GRACE_S)


def until(condition: Callable[[], object], what: str, *, timeout_s: float, every_s: float = 0.02) -> float:
    """Wait for `condition` to be true; the seconds that it took.

    Raises:
        NotInTimeError: It was not in `timeout_s`.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout_s:
            raise NotInTimeError(f"not within {timeout_s:g} s: {what}")
        time.sleep(every_s)
    return time.monotonic() - started


def free_port() -> int:
    """A port on loopback that nobody listens on, and that was not given before."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port was given already")


def _own_ports() -> Iterator[int]:
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
    first = _FIRST_PORT + part * _PORTS_EACH
    # Not seeded: two runs beside each other must not choose alike.
    return iter(random.Random().sample(range(first, first + _PORTS_EACH), _PORTS_EACH))


_ports = _own_ports()
