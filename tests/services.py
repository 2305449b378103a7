"""The servers that tests run against: found where the environment says or at their usual place on this machine.

A missing one is skipped on a laptop and failed in CI (environment variable `CI`). The fixtures are known in every
tier; each gives a place of its own on the server, removed after the module that asked, or after the session.
"""

import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import urlsplit, urlunsplit

import kombu
import psycopg
import pytest
import redis

_REDIS = "redis://127.0.0.1:6379"
_POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672/"
_CONNECT_TIMEOUT_S = 2


def service_required(name: str, reason: str) -> NoReturn:
    """End a test that cannot run without a service: skipped on a laptop, failed in CI."""
    told = f"{name} is not available: {reason}"
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(told, pytrace=False)
    pytest.skip(told)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """An empty Redis database that no other run uses."""
    server = os.environ.get("CLEARANCE_TEST_REDIS_URL", _REDIS).rstrip("/")
    for number in range(15, 0, -1):
        url = urlunsplit(urlsplit(server)._replace(path=f"/{number}"))
        with (
            _lock_file(server, number) as lock,
            redis.Redis.from_url(url, socket_connect_timeout=_CONNECT_TIMEOUT_S) as client,
        ):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                size = int(client.dbsize())
            except BlockingIOError:
                continue
            except redis.RedisError as error:
                service_required("Redis", type(error).__name__)
            # What a killed run left behind is ours; any other content belongs to somebody.
            lock.seek(0)
            if size and not lock.read():
                continue
            client.flushdb()
            _write(lock, "in use\n")
            yield url
            client.flushdb()
            _write(lock, "")
            return
    service_required("Redis", "none of its databases 1 to 15 is free")


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database of this module."""
    server = os.environ.get("CLEARANCE_TEST_POSTGRES_URL", _POSTGRES)
    name = f"clearance_test_{secrets.token_hex(6)}"
    try:
        connection = psycopg.connect(server, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S)
    except psycopg.OperationalError as error:
        service_required("PostgreSQL", type(error).__name__)
    connection.execute(f"CREATE DATABASE {name}")
    connection.close()
    yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    # A new connection: a test may have restarted the server.
    with psycopg.connect(server, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ virtual host of this session; the one of the URL where none can be made."""
    url = os.environ.get("CLEARANCE_TEST_RABBITMQ_URL", _RABBITMQ)
    with kombu.Connection(url, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        try:
            connection.connect()
        except connection.connection_errors as error:
            service_required("RabbitMQ", type(error).__name__)
    name = f"clearance_test_{secrets.token_hex(6)}"
    user = urlsplit(url).username or "guest"
    if not _rabbitmqctl("add_vhost", name):
        yield url
        return
    _rabbitmqctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
    yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    _rabbitmqctl("delete_vhost", name)


def _lock_file(server: str, number: int) -> IO[str]:
    """A lock lives as long as its process, however that ends; its content tells whether it ended well."""
    place = urlsplit(server)
    name = f"clearance-test-redis-{place.hostname}-{place.port or 6379}-{number}.lock"
    return Path(tempfile.gettempdir(), name).open("a+", encoding="utf-8")


def _write(lock: IO[str], text: str) -> None:
    lock.truncate(0)
    lock.write(text)
    lock.flush()


def _rabbitmqctl(*arguments: str) -> bool:
    if shutil.which("rabbitmqctl") is None:
        return False
    done = subprocess.run(["rabbitmqctl", "-q", *arguments], capture_output=True, check=False, timeout=60)
    return done.returncode == 0
