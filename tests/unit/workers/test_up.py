"""What `up` runs, with which vendor, and what it refuses before it starts anything."""

import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config.queues import QUEUE_BY_LANE
from config.setting_choices import Deployment
from config.settings import Settings, SettingsError
from workers.flower import made_password, password_file
from workers.flower import run as run_flower
from workers.up.child import Process
from workers.up.embedded import EmbeddedVendor
from workers.up.fleet import Fleet
from workers.up.run import chosen_vendor, introduction

OPTIMOVE = {
    "optimove_base_url": "https://optimove.example",
    "optimove_api_key": "key",
    "optimove_webhook_secrets": ("secret",),
}


def _fleet(tmp_path: Path, *, vendor: EmbeddedVendor | None, **more: object) -> Fleet:
    here = Settings(state_dir=str(tmp_path), flower_password="p", metrics_port=9100, **more)  # type: ignore[arg-type]
    return Fleet(settings=here, embeds_broker=True, vendor=vendor)


def _by_name(fleet: Fleet) -> dict[str, Process]:
    return {process.name: process for process in fleet.processes()}


def test_without_any_optimove_setting_the_sandbox_is_the_vendor() -> None:
    vendor = chosen_vendor(Settings(), sandbox=False)

    assert vendor is not None
    assert urlsplit(vendor.base_url).hostname == "127.0.0.1"
    assert len(vendor.secret) >= 32
    assert vendor.secret not in repr(vendor)


def test_each_run_has_secrets_of_its_own() -> None:
    assert EmbeddedVendor(port=1).secret != EmbeddedVendor(port=1).secret


def test_with_optimove_set_there_is_no_sandbox() -> None:
    assert chosen_vendor(Settings(**OPTIMOVE), sandbox=False) is None


def test_the_sandbox_can_be_asked_for_all_the_same() -> None:
    assert chosen_vendor(Settings(**OPTIMOVE), sandbox=True) is not None


@pytest.mark.parametrize("missing", OPTIMOVE)
def test_half_a_vendor_is_refused_by_the_name_of_what_is_missing(missing: str) -> None:
    given = {name: value for name, value in OPTIMOVE.items() if name != missing}

    with pytest.raises(SettingsError, match=f"CLEARANCE_{missing.upper()}: required"):
        chosen_vendor(Settings(**given), sandbox=False)


def test_everything_that_the_lane_needs_is_run(tmp_path: Path) -> None:
    names = set(_by_name(_fleet(tmp_path, vendor=EmbeddedVendor(port=1), up_triggered_workers=3)))

    assert names == {
        "broker", "db-upgrade", "sandbox", "ingest", "flower",
        "triggered-1", "triggered-2", "triggered-3", "review-1", "submit-1", "mail-1", "track-1",
        "guardian-1", "guardian-2",
    }  # fmt: skip


def test_ingest_stops_first_and_the_broker_last(tmp_path: Path) -> None:
    processes = _by_name(_fleet(tmp_path, vendor=EmbeddedVendor(port=1)))

    order = sorted(processes.values(), key=lambda process: process.stage)
    names = [process.name for process in order if not process.runs_once]
    assert names == [
        "ingest", "triggered-1", "triggered-2", "review-1", "submit-1", "mail-1", "track-1",
        "guardian-1", "guardian-2", "flower", "sandbox", "broker",
    ]  # fmt: skip


def test_nothing_that_needs_the_ledger_starts_before_it_is_migrated(tmp_path: Path) -> None:
    processes = _by_name(_fleet(tmp_path, vendor=None))

    assert {process.wave for name, process in processes.items() if name in ("broker", "db-upgrade")} == {0}
    assert {process.wave for name, process in processes.items() if name not in ("broker", "db-upgrade")} == {
        1
    }


def test_all_processes_share_the_sandbox_secret_and_each_has_its_metrics_port(tmp_path: Path) -> None:
    vendor = EmbeddedVendor(port=1)
    processes = _by_name(_fleet(tmp_path, vendor=vendor))

    for name in ("ingest", "triggered-1"):
        assert processes[name].environment["CLEARANCE_OPTIMOVE_WEBHOOK_SECRETS"] == vendor.secret
    assert processes["sandbox"].environment["CLEARANCE_SANDBOX_SECRET"] == vendor.secret
    ports = [process.environment.get("CLEARANCE_METRICS_PORT") for process in processes.values()]
    assert sorted(filter(None, ports)) == [str(port) for port in range(9100, 9108)]


