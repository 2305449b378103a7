"""A PostgreSQL cluster of the test's own, to be stopped and started: never the machine's."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services import service_required
from tests.system.processes import free_port

_BINARIES = Path("/usr/lib/postgresql")
_USER = "postgres"
_TIMEOUT_S = 60


class PrivatePostgres:
    """One cluster in a directory. `url` is its database; the same after a restart."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self._binaries = binaries
        self._directory = directory
        self._data = directory / "data"
        self._port = free_port()
        self.url = f"postgresql://{_USER}@127.0.0.1:{self._port}/postgres"
        self._run("initdb", "-D", str(self._data), "-U", _USER, "--auth=trust", "--no-sync")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._directory}"
        )
        log = str(self._directory / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def use_tls(self, certificate: Path, key: Path) -> None:
        """Start it again, to be spoken to over TLS as well."""
        for path in (certificate, key):
            own = self._data / path.name
            shutil.copyfile(path, own)
            own.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(own, _USER, _USER)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"ssl = on\nssl_cert_file = '{certificate.name}'\nssl_key_file = '{key.name}'\n")
        self.stop()
        self.start()

    def stop(self) -> None:
        """Stop it as a crash would: without a checkpoint, every connection cut."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def close(self) -> None:
        """Stop it if it runs, and remove everything."""
        subprocess.run(
            [
                *_as_postgres(),
                str(self._binaries / "pg_ctl"),
                "-D",
                str(self._data),
                "-m",
                "immediate",
                "stop",
            ],
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        # Not captured through pipes: the server that pg_ctl starts would hold them open.
        with (self._directory / f"{program}.out").open("wb") as out:
            done = subprocess.run(
                [*_as_postgres(), str(self._binaries / program), *arguments],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                check=False,
                timeout=_TIMEOUT_S,
            )
        told = (self._directory / f"{program}.out").read_text(errors="replace")
        assert done.returncode == 0, f"{program}: {done.returncode}\n{told}"


@contextmanager
def private_postgres() -> Iterator[PrivatePostgres]:
    """A running cluster; gone at the end of the block."""
    binaries = max(_BINARIES.glob("*/bin/initdb"), default=None, key=lambda path: int(path.parts[-3]))
    if binaries is None:
        service_required("PostgreSQL's initdb", f"nothing under {_BINARIES}")
    directory = Path(tempfile.mkdtemp(prefix="clearance-postgres-"))
    if os.geteuid() == 0:
        owner = pwd.getpwnam(_USER)
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    server = PrivatePostgres(binaries.parent, directory)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _as_postgres() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups"]
