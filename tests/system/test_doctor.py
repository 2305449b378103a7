"""A fleet is healthy, then broken in one way after the other: `clearance doctor` finds each, by name, and exits so.

One fleet for all: each test mends what it has broken.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.fleet import Fleet, FleetPlan, running
from tests.system.processes import until

pytestmark = pytest.mark.timeout(180)

_BIN = Path(sys.executable).parent
_RULES = Path(__file__).with_name("rules.toml")
_SOON_S = 40.0
# A host that runs many tests is slow to answer; that is not what is asked here.
_PATIENCE = ("--timeout-s", "10")


@dataclass(frozen=True, slots=True)
class Said:
    """What `clearance doctor --json` said."""

    exit_code: int
    finding_by_check: dict[str, dict[str, Any]]

    @property
    def failed(self) -> set[str]:
        """The checks that failed."""
        return {name for name, each in self.finding_by_check.items() if each["level"] == "fail"}

    def level(self, check: str) -> str | None:
        """How one check ended; None for one that found nothing to say."""
        return self.finding_by_check.get(check, {}).get("level")

    def told(self, check: str) -> str:
        """What one check found."""
        return str(self.finding_by_check[check]["told"])

    def runbook(self, check: str) -> str:
        """The page that one check names."""
        return str(self.finding_by_check[check]["runbook"])


@dataclass(frozen=True, slots=True)
class Ward:
    """A fleet with a file of rules of its own."""

    fleet: Fleet
    rules: Path

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """`clearance doctor`, in the fleet's environment and with other settings beside."""
        return subprocess.run(
            [str(_BIN / "clearance"), "doctor", *arguments],
            env=self.fleet.environ | settings,
            cwd=self.fleet.directory,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

    def doctor(self, *arguments: str, **settings: str) -> Said:
        """What it says."""
        done = self.run("--json", *_PATIENCE, *arguments, **settings)
        assert not done.stderr, done.stderr
        return Said(done.returncode, {each["check"]: each for each in json.loads(done.stdout)["checks"]})

    def doctor_until(self, *checks: str) -> Said:
        """What it says once all of these have failed."""
        said: list[Said] = []

        def have_failed() -> bool:
            said.append(self.doctor("--offline"))
            return said[-1].failed.issuperset(checks)

        until(have_failed, f"{checks} have failed", timeout_s=_SOON_S, every_s=0.2)
        return said[-1]

    def wait_healthy(self) -> None:
        """As a script does after a start or a deploy."""
        done = self.run("--offline", *_PATIENCE, "--wait-s", str(_SOON_S))
        assert done.returncode == 0, done.stdout + self.fleet.tails()


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    directory = tmp_path_factory.mktemp("ward")
    rules = directory / "own.toml"
    rules.write_bytes(_RULES.read_bytes())
    settings = {"CLEARANCE_HEARTBEAT_EVERY_S": "0.5", "CLEARANCE_RULES_LOOK_EVERY_S": "0.3"}
    plan = FleetPlan(workers=1, guardians=1, reviewers=1, submitters=1, rules=rules, settings=settings)
    with running(directory, plan) as fleet:
        ward = Ward(fleet, rules)
        ward.wait_healthy()
        yield ward


@pytest.fixture
def ward(_shared: Ward) -> Ward:
    is_mended = not _shared.fleet.disturbed
    _shared.fleet.begin(seed=7)
    if not is_mended:
        _shared.wait_healthy()
    return _shared


def test_in_a_healthy_fleet_nothing_fails_and_every_lane_has_answered(ward: Ward) -> None:
    said = ward.doctor()

    assert (said.exit_code, said.failed) == (0, set())
    fine = (
        "settings",
        "rules file",
        "ledger",
        "broker",
        "guardian",
        "rules in force",
        "deadlines",
        "waiting",
    )
    lanes = ("lane triggered", "lane review", "lane submit")
    outside = ("vendor optimove", "clock redis", "clock workers", "clock optimove api")
    names = (*fine, *lanes, *outside)
    assert {name: said.level(name) for name in names} == dict.fromkeys(names, "ok")
    assert "answered" in said.told("lane review")
    # Nobody has set Optilyz here: that is no failure, and it says why no worker of it starts.
    assert said.level("lane mail") == "warn"
    assert "CLEARANCE_OPTILYZ_API_KEY" in said.told("lane mail")


def test_a_wrong_key_and_a_paused_lane_are_found_by_name_and_no_secret_is_printed(ward: Ward) -> None:
    ward.fleet.command("lanes", "pause", "submit", "--why", "a test")
    try:
        said = ward.doctor(CLEARANCE_OPTIMOVE_API_KEY="not-the-key")
    finally:
        ward.fleet.command("lanes", "resume", "submit")

    assert (said.exit_code, said.failed) == (1, {"vendor optimove"})
    assert "401" in said.told("vendor optimove")
    assert said.runbook("vendor optimove") == "docs/runbooks/vendor-401.md"
    assert "not-the-key" not in str(said)
    assert said.level("lane submit paused") == "warn"
    assert said.runbook("lane submit paused") == "docs/runbooks/lane-paused.md"
    # Paused, and yet somebody is there.
    assert said.level("lane submit") == "ok"


def test_lanes_without_a_worker_that_works_are_found_one_is_gone_and_one_lives_and_hangs(ward: Ward) -> None:
    with ward.fleet.frozen("worker1"):
        ward.fleet.kill("submit1")
        said = ward.doctor_until("lane submit", "lane triggered")

    assert (said.exit_code, said.failed) == (1, {"lane submit", "lane triggered"})
    assert "messages wait" in said.told("lane submit")
    assert said.runbook("lane submit") == "docs/runbooks/workers-up-nothing-moves.md"
    assert said.level("lane review") == "ok"


def test_rules_that_were_refused_are_found_with_the_processes_that_keep_the_old_ones(ward: Ward) -> None:
    good = ward.rules.read_bytes()
    ward.rules.write_bytes(good + b"\n[[polcy]]\n")
    try:
        # The command would ask nobody to read a broken file; a process that gets the signal reads it.
        os.kill(ward.fleet["worker1"].pid, signal.SIGHUP)
        said = ward.doctor_until("rules in force")
    finally:
        ward.rules.write_bytes(good)
        ward.fleet.command("rules", "reload", "--wait-s", "0")
        ward.fleet.disturbed.add("worker1")  # the next test waits until it has followed

    assert said.failed == {"rules in force", "rules file"}
    assert said.runbook("rules in force") == "docs/runbooks/rules-refused.md"
    assert "triggered@" in said.told("rules in force")


def test_without_guardian_and_broker_both_are_found_and_the_lanes_are_not_blamed(ward: Ward) -> None:
    ward.fleet.kill("guardian1")
    assert ward.doctor_until("guardian").failed == {"guardian"}
    ward.fleet.kill("broker")

    said = ward.doctor("--offline")

    assert (said.exit_code, said.failed) == (1, {"guardian", "broker"})
    assert said.runbook("broker") == "docs/runbooks/broker-gone.md"
    assert said.level("ledger") == "ok"
    assert said.level("lane triggered") == "warn"
