"""A whole Clearance in real processes: sandbox, ingest, guardians, workers, broker, ledger; to be disturbed by tests.

It imports nothing of the product but the tables, to read the ledger: the rest is HTTP, the command line and signals.
A fleet may be shared by tests: each begins with `begin`, which mends what the one before has broken.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import urllib3

from tests.system.ledger_reader import LedgerReader
from tests.system.own_brokers import own_broker
from tests.system.processes import Child, free_port, until

SECRET = "fleet-secret"
API_KEY = "sandbox-api-key"
APPROVED_COUNTRY = "DE"  # by rules.toml, in this directory
# More than the vendor's usual 5 s, so that a test chooses the deadline by the window of its notifications.
LONGEST_WINDOW_MS = 12_000
APPROVAL = "triggered-approval"
_START_S = 60.0
_BIN = Path(sys.executable).parent
_CHECKOUT = Path(__file__).parents[2]
_RULES = Path(__file__).with_name("rules.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What a fleet is made of. Empty URLs: SQLite in the fleet's directory, a broker of the fleet's own.

    Attributes:
        broker_binary: Of a broker of its own (`tests.system.own_brokers`); empty: the embedded one.
    """

    ledger_url: str = ""
    broker_url: str = ""
    redis_url: str = ""
    broker_binary: str = ""
    workers: int = 2
    guardians: int = 2
    reviewers: int = 0
    submitters: int = 0
    rules: Path = _RULES
    settings: Mapping[str, str] = field(default_factory=dict)


