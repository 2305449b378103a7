"""What `up` runs, with which vendor, and what it refuses before it starts anything."""

import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config.settings import Settings, SettingsError
from workers.flower import made_password, password_file
from workers.flower import run as run_flower
from workers.up.child import Process
from workers.up.embedded import EmbeddedVendor
from workers.up.fleet import Fleet
from workers.up.run import chosen_vendor

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
        "triggered-1", "triggered-2", "triggered-3", "review-1", "submit-1", "guardian-1", "guardian-2",
    }  # fmt: skip


def test_ingest_stops_first_and_the_broker_last(tmp_path: Path) -> None:
    processes = _by_name(_fleet(tmp_path, vendor=EmbeddedVendor(port=1)))

    order = sorted(processes.values(), key=lambda process: process.stage)
    names = [process.name for process in order if not process.runs_once]
    assert names == [
        "ingest", "triggered-1", "triggered-2", "review-1", "submit-1", "guardian-1", "guardian-2", "flower",
        "sandbox", "broker",
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
    assert sorted(filter(None, ports)) == ["9100", "9101", "9102", "9103", "9104", "9105"]


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


def test_a_password_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    here = Settings(state_dir=str(tmp_path / "new"))

    made = made_password(here)

    assert len(made) >= 20
    assert made_password(here) == made
    assert stat.S_IMODE(password_file(here).stat().st_mode) == 0o600
