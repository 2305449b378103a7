"""A port that is taken is named before anything is started."""

import socket

import pytest

from config.settings import SettingsError
from workers.up.ports import WantedPort, free_ports, require_free


def _wanted(port: int) -> WantedPort:
    return WantedPort(user="ingest", host="127.0.0.1", port=port, variable="CLEARANCE_INGEST_PORT")


def test_a_taken_port_is_refused_with_its_number_and_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(SettingsError, match=f"CLEARANCE_INGEST_PORT: port {port}, for ingest, is taken"):
            require_free([_wanted(port)])


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(5)

    assert len(set(ports)) == 5
    require_free([_wanted(port) for port in ports])