@pytest.mark.parametrize(
    ("set_to", "asked"), [("127.0.0.1", "127.0.0.1"), ("::", "[::1]"), ("10.1.2.3", "10.1.2.3")]
)
def test_metrics_are_asked_for_where_they_are_served_and_those_ports_must_be_free(
    tmp_path: Path, set_to: str, asked: str
) -> None:
    fleet = _fleet(tmp_path, vendor=EmbeddedVendor(port=1), metrics_host=set_to)

    served = {process.address for process in fleet.processes() if process.address.endswith("/metrics")}
    wanted = {
        (port.host, port.port) for port in fleet.wanted_ports() if port.variable.endswith("METRICS_PORT")
    }
    assert served == {f"http://{asked}:{port}/metrics" for port in range(9100, 9108)}
    assert wanted == {(set_to, port) for port in range(9100, 9108)}


def test_no_secret_is_shown_by_a_process_or_stands_in_its_arguments(tmp_path: Path) -> None:
    vendor = EmbeddedVendor(port=1)

    for process in _fleet(tmp_path, vendor=vendor).processes():
        shown = repr(process) + " ".join(process.command)
        assert vendor.secret not in shown
        assert vendor.listener_token not in shown
        assert vendor.api_key not in shown


def test_the_embedded_broker_keeps_what_it_is_given(tmp_path: Path) -> None:
    command = " ".join(_by_name(_fleet(tmp_path, vendor=None))["broker"].command)

    for option in (
        "--appendonly yes",
        "--appendfsync everysec",
        "--maxmemory-policy noeviction",
        "--bind 127.0.0.1",
    ):
        assert option in command


def test_flower_without_a_password_is_refused() -> None:
    with pytest.raises(SettingsError, match="CLEARANCE_FLOWER_PASSWORD"):
        run_flower(Settings())


@pytest.mark.parametrize("password", ["clearance", "flower", "changeme-changeme-changeme"])
def test_flower_with_a_password_that_is_easily_guessed_is_refused_on_a_laptop_too(password: str) -> None:
    with pytest.raises(SettingsError, match="CLEARANCE_FLOWER_PASSWORD") as refused:
        run_flower(Settings(flower_password=password))
    assert password not in str(refused.value)


def test_a_password_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    here = Settings(state_dir=str(tmp_path / "new"))

    made = made_password(here)

    assert len(made) >= 20
    assert made_password(here) == made
    assert stat.S_IMODE(password_file(here).stat().st_mode) == 0o600


def test_the_sandbox_takes_mail_too_unless_a_vendor_of_mail_is_set() -> None:
    vendor = chosen_vendor(Settings(), sandbox=False)
    mixed = chosen_vendor(Settings(optilyz_api_key="key"), sandbox=False)

    assert vendor is not None
    assert mixed is not None
    assert vendor.settings()["OPTILYZ_BASE_URL"] == f"{vendor.base_url}/api"
    assert vendor.settings()["BLOOMREACH_API_SECRET"] == vendor.api_key
    assert not [name for name in mixed.settings() if not name.startswith("OPTIMOVE_")]
    asked_for = chosen_vendor(Settings(optilyz_api_key="key"), sandbox=True)
    assert asked_for is not None
    assert asked_for.takes_mail


def test_a_lane_without_a_vendor_has_no_workers(tmp_path: Path) -> None:
    with_sandbox = _fleet(tmp_path, vendor=EmbeddedVendor(port=1)).lanes
    without = _fleet(tmp_path, vendor=None).lanes
    half = _fleet(tmp_path, vendor=None, optilyz_api_key="key").lanes

    assert with_sandbox == tuple(QUEUE_BY_LANE)
    assert not {"mail", "track"} & set(without)
    assert set(half) - set(without) <= {"mail"}


def test_the_relays_keys_reach_every_process(tmp_path: Path) -> None:
    fleet = _fleet(tmp_path, vendor=EmbeddedVendor(port=1), relay_api_keys=("one", "two"))

    for process in fleet.processes():
        assert process.environment["CLEARANCE_RELAY_API_KEYS"] == "one,two"


@pytest.mark.parametrize(("takes_mail", "words"), [(True, "nobody real is asked"), (False, "are REAL")])
def test_it_is_said_first_whether_letters_are_real(tmp_path: Path, takes_mail: bool, words: str) -> None:
    fleet = _fleet(tmp_path, vendor=EmbeddedVendor(port=1, takes_mail=takes_mail), optilyz_api_key="key")

    assert words in introduction(fleet)[0]


def test_production_takes_no_sandbox_for_a_vendor() -> None:
    for asked in (True, False):
        with pytest.raises(SettingsError, match="production takes no sandbox"):
            chosen_vendor(Settings(env=Deployment.PRODUCTION), sandbox=asked)


def test_what_up_says_to_a_process_is_not_read_from_a_file_as_well(tmp_path: Path) -> None:
    process = _by_name(_fleet(tmp_path, vendor=None, relay_api_keys=("one",)))["ingest"]

    assert process.environment["CLEARANCE_RELAY_API_KEYS_FILE"] == ""
    assert process.environment["CLEARANCE_BROKER_URL_FILE"] == ""
