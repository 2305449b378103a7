"""Which ports are free, and who wants one that is not."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from config.settings import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPort:
    """A port that a process is about to listen on. `variable` is what to change if it is taken."""

    user: str
    host: str
    port: int
    variable: str


def free_ports(count: int) -> list[int]:
    """So many different ports of loopback that nobody listens on at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(item.getsockname()[1]) for item in sockets]


def require_free(wanted: Iterable[WantedPort]) -> None:
    """Notice before anything is started that it could not listen.

    Raises:
        SettingsError: Each port that is taken, with the variable that would move its user elsewhere.
    """
    problems = tuple(
        f"{item.variable}: port {item.port}, for {item.user}, is taken: stop what listens there or choose another"
        for item in wanted
        if not _is_free(item.host, item.port)
    )
    if problems:
        raise SettingsError(problems)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # A server with SO_REUSEPORT lets others bind; only listening tells.
            probe.listen(1)
        except OSError:
            return False
    return True
