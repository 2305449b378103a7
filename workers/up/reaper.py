"""Who stops the processes when their supervisor was killed? A small process that notices by the end of its input.

In: lines `running PID STAGE GRACE_S` and `gone PID` on standard input, whose other end only the supervisor holds; the
kernel closes it however the supervisor ends. Then whatever is still running is stopped in order. It has a session of
its own and ignores the terminal, so that nothing aimed at the supervisor hits it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from workers.up.stopping import Stoppable, stop_in_order

# Short: with their supervisor the reader of their logs is gone, and a Celery worker that cannot write its farewell does
# not take it. A kill is what every process here must survive anyway.
_LONGEST_GRACE_S = 3.0


class Reaper:
    """The supervisor's end: tells what is running. One that was killed is replaced."""

    def __init__(self) -> None:
        self._running: dict[int, Stoppable] = {}
        self._process = self._started()

    def running(self, process: Stoppable) -> None:
        """A process has been started."""
        self._running[process.pid] = process
        self._tell(_line(process))

    def gone(self, pid: int) -> None:
        """A process has ended and its group with it."""
        self._running.pop(pid, None)
        self._tell(f"gone {pid}\n")

    def close(self) -> None:
        """Nothing is running any more; or if something is, it is stopped now."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:
            self._process.wait()
            self._process = self._started()
            for process in self._running.values():
                self._write(_line(process))

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was made with a pipe
        self._process.stdin.write(line.encode())

    def _started(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "workers.up.reaper"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)  # noqa: S603 - ours


def still_running(lines: Iterable[str]) -> list[Stoppable]:
    """What is left when the input has ended."""
    running: dict[int, Stoppable] = {}
    for line in lines:
        match line.split():
            case ["running", pid, stage, grace_s]:
                running[int(pid)] = Stoppable(pid=int(pid), stage=int(stage), grace_s=float(grace_s))
            case ["gone", pid]:
                running.pop(int(pid), None)
    return list(running.values())


def main() -> None:
    """Wait for the end of the input, then stop what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = [replace(item, grace_s=min(item.grace_s, _LONGEST_GRACE_S)) for item in still_running(sys.stdin)]
    stop_in_order(left, is_gone=_is_gone, monotonic=time.monotonic, pause=time.sleep)


def _line(process: Stoppable) -> str:
    return f"running {process.pid} {process.stage} {process.grace_s}\n"


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Whoever inherited it may take its time to collect it; dead it is. Only Linux tells by file.
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    return False


if __name__ == "__main__":
    main()
