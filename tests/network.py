"""Which connections a test may open: unit tests none, all others only to this machine and to declared services.

It guards Python's own sockets in the process of the tests. Libraries with sockets of their own (libpq, granian) and
child processes pass by it; they are given loopback addresses.
"""

import ipaddress
import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

SERVICE_URL_PREFIX = "CLEARANCE_TEST_"


class ConnectionRefusedByTestError(Exception):
    """A test reached for a network that its tier may not use. Not an OSError: product code must not handle it."""


def guard(monkeypatch: pytest.MonkeyPatch, *, loopback: bool) -> None:
    """Refuse every connection, or with `loopback` those that leave this machine for an undeclared service."""
    for method in ("connect", "connect_ex"):
        real = getattr(socket.socket, method)

        def checked(self: socket.socket, address: object, real=real) -> object:
            if loopback and _stays_here(address):
                return real(self, address)
            self.close()  # nobody closes a socket after an error that is not an OSError
            if not loopback:
                raise ConnectionRefusedByTestError(
                    "a unit test opened a connection: inject a fake, or mark it `loopback`"
                )
            raise ConnectionRefusedByTestError(f"a test reached for {address!r}, which is not this machine")

        monkeypatch.setattr(socket.socket, method, checked)


def _stays_here(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a UNIX socket
    host = str(address[0])
    if host in {"", "localhost"} or host in _service_hosts(os.environ):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _service_hosts(environ: Mapping[str, str]) -> set[str]:
    """The hosts of the services that this run was given, by name and by address: in CI they have their own."""
    names = {
        urlsplit(value).hostname or ""
        for name, value in environ.items()
        if name.startswith(SERVICE_URL_PREFIX) and name.endswith("_URL")
    }
    hosts = set(names)
    for name in names - {""}:
        hosts.update(str(info[4][0]) for info in socket.getaddrinfo(name, None))
    return hosts