class Fleet:
    """The processes by name: `sandbox`, `broker` (if it has its own), `ingest`, `guardian1`, `worker1`, `review1`…"""

    def __init__(self, directory: Path, plan: FleetPlan) -> None:
        self.plan = plan
        self.directory = directory
        self.seed = 0
        self.disturbed: set[str] = set()
        self._http = urllib3.PoolManager(retries=False, timeout=10.0)
        sandbox_port, self.ingest_port = free_port(), free_port()
        self.sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        self.ingest_url = f"http://127.0.0.1:{self.ingest_port}"
        self.webhook_url = f"{self.ingest_url}/webhooks/optimove/triggered"
        self.ledger_url = plan.ledger_url or f"sqlite:///{directory}/ledger.db"
        self._broker = None if plan.broker_url else own_broker(directory, plan.broker_binary)
        self.broker_url = self._broker.url if self._broker else plan.broker_url
        self.ledger = LedgerReader(self.ledger_url)
        self.environ = self._environ()
        self._metrics_port_by_name: dict[str, int] = {}
        self.children: dict[str, Child] = {}
        if self._broker:
            self.children["broker"] = Child(
                "broker", self._broker.command, environ=self._broker.environ, directory=directory
            )
        self._add(
            "sandbox", [str(_BIN / "clearance"), "sandbox", "--port", str(sandbox_port), "--secret", SECRET]
        )
        self.add_clearance("ingest", "ingest")
        for number in range(1, plan.guardians + 1):
            self.add_clearance(f"guardian{number}", "guardian")
        for number in range(1, plan.workers + 1):
            self.add_clearance(f"worker{number}", "worker", "triggered")
        for number in range(1, plan.reviewers + 1):
            self.add_clearance(f"review{number}", "worker", "review")
        for number in range(1, plan.submitters + 1):
            self.add_clearance(f"submit{number}", "worker", "submit")

    def __getitem__(self, name: str) -> Child:
        return self.children[name]

    @property
    def workers(self) -> list[Child]:
        """The triggered workers."""
        return [child for name, child in self.children.items() if name.startswith("worker")]

    @property
    def guardians(self) -> list[Child]:
        """The guardians."""
        return [child for name, child in self.children.items() if name.startswith("guardian")]

    def add_clearance(self, name: str, *command: str, settings: Mapping[str, str] | None = None) -> Child:
        """A process of the product, not yet started, with `settings` of its own beside the fleet's."""
        self._metrics_port_by_name[name] = free_port()
        own = {"CLEARANCE_METRICS_PORT": str(self._metrics_port_by_name[name])} | dict(settings or {})
        return self._add(name, [str(_BIN / "clearance"), *command], own)

    def note(self, told: str) -> None:
        """Say something measured; pytest shows it with the test (`-rP`)."""
        print(told)  # noqa: T201

    def begin(self, seed: int) -> None:
        """Start what is dead, end every fault, forget what was played: a test may begin."""
        self.seed = seed
        for child in self.children.values():
            child.thaw()
        self.start_dead()
        self.call("POST", "/sandbox/reset")
        self.disturbed.clear()

    def start_dead(self) -> None:
        """Start every process that does not run, in the order in which they need each other, and wait for all."""
        dead = [child for child in self.children.values() if not child.is_alive]
        first = [child for child in dead if child.name in ("broker", "sandbox")]
        for child in first:
            child.start()
        for child in first:
            self.wait_ready(child.name)
        for child in dead:
            if child not in first:
                child.start()
        for child in dead:
            self.wait_ready(child.name)

    def restart(self, name: str) -> None:
        """Start a killed process again and wait until it is ready."""
        self.children[name].start()
        self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        """Wait until a process says that it works."""
        child = self.children[name]
        until(lambda: self._is_ready(child) or not child.is_alive, f"{name} is ready", timeout_s=_START_S)
        assert child.is_alive, f"{name} exited at its start with {child.exit_code}\n{child.tail()}"

    def kill(self, name: str) -> float:
        """`kill -9`; the epoch second at which it was dead."""
        self.disturbed.add(name)
        self.children[name].kill()
        return time.time()

    @contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        """These processes are stopped with SIGSTOP inside the block."""
        self.disturbed.update(names)
        for name in names:
            self.children[name].freeze()
        try:
            yield
        finally:
            for name in names:
                self.children[name].thaw()

    @contextmanager
    def second_ingest(self, settings: Mapping[str, str] | None = None) -> Iterator[str]:
        """The webhook of another ingest beside the first one, for the time of the block."""
        port = free_port()
        own = {"CLEARANCE_INGEST_PORT": str(port)} | dict(settings or {})
        child = self.add_clearance("ingest2", "ingest", settings=own)
        child.start()
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: self._answers(f"{url}/readyz"), "ingest2 is ready", timeout_s=_START_S)
            yield f"{url}/webhooks/optimove/triggered"
        finally:
            child.kill()
            del self.children["ingest2"]

    def wipe_broker(self) -> None:
        """Let the fleet's own broker forget everything: FLUSHALL, or a RabbitMQ that is killed and begins afresh."""
        assert self._broker is not None, "only a broker of the fleet's own is wiped"
        if not self._broker.is_redis:
            self.kill("broker")
            shutil.rmtree(self._broker.data)
            self.restart("broker")
            return
        with redis.Redis.from_url(self.broker_url, socket_timeout=5) as client:
            client.flushall()

    def put_faults(self, *, group: str = APPROVAL, **plan: float) -> None:
        """From now on these calls fail like this; see the sandbox's `PUT /sandbox/faults`."""
        self.call("PUT", "/sandbox/faults", {"group": group, "seed": self.seed} | plan)

    def clear_faults(self) -> None:
        """The vendor is well again."""
        self.call("DELETE", "/sandbox/faults")

    def injected(self, fault: str, *, group: str = APPROVAL) -> int:
        """How many of these calls suffered `fault` in this test."""
        return int(self.report()["faults"].get(group, {}).get(fault, 0))

    def play(self, count: int, rate_per_s: float, *, window_ms: int = 5000, **mix: float) -> str:
        """Let the sandbox send signed notifications; returns at once, with the run's id."""
        self.note(f"play: {count} at {rate_per_s:g}/s, window {window_ms} ms, seed {self.seed}, {mix}")
        sent = {
            "count": count,
            "rate_per_s": rate_per_s,
            "window_ms": window_ms,
            "seed": self.seed,
            "mix": mix,
            "targets": [self.webhook_url],
        }
        return str(self.call("POST", "/sandbox/triggered/play", sent)["run"])

    def sent(self, run: str) -> int:
        """How many notifications of a run have left."""
        return int(self.call("GET", f"/sandbox/play/{run}")["sent"])

    def wait_sent(self, run: str, count: int | None = None) -> None:
        """Wait until so many have left; without a number: all, and each answered or failed."""
        if count is not None:
            until(lambda: self.sent(run) >= count, f"{count} of {run} sent", timeout_s=60)
            return
        until(
            lambda: self.call("GET", f"/sandbox/play/{run}")["state"] == "done",
            f"{run} is over",
            timeout_s=60,
            every_s=0.05,
        )

    def report(self, *, detail: bool = False) -> dict[str, Any]:
        """What the sandbox has seen since the test began."""
        return self.call("GET", "/sandbox/report" + ("?detail=1" if detail else ""))

    def call(self, method: str, path: str, sent: object = None) -> dict[str, Any]:
        """A call of the sandbox's control."""
        answer = self._http.request(method, self.sandbox_url + path, json=sent)
        told: dict[str, Any] = answer.json()
        assert answer.status < 300, f"{method} {path}: {answer.status} {told}"
        return told

    def post(self, body: bytes, headers: Mapping[str, str], *, url: str = "") -> urllib3.BaseHTTPResponse:
        """A request to the triggered webhook, as it is."""
        return self._http.request("POST", url or self.webhook_url, body=body, headers=headers)

    def get(self, path: str) -> urllib3.BaseHTTPResponse:
        """A GET of ingest."""
        return self._http.request("GET", self.ingest_url + path)

    def command(self, *arguments: str) -> str:
        """What a command of the product writes; it must succeed."""
        done = subprocess.run(
            [str(_BIN / "clearance"), *arguments],
            env=self.environ,
            cwd=self.directory,
            capture_output=True,
            check=False,
            text=True,
            timeout=_START_S,
        )
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def queued(self) -> int:
        """How many messages wait for a triggered worker."""
        with redis.Redis.from_url(self.broker_url, socket_timeout=5) as client:
            return int(client.llen("clearance.triggered"))

    def metrics_url(self, name: str) -> str:
        """Where a process of the product serves its metrics."""
        if name == "ingest":
            return f"{self.ingest_url}/metrics"
        return f"http://127.0.0.1:{self._metrics_port_by_name[name]}/metrics"

    def metric(self, name: str, prefix: str) -> float:
        """The sum of a process' samples whose line begins with `prefix`; 0 while it does not answer."""
        with suppress(urllib3.exceptions.HTTPError):
            lines = self._http.request("GET", self.metrics_url(name), timeout=2.0).data.decode().splitlines()
            return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(prefix))
        return 0.0

    def wait_every_worker_works(self, *, timeout_s: float = 40.0) -> float:
        """Play a little until each worker has finished something: not only alive, of use. The seconds it took."""
        finished = "clearance_obligation_outcomes_total"
        before = {child.name: self.metric(child.name, finished) for child in self.workers}
        waiting, started = set(before), time.monotonic()

        def is_done() -> bool:
            self.wait_sent(self.play(8, 80))
            waiting.difference_update(
                [name for name in waiting if self.metric(name, finished) > before[name]]
            )
            return not waiting

        until(is_done, f"{sorted(before)} work again", timeout_s=timeout_s, every_s=0.2)
        return time.monotonic() - started

    def lost(self) -> list[str]:
        """Processes that are gone, or have lost a thread, without the test having ended them."""
        gone = [
            f"{child.name} exited by itself with {child.exit_code}"
            for child in self.children.values()
            if not child.is_alive and not child.was_killed
        ]
        broken = [
            f"{child.name} lost a thread"
            for child in self.children.values()
            if "Exception in thread" in child.all_output()
        ]
        return gone + broken

    def tails(self) -> str:
        """The ends of all logs."""
        return "\n".join(child.tail() for child in self.children.values())

    def close(self) -> None:
        """End every process, whatever state it is in."""
        for child in reversed(self.children.values()):
            child.was_killed = True
            child.thaw()
        for child in reversed(self.children.values()):
            child.kill()
        self._http.clear()
        self.ledger.close()

    def _add(self, name: str, command: list[str], settings: Mapping[str, str] | None = None) -> Child:
        child = Child(name, command, environ=self.environ | (settings or {}), directory=self.directory)
        self.children[name] = child
        return child

    def _environ(self) -> dict[str, str]:
        return {
            "PATH": f"{_BIN}:/usr/bin:/bin",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(_CHECKOUT),
            "CLEARANCE_LEDGER_URL": self.ledger_url,
            "CLEARANCE_BROKER_URL": self.broker_url,
            "CLEARANCE_REDIS_URL": self.plan.redis_url,
            "CLEARANCE_INGEST_PORT": str(self.ingest_port),
            "CLEARANCE_OPTIMOVE_BASE_URL": self.sandbox_url,
            "CLEARANCE_OPTIMOVE_API_KEY": API_KEY,
            "CLEARANCE_OPTIMOVE_WEBHOOK_SECRETS": SECRET,
            "CLEARANCE_RULES_PATH": str(self.plan.rules),
            "CLEARANCE_TRIGGERED_TIMEOUT_MS": str(LONGEST_WINDOW_MS),
            "CLEARANCE_LOG_FORMAT": "json",
            "CLEARANCE_STATE_DIR": str(self.directory),
            "PROMOTIONS_URL": f"{self.sandbox_url}/promotions/activate",
            **self.plan.settings,
        }

    def _is_ready(self, child: Child) -> bool:
        if child.name == "broker":
            assert self._broker is not None
            return self._broker.answers()
        if child.name == "sandbox":
            return "sandbox listening on" in child.output()
        if child.name == "ingest":
            return self._answers(f"{self.ingest_url}/readyz")
        if child.name.startswith("guardian"):
            return "guardian.started" in child.output()
        return " ready." in child.output()

    def _answers(self, url: str) -> bool:
        with suppress(urllib3.exceptions.HTTPError):
            return self._http.request("GET", url).status == 200
        return False


@contextmanager
def running(directory: Path, plan: FleetPlan) -> Iterator[Fleet]:
    """A fleet with its ledger at the newest schema, every process ready; all gone at the end of the block."""
    fleet = Fleet(directory, plan)
    try:
        upgrade = Child(
            "upgrade",
            [str(_BIN / "clearance"), "db", "upgrade"],
            environ=fleet.environ,
            directory=directory,
        )
        upgrade.start()
        until(lambda: not upgrade.is_alive, "the ledger's schema", timeout_s=_START_S)
        assert "ledger at revision" in upgrade.output(), upgrade.tail()
        fleet.start_dead()
        yield fleet
    finally:
        fleet.close()
