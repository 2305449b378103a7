"""Which processes does `clearance up` run, with what in their environment?

In: the settings, and what is embedded. Out: `Process` values. What an embedded part needs to be found by the others
(address, key, secret) is in their environment, made anew for each run, and nowhere else.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from config.queues import LANE_QUEUES, LaneQueue
from config.setting_reading import FILE_SUFFIX
from config.settings import PREFIX, Settings
from workers.up.child import Process
from workers.up.embedded import CLEARANCE, EmbeddedVendor, broker, broker_address, sandbox
from workers.up.ports import WantedPort, free_ports
from workers.up.ready import answers_http

GUARDIANS = 2

_INGEST, _WORKERS, _GUARDIANS, _FLOWER, _SANDBOX, _BROKER = range(6)  # the stages of stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What `up` runs.

    Attributes:
        embeds_broker: Whether a server is started at the address of `settings.broker_url`.
        vendor: The sandbox; None when Optimove is set.
        environment: Added for every process.
    """

    settings: Settings
    embeds_broker: bool
    vendor: EmbeddedVendor | None
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def state_dir(self) -> Path:
        """Where the embedded parts keep what they keep."""
        return Path(self.settings.state_dir).absolute()

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes that have a vendor. Half a vendor is the worker's to refuse, by what is missing."""
        here, takes_mail = self.settings, self.vendor is not None and self.vendor.takes_mail
        has_vendor = {
            "mail": takes_mail or bool(here.optilyz_base_url or here.optilyz_api_key),
            "track": takes_mail or bool(here.bloomreach_base_url or here.bloomreach_api_secret),
        }
        return tuple(each.lane for each in LANE_QUEUES if has_vendor.get(each.lane, True))

    @property
    def ingest_url(self) -> str:
        """Where this machine reaches ingest."""
        return f"http://{_bracketed(_reachable(self.settings.ingest_host))}:{self.settings.ingest_port}"

    @property
    def flower_url(self) -> str:
        """Where this machine reaches Flower."""
        return f"http://{_bracketed(_reachable(self.settings.flower_host))}:{self.settings.flower_port}"

    def wanted_ports(self) -> list[WantedPort]:
        """Every port with a fixed number."""
        here = self.settings
        wanted = [("ingest", here.ingest_host, here.ingest_port, "INGEST_PORT")]
        if here.flower_password:
            wanted.append(("Flower", here.flower_host, here.flower_port, "FLOWER_PORT"))
        if self.vendor:
            wanted.append(("the sandbox", "127.0.0.1", self.vendor.port, "UP_SANDBOX_PORT"))
        if self.embeds_broker:
            wanted.append(("the embedded broker", *broker_address(here.broker_url), "UP_BROKER_PORT"))
        if here.metrics_port:
            ports = range(here.metrics_port, here.metrics_port + len(self._lane_workers()) + GUARDIANS)
            wanted += [("metrics", here.metrics_host, port, "METRICS_PORT") for port in ports]
        return [
            WantedPort(user=user, host=host, port=port, variable=PREFIX + name)
            for user, host, port, name in wanted
        ]

    def processes(self) -> list[Process]:
        """All of them. Those of wave 1 need those of wave 0."""
        embedded = [self._migration()]
        if self.embeds_broker:
            embedded.insert(0, broker(self.settings.broker_url, self.state_dir / "broker", stage=_BROKER))
        if self.vendor:
            embedded.insert(0, sandbox(self.vendor, self.ingest_url, stage=_SANDBOX))
        working = [self._ingest(), *self._workers_and_guardians()]
        if self.settings.flower_password:
            working.append(self._flower())
        environment = self._shared_environment()
        return [
            replace(process, environment=_said_here(environment | dict(process.environment)))
            for process in [*embedded, *(replace(process, wave=1) for process in working)]
        ]

    def _shared_environment(self) -> dict[str, str]:
        values = {"STATE_DIR": str(self.state_dir), "BROKER_URL": self.settings.broker_url}
        if self.settings.relay_api_keys:
            values["RELAY_API_KEYS"] = ",".join(self.settings.relay_api_keys)
        if self.vendor:
            values |= self.vendor.settings()
        named = {PREFIX + name: value for name, value in values.items()}
        return {"PYTHONUNBUFFERED": "1"} | named | self.environment

    def _migration(self) -> Process:
        return Process(
            name="db-upgrade",
            command=(*CLEARANCE, "db", "upgrade"),
            is_ready=lambda: False,
            runs_once=True,
        )

    def _ingest(self) -> Process:
        here = self.settings
        return Process(
            name="ingest",
            command=(*CLEARANCE, "ingest"),
            is_ready=answers_http(_reachable(here.ingest_host), here.ingest_port, "/readyz"),
            stage=_INGEST,
            grace_s=10.0,
            address=self.ingest_url,
        )

    def _lane_workers(self) -> list[tuple[LaneQueue, int]]:
        """Each worker: its lane, and its number there."""
        return [
            (lane, number + 1)
            for lane in LANE_QUEUES
            if lane.lane in self.lanes
            for number in range(self.settings.up_triggered_workers if lane.lane == "triggered" else 1)
        ]

    def _workers_and_guardians(self) -> list[Process]:
        lanes = self._lane_workers()
        first, host = self.settings.metrics_port, _reachable(self.settings.metrics_host)
        count = len(lanes) + GUARDIANS
        ports = iter(range(first, first + count) if first else free_ports(count))
        workers = [
            _watched(
                host,
                next(ports),
                f"{lane.lane}-{number}",
                ("worker", lane.lane, "--name", f"{lane.lane}-{number}"),
                stage=_WORKERS,
                grace_s=float(lane.stop_grace_s),
            )
            for lane, number in lanes
        ]
        guardians = [
            _watched(host, next(ports), f"guardian-{number + 1}", ("guardian",), stage=_GUARDIANS)
            for number in range(GUARDIANS)
        ]
        return [*workers, *guardians]

    def _flower(self) -> Process:
        here = self.settings
        return Process(
            name="flower",
            command=(*CLEARANCE, "flower"),
            environment={f"{PREFIX}FLOWER_PASSWORD": here.flower_password},
            is_ready=answers_http(_reachable(here.flower_host), here.flower_port, "/healthcheck"),
            stage=_FLOWER,
            address=self.flower_url,
        )


def _said_here(environment: dict[str, str]) -> dict[str, str]:
    """What is said here is not read from a file as well: that our own environment names it does not count."""
    return {name + FILE_SUFFIX: "" for name in environment} | environment


def _watched(
    host: str, port: int, name: str, arguments: tuple[str, ...], *, stage: int, grace_s: float = 5.0
) -> Process:
    """A process that opens its metrics when it is ready, and not before."""
    return Process(
        name=name,
        command=(*CLEARANCE, *arguments),
        environment={f"{PREFIX}METRICS_PORT": str(port)},
        is_ready=answers_http(host, port, "/metrics"),
        stage=stage,
        grace_s=grace_s,
        address=f"http://{_bracketed(host)}:{port}/metrics",
    )


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
