"""What `clearance up` does: decides what is embedded, runs it all, and says where it is."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from config import settings
from config.queues import QUEUE_BY_LANE
from config.setting_choices import Deployment, LogFormat
from config.settings import PREFIX, Settings, SettingsError
from workers.deciding import require_rules
from workers.flower import made_password, password_file
from workers.made_secrets import made_secret
from workers.up.embedded import EmbeddedVendor
from workers.up.fleet import Fleet
from workers.up.log_lines import LogLines
from workers.up.ports import require_free
from workers.up.supervisor import NAME, StartFailed, Supervisor

_VENDOR_VARIABLES = ("OPTIMOVE_BASE_URL", "OPTIMOVE_API_KEY", "OPTIMOVE_WEBHOOK_SECRETS")


@dataclass(slots=True)
class Asked:
    """What the operator has asked for by signals: once to stop, twice to stop at once."""

    times: int = 0

    def is_stopping(self) -> bool:
        """Stop in order."""
        return self.times > 0

    def is_hurried(self) -> bool:
        """Stop now."""
        return self.times > 1


@contextmanager
def signals_counted() -> Iterator[Asked]:
    """SIGINT, SIGTERM and SIGHUP ask to stop as long as the context is open."""
    asked = Asked()

    def ask(_number: int, _frame: object) -> None:
        asked.times += 1

    former = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def chosen_vendor(here: Settings, *, sandbox: bool) -> EmbeddedVendor | None:
    """The sandbox when it is asked for or nothing of Optimove is set; None: Optimove as it is set.

    It takes mail, too, unless something of Optilyz or Bloomreach is set.

    Raises:
        SettingsError: Some of Optimove is set. To guess the rest would be to talk to the wrong vendor.
    """
    given = (here.optimove_base_url, here.optimove_api_key, here.optimove_webhook_secrets)
    if sandbox or not any(given):
        _refuse_in_production(here)
        mail = (
            here.optilyz_base_url,
            here.optilyz_api_key,
            here.bloomreach_base_url,
            here.bloomreach_api_secret,
        )
        return EmbeddedVendor(port=here.up_sandbox_port, takes_mail=sandbox or not any(mail))
    missing = [name for name, value in zip(_VENDOR_VARIABLES, given, strict=True) if not value]
    if missing:
        raise SettingsError(
            tuple(
                f"{PREFIX}{name}: required, because others of Optimove are set (none of them: the sandbox is used)"
                for name in missing
            )
        )
    return None


def _refuse_in_production(here: Settings) -> None:
    if here.env is Deployment.PRODUCTION:
        problem = f"{PREFIX}OPTIMOVE_BASE_URL: required; production takes no sandbox for a vendor"
        raise SettingsError((problem,))


def relay_key_file(here: Settings) -> Path:
    """Where a relay key that was made for this machine is kept."""
    return Path(here.state_dir) / "relay.key"


def run(here: Settings, *, sandbox: bool) -> int:
    """Run everything until told to stop. Returns the exit code."""
    vendor = chosen_vendor(here, sandbox=sandbox)
    is_terminal = sys.stdout.isatty()
    environment = {}
    if is_terminal and here.log_format is LogFormat.AUTO:
        # The processes write to a pipe, and would take it for a file.
        environment[f"{PREFIX}LOG_FORMAT"] = LogFormat.CONSOLE.value
    embeds_broker = not settings.is_given("broker_url")
    if embeds_broker:
        here = replace(here, broker_url=f"redis://127.0.0.1:{here.up_broker_port}/0")
    made = not here.flower_password
    if made:
        here = replace(here, flower_password=made_password(here))
    relay_key_made = vendor is not None and vendor.takes_mail and not here.relay_api_keys
    if relay_key_made:
        here = replace(here, relay_api_keys=(made_secret(relay_key_file(here), "RELAY_API_KEYS"),))
    fleet = Fleet(
        settings=here,
        embeds_broker=embeds_broker,
        vendor=vendor,
        environment=environment,
    )
    require_free(fleet.wanted_ports())
    require_rules(here)
    with signals_counted() as asked:
        return _supervise(
            fleet, asked, is_terminal=is_terminal, password_made=made, relay_key_made=relay_key_made
        )


def _supervise(
    fleet: Fleet, asked: Asked, *, is_terminal: bool, password_made: bool, relay_key_made: bool
) -> int:
    processes = fleet.processes()
    width = max(len(process.name) for process in processes)
    lines = LogLines(sys.stdout.buffer, width=width, colours=is_terminal)
    supervisor = Supervisor(
        processes,
        write_line=lines.write,
        state_file=fleet.state_dir / "up" / "processes.json",
        is_stopping=asked.is_stopping,
        is_hurried=asked.is_hurried,
    )
    for line in introduction(fleet):
        supervisor.say(line)
    failed = False
    try:
        if supervisor.start():
            for line in _table(fleet, password_made=password_made, relay_key_made=relay_key_made):
                supervisor.say(line)
            supervisor.watch()
    except StartFailed as error:
        failed = True
        supervisor.say(f"{error}; stopping")
    finally:
        killed = supervisor.stop()
    lines.write(NAME, f"stopped; killed after their grace: {', '.join(killed) or 'none'}".encode())
    return 1 if failed else 0


def introduction(fleet: Fleet) -> list[str]:
    """What is said before anything is started: who the vendor is, and which lanes are worked."""
    lines = []
    if fleet.vendor:
        is_all = fleet.vendor.takes_mail
        lines.append(
            "the vendor is the SANDBOX, with a key and a secret made for this run; "
            + ("nobody real is asked." if is_all else "letters, and what is told of them, are REAL.")
        )
        lines.append(f"To ask Optimove, set {', '.join(PREFIX + name for name in _VENDOR_VARIABLES)}.")
    else:
        lines.append(f"the vendor is Optimove at {fleet.settings.optimove_base_url}")
    idle = [lane for lane in QUEUE_BY_LANE if lane not in fleet.lanes]
    without = f" (no vendor is set for {', '.join(idle)}: no workers)" if idle else ""
    lines.append(f"lanes: {', '.join(fleet.lanes)}{without}")
    return lines


def _table(fleet: Fleet, *, password_made: bool, relay_key_made: bool) -> list[str]:
    here = fleet.settings
    where = f"in {_shown(password_file(here))}" if password_made else "as set"
    table = Table("what", "where", "note", box=None, header_style="bold")
    table.add_row(
        "ingest",
        fleet.ingest_url,
        "POST /webhooks/optimove/triggered, send-groups, events; /readyz, /metrics, /openapi.json",
    )
    if here.relay_api_keys:
        where_key = f"in {_shown(relay_key_file(here))}" if relay_key_made else "as set"
        table.add_row(
            "relay",
            fleet.ingest_url,
            f"POST /api/v2/automations/ID/recipients; user name: the key {where_key}",
        )
    table.add_row("Flower", fleet.flower_url, f"user {here.flower_user}, password {where}")
    if fleet.vendor:
        table.add_row(
            "sandbox",
            fleet.vendor.base_url,
            "POST /sandbox/triggered/play or /sandbox/send-groups",
        )
    if fleet.embeds_broker:
        table.add_row(
            "broker", here.broker_url, "embedded, with its data in " + _shown(fleet.state_dir / "broker")
        )
    text = StringIO()
    Console(file=text, width=200).print(table)
    return ["ready; Ctrl-C stops everything", *(line.rstrip() for line in text.getvalue().splitlines())]


def _shown(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
