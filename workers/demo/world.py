"""Where a demo takes place: a state directory and ports of its own, and no setting from the environment.

A demo must not find its way into anybody's ledger, broker or vendor.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import settings
from config.settings import PREFIX, SettingsError
from workers.up.embedded import EmbeddedVendor
from workers.up.fleet import Fleet
from workers.up.ports import free_ports

RULES = Path(__file__).with_name("rules.toml")
# All that a demo leaves behind; nothing else in its directory is touched.
_LEFT_BEHIND = ("broker", "up", "clearance.db*", "flower.db*", "report.json", "up.log")


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """The directory, emptied of the demo before.

    Raises:
        SettingsError: Another demo is using it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                (f"another demo runs in {directory}: wait for it, or use --directory",)
            ) from None
        for pattern in _LEFT_BEHIND:
            for path in directory.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        yield


def private_fleet(directory: Path) -> Fleet:
    """Everything embedded; the environment of this process loses all settings and gets the demo's."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    broker, ingest, flower, sandbox = free_ports(4)
    chosen = {
        "STATE_DIR": str(directory),
        "LEDGER_URL": f"sqlite:///{directory / 'clearance.db'}",
        "BROKER_URL": f"redis://127.0.0.1:{broker}/0",
        "INGEST_PORT": str(ingest),
        "FLOWER_PORT": str(flower),
        "FLOWER_PASSWORD": secrets.token_urlsafe(18),
        "RULES_PATH": str(RULES),
        # The deadlines are seconds away, not an hour.
        "SUBMIT_MIN_MARGIN_S": "4",
        "SUBMIT_CALL_ESTIMATE_S": "0.5",
        # Letters leave within seconds, and what a killed worker had in hand is found out within seconds.
        "RELAY_API_KEYS": secrets.token_urlsafe(18),
        "OPTILYZ_MAX_WAIT_S": "3",
        "OPTILYZ_TIMEOUT_S": "2",
        "MAIL_LEASE_S": "3",
    }
    os.environ.update({PREFIX + name: value for name, value in chosen.items()})
    vendor = EmbeddedVendor(port=sandbox)
    return Fleet(
        settings=settings.load(),
        embeds_broker=True,
        vendor=vendor,
        environment={"DEMO_PROMOTIONS_URL": f"{vendor.base_url}/promotions/activate"},
    )
