"""Broker, Redis and ledger over TLS: the fleet works with the right authority, and with nobody else's."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from sqlalchemy import text

from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import open_ledger
from config.settings import Settings
from tests.integration.private_postgres import private_postgres
from tests.services import service_required
from tests.system.fleet import Fleet, FleetPlan, running
from tests.system.processes import free_port, until
from tests.system.verdict import judge
from workers.connections import shared_redis
from workers.wiring import celery_app

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a certificate for `localhost` and 127.0.0.2 signed by it, and another authority."""
    directory = tmp_path_factory.mktemp("certificates")
    if shutil.which("openssl") is None:
        service_required("openssl", "not on the path")
    for name in ("ca", "other"):
        _openssl(directory, "req", "-x509", "-nodes", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.crt",
                 "-subj", f"/CN={name}", "-days", "1")  # fmt: skip
    _openssl(directory, "req", "-nodes", *_KEY, "-keyout", "server.key", "-out", "server.csr",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.2")  # fmt: skip
    _openssl(directory, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
             "-out", "server.crt", "-copy_extensions", "copy", "-days", "1")  # fmt: skip
    return directory


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def tls_redis(certificates: Path) -> Iterator[str]:
    """A Redis that talks TLS only, and only to whom the authority has signed."""
    binary = shutil.which("redis-server")
    if binary is None:
        service_required("redis-server", "not on the path")
    port = free_port()
    options = {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": f"{certificates}/server.crt",
        "tls-key-file": f"{certificates}/server.key",
        "tls-ca-cert-file": f"{certificates}/ca.crt",
        "tls-auth-clients": "yes",
        "bind": "127.0.0.1",
        "dir": str(certificates),
        "save": "",
    }
    command = [binary, *(part for name, value in options.items() for part in (f"--{name}", value))]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"rediss://localhost:{port}/0"
    try:
        until(lambda: _answers(url, certificates), "Redis over TLS", timeout_s=10)
        yield url
    finally:
        server.kill()
        server.wait()


_RABBITS = [("ca.crt", "127.0.0.2", True), ("other.crt", "127.0.0.2", False), ("ca.crt", "127.0.0.1", False)]


def _answers(url: str, certificates: Path) -> bool:
    paths = {name: str(certificates / file) for name, file in _FILES.items()}
    try:
        return bool(redis.Redis.from_url(url, **paths).ping())
    except redis.RedisError:
        return False


_FILES = {"ssl_ca_certs": "ca.crt", "ssl_certfile": "server.crt", "ssl_keyfile": "server.key"}


def _settings(url: str, certificates: Path, *, ca: str = "ca.crt") -> Settings:
    return Settings(
        broker_url=url,
        broker_ca_path=str(certificates / ca),
        broker_cert_path=str(certificates / "server.crt"),
        broker_key_path=str(certificates / "server.key"),
    )


def test_a_fleet_answers_over_a_broker_with_tls(
    tls_redis: str, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = _settings(tls_redis, certificates)
    named = {
        name: getattr(here, name.lower())
        for name in ("BROKER_CA_PATH", "BROKER_CERT_PATH", "BROKER_KEY_PATH")
    }
    plan = FleetPlan(
        broker_url=tls_redis, settings={f"CLEARANCE_{name}": value for name, value in named.items()}
    )
    with running(tmp_path_factory.mktemp("fleet"), plan) as fleet:
        _play(fleet)


def _play(fleet: Fleet) -> None:
    fleet.begin(1)
    # Whether all goes over TLS is asked, not how fast: a window that a stalled disk does not use up.
    fleet.wait_sent(fleet.play(60, 30, window_ms=10_000))
    assert judge(fleet).all_answered


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_redis_that_cannot_prove_who_it_is_is_not_talked_to(
    tls_redis: str, certificates: Path, wrong: str
) -> None:
    url = tls_redis.replace("localhost", "127.0.0.1") if wrong == "name" else tls_redis
    here = _settings(url, certificates, ca="other.crt" if wrong == "authority" else "ca.crt")

    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        shared_redis(here).ping()
    with (
        celery_app(here).connection_for_write() as connection,
        pytest.raises(Exception, match="verify failed"),
    ):
        connection.default_channel.client.ping()


@pytest.mark.parametrize(("ca", "host", "is_talked_to"), _RABBITS)
def test_rabbitmq_is_talked_to_only_when_it_proves_who_it_is(
    certificates: Path, ca: str, host: str, is_talked_to: bool
) -> None:
    """No RabbitMQ is needed for that: what matters is whether anything is said after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    heard: list[bytes] = []
    with socket.create_server((host, 0)) as listening:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    accepted, _ = listening.accept()
                    with suppress(OSError), context.wrap_socket(accepted, server_side=True) as spoken:
                        heard.append(spoken.recv(8))

        threading.Thread(target=listen, daemon=True).start()
        url = f"amqps://{host}:{listening.getsockname()[1]}//"
        here = Settings(broker_url=url, broker_ca_path=str(certificates / ca))
        with celery_app(here).connection_for_write() as connection, pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the transport makes of it
            connection.connect()

    assert ("verify failed" in str(caught.value)) is not is_talked_to
    assert heard == ([b"AMQP\x00\x00\x09\x01"] * len(heard) if is_talked_to else [])
    assert bool(heard) is is_talked_to


def test_a_ledger_over_tls_is_checked_as_its_url_says(certificates: Path) -> None:
    with private_postgres() as server:
        server.use_tls(certificates / "server.crt", certificates / "server.key")
        place = server.url.replace("127.0.0.1", "localhost")
        _ask(f"{place}?sslmode=verify-full&sslrootcert={certificates}/ca.crt")
        with pytest.raises(LedgerUnavailable):
            _ask(f"{place}?sslmode=verify-full&sslrootcert={certificates}/other.crt")
        with pytest.raises(LedgerUnavailable):
            _ask(f"{server.url}?sslmode=verify-full&sslrootcert={certificates}/ca.crt")


def _ask(url: str) -> None:
    ledger = open_ledger(url, timeout_s=5)
    try:
        with ledger.read() as connection:
            assert connection.execute(text(_IS_ENCRYPTED)).scalar_one()
    finally:
        ledger.close()


_IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
