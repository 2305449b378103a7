"""Which processes does a measurement run, and does none of them outlive it?

Each process leads a session of its own, so that whatever it starts can be ended with it. Everything ends when the
context closes; `main` turns SIGTERM and SIGHUP into an orderly exit, so that the context does close.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

_STOP_WITHIN_S = 6.0
_LOG_TAIL_LINES = 15
_NICE = 7
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class BenchmarkFailed(Exception):
    """Nothing was measured; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A process; `group` is what its CPU is counted under."""

    group: str
    process: "subprocess.Popen[bytes]"
    log: Path


class Processes:
    """The processes of one measurement, in the order of their start; they are stopped the other way round."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[Started] = []

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self,
        group: str,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        stands_back: bool = False,
    ) -> Started:
        """Start one process; what it prints goes to a file in the directory.

        One that stands back gets a fifth of what another gets while there is not enough for both.
        """
        log = self.directory / f"{len(self.started):02}-{group}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=_environment() | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if stands_back:
            _stand_back(process.pid)
        started = Started(group=group, process=process, log=log)
        self.started.append(started)
        return started

    def check(self) -> None:
        """Raises: BenchmarkFailed: A process has ended by itself."""
        for item in self.started:
            if item.process.poll() is not None:
                lines = item.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
                told = "\n".join(lines)
                raise BenchmarkFailed(f"{item.group} ended with {item.process.returncode}:\n{told}")

    def wait_until(self, is_ready: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
        """Raises: BenchmarkFailed: `what` did not come true in time, or a process has ended."""
        end = time.monotonic() + within_s
        while not is_ready():
            self.check()
            if time.monotonic() > end:
                raise BenchmarkFailed(f"not within {within_s:g} s: {what}")
            time.sleep(0.1)

    def by_group(self) -> dict[str, list[psutil.Process]]:
        """Every live process with its descendants."""
        groups: dict[str, list[psutil.Process]] = {}
        for item in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                leader = psutil.Process(item.process.pid)
                groups.setdefault(item.group, []).extend([leader, *leader.children(recursive=True)])
        return groups

    def stop(self) -> None:
        """End everything: first those that use the others, asked kindly, and soon after by force."""
        first, last = self.started[1:], self.started[:1]
        for stage in (first, last):
            for item in stage:
                with contextlib.suppress(ProcessLookupError):
                    item.process.terminate()
            end = time.monotonic() + _STOP_WITHIN_S
            for item in stage:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    item.process.wait(max(0.0, end - time.monotonic()))
            for item in stage:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(item.process.pid, signal.SIGKILL)
                item.process.wait()
        self.started.clear()


def _stand_back(pid: int) -> None:
    os.setpriority(os.PRIO_PROCESS, pid, _NICE)
    # Where Linux shares the processors out by session, this is what counts between two of them.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(_NICE))


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: by an exception, so that contexts close."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    former = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _environment() -> dict[str, str]:
    """Ours without settings of a deployment, and without proxies: everything here is on loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CLEARANCE_") and name.lower() not in _PROXIES
    } | {"PYTHONUNBUFFERED": "1"}
