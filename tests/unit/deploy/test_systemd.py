"""The systemd units: what systemd itself says of them, and that they agree with the lanes."""

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from config.queues import LANE_QUEUES
from tests.services import service_required
from tests.unit.deploy.test_compose import ROOT
from workers import cli

_UNITS = ROOT / "deploy" / "systemd"
_SERVICES = sorted(_UNITS.glob("*.service"))
_LANES = {f"clearance-{lane.lane}@.service": lane for lane in LANE_QUEUES}
_COMMAND = "/opt/clearance/.venv/bin/clearance "


def _unit(path: Path) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, strict=False)
    read.optionxform = str  # type: ignore[method-assign,assignment]  # keys keep their case, as the documentation says
    read.read(path)
    return read


def test_there_is_a_unit_for_every_process() -> None:
    assert {path.name for path in _SERVICES} == {
        "clearance-ingest.service",
        "clearance-guardian@.service",
        "clearance-flower.service",
        *_LANES,
    }


@pytest.mark.parametrize("name", _LANES)
def test_a_worker_is_given_as_long_as_its_lane_to_stop(name: str) -> None:
    lane, service = _LANES[name], _unit(_UNITS / name)["Service"]
    assert service["TimeoutStopSec"] == str(lane.stop_grace_s)
    assert service["ExecStart"] == f"{_COMMAND}worker {lane.lane} --name {lane.lane}-%i"


@pytest.mark.parametrize("path", _SERVICES, ids=lambda path: path.name)
def test_every_unit_starts_a_command_that_exists_and_comes_with_the_target(path: Path) -> None:
    unit = _unit(path)
    assert unit["Service"]["ExecStart"].startswith(_COMMAND)
    command = unit["Service"]["ExecStart"].removeprefix(_COMMAND).split()[0]
    assert command in cli.main.list_commands(cli.main.make_context("clearance", [], resilient_parsing=True))
    assert unit["Install"]["WantedBy"] == "clearance.target"


def test_whoever_works_on_groups_stands_back_for_those_that_have_seconds() -> None:
    weight = {path.name: _unit(path)["Service"].get("CPUWeight") for path in _SERVICES}
    assert {name for name, told in weight.items() if told} == {
        "clearance-review@.service",
        "clearance-submit@.service",
    }
    assert set(weight.values()) == {None, "20"}


def test_processes_beside_each_other_serve_their_metrics_at_different_ports() -> None:
    told = [_unit(path)["Service"].get("Environment", "") for path in _SERVICES if "@" in path.name]
    assert len(set(told)) == len(told)
    assert all(each.startswith("CLEARANCE_METRICS_PORT=") and each.endswith("%i") for each in told)


def test_systemd_understands_every_unit_and_what_it_adds_to_each(tmp_path: Path) -> None:
    for program in ("systemd-analyze", "systemctl"):
        if shutil.which(program) is None:
            service_required("systemd", f"{program} is not installed")
    place = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree(_UNITS, place)
    # systemd's own units, which ours stand on; and something in the place of our command.
    usual = tmp_path / "usr" / "lib" / "systemd"
    usual.mkdir(parents=True)
    (usual / "system").symlink_to("/usr/lib/systemd/system")
    stand_in = tmp_path / _COMMAND.strip().lstrip("/")
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text("")
    stand_in.chmod(0o755)
    names = [path.name.replace("@.", "@1.") for path in _SERVICES]
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    enabled = subprocess.run(
        ["systemctl", f"--root={tmp_path}", "enable", *names, "clearance.target"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert enabled.returncode == 0, enabled.stderr
    assert {link.name for link in (place / "clearance.target.wants").iterdir()} == set(names)
    verified = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", "--man=no", *names],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in verified.stderr.splitlines() if "clearance" in line]
    assert (verified.returncode, ours) == (0, []), verified.stderr
