"""A fleet to be drilled on: what goes wrong in it is found by `doctor`, an alert and a runbook, and mended by them.

Triggered approvals and letters are played; one worker each, so that what a person does to it is done to all. Windows
are long enough for a person to act in.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3
from click.testing import CliRunner

from tests.system.drill_recording import SPEED, Alerts, Recording, recording
from tests.system.drill_runbooks import Step, is_shown, steps_of, words_of
from tests.system.fleet import API_KEY, Fleet, FleetPlan, running
from tests.system.processes import until
from workers.cli import main

AUTOMATION = "5fc6ca6a89b5e200e0de42e0"
GOOD_RULES = Path(__file__).with_name("rules.toml").read_text(encoding="utf-8")
WINDOW_MS = 600_000
_KEY = "relay-key"
_ANSWERED = {0, 1, 2}
_SETTINGS = {
    "CLEARANCE_TRIGGERED_TIMEOUT_MS": str(WINDOW_MS),
    "CLEARANCE_RULES_LOOK_EVERY_S": "0.2",
    "CLEARANCE_HEARTBEAT_EVERY_S": "2",
    "CLEARANCE_RELAY_API_KEYS": _KEY,
    "CLEARANCE_OPTILYZ_ID_FIELDS": "individualisation1=registered",
    "CLEARANCE_OPTILYZ_MAX_WAIT_S": "0.5",
    "CLEARANCE_OPTILYZ_TIMEOUT_S": "2",
    "CLEARANCE_MAIL_LEASE_S": "4",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command said."""

    command: str
    status: int
    output: str
    is_empty: bool  # a listing without rows


@dataclass(slots=True, kw_only=True)
class Drill:
    """What a test does: break something, be told, follow the page.

    Attributes:
        broken_s: When the present trouble began, as Prometheus counts seconds.
        commands: How many commands of runbooks were run.
    """

    fleet: Fleet
    rules: Path
    recording: Recording
    alerts: Alerts
    urls: dict[str, str]
    broken_s: float = 0.0
    commands: int = 0
    letters: int = 0
    _http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(retries=False, timeout=10.0)
    )

    def begin(self) -> None:
        """From now on something is wrong."""
        self.broken_s = self.recording.now_s

    def doctor(self, settings: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """What is not as it should be."""
        said = self.run(["doctor", "--json"], settings)
        findings: list[dict[str, Any]] = json.loads(said.output)["checks"]
        return [each for each in findings if each["level"] != "ok"]

    def wait_found(self, runbook: str, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Wait until the doctor names this page; what it says."""
        found: list[dict[str, Any]] = []

        def is_found() -> bool:
            found[:] = [
                each for each in self.doctor(settings) if each["runbook"] == f"docs/runbooks/{runbook}.md"
            ]
            return bool(found)

        took_s = until(is_found, f"the doctor names {runbook}", timeout_s=30, every_s=0.2)
        self.fleet.note(f"doctor after {took_s:.1f} s: {found[0]['check']}: {found[0]['told']}")
        return found[0]

    def wait_alert(self, name: str, *, timeout_s: float = 30.0) -> float:
        """Wait until this alert fires; how long after the trouble began it did, as Prometheus counts seconds."""
        fired: list[float] = []

        def is_firing() -> bool:
            after_s = self.alerts.first_firing_s(name, since_s=self.broken_s)
            fired[:] = [] if after_s is None else [after_s]
            return bool(fired)

        until(is_firing, f"{name} fires", timeout_s=timeout_s * max(1.0, 15 / SPEED), every_s=0.3)
        self.fleet.note(f"alert {name} after {fired[0]:.0f} s of Prometheus' time")
        return fired[0]

    def follow(
        self,
        runbook: str,
        *sections: str,
        filled: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> list[Said]:
        """Run what the page says, in these sections, and see that it prints what the page shows."""
        return [
            said
            for section in sections
            for step in steps_of(runbook, section)
            for said in self._take(step, filled or {}, settings)
        ]

    def run(self, words: list[str], settings: Mapping[str, str] | None = None) -> Said:
        """One command, with settings of its own beside the fleet's. In this process: to start another costs more."""
        told = CliRunner().invoke(
            main, words, env={**self.fleet.environ, **(settings or {}), "COLUMNS": "250"}
        )
        # Nobody who is on call reads a trace.
        assert told.exception is None or isinstance(told.exception, SystemExit), (words, told.exception)
        return Said(
            command=" ".join(words),
            status=told.exit_code,
            output=told.stdout or told.stderr,
            is_empty=not told.stdout,
        )

    def restart(self, name: str, lane: str, settings: Mapping[str, str]) -> None:
        """End a worker as an operator would, and start it with other settings."""
        self.fleet[name].stop()
        child = self.fleet.add_clearance(name, "worker", lane, settings=settings)
        self.urls[name] = self.fleet.metrics_url(name)
        child.start()
        self.fleet.wait_ready(name)

    def count(self, *states: str) -> int:
        """How many of the notifications that were played since the test began are in one of these states."""
        rows = self.fleet.report(detail=True)["notifications"]
        return self.fleet.ledger.count(rows[0]["request_uid"][:-12], *states) if rows else 0

    def post_letters(self, count: int) -> None:
        """So many recipients, whom nobody has had before, are handed to the relay."""
        addresses = []
        for _ in range(count):
            self.letters += 1
            address = {
                "fullName": "Anna Muster",
                "address1": f"Hauptstr. {self.letters}",
                "zipCode": "10115",
                "city": "Berlin",
                "individualisation1": f"drill-{self.letters}@example.com",
            }
            addresses.append({"address": address})
        answer = self._http.request(
            "POST",
            f"{self.fleet.ingest_url}/api/v2/automations/{AUTOMATION}/recipients",
            json={"addresses": addresses},
            headers=urllib3.make_headers(basic_auth=f"{_KEY}: "),
        )
        assert answer.status == HTTPStatus.OK, answer.data
        assert answer.json()["queued"] == count, answer.data

    def printed(self) -> int:
        """How many letters Optilyz has."""
        return int(self.fleet.call("GET", "/sandbox/optilyz/letters")["count"])

    def letters_in(self, state: str) -> list[dict[str, Any]]:
        """The letters of one state."""
        listed: list[dict[str, Any]] = json.loads(
            self.run(["mail", "list", "--state", state, "--json"]).output or "[]"
        )
        return listed

    def wait(self, condition: Callable[[], object], what: str, *, timeout_s: float = 30.0) -> float:
        """Wait for what the fleet does by itself."""
        return until(condition, what, timeout_s=timeout_s, every_s=0.05)

    def _take(self, step: Step, filled: Mapping[str, str], settings: Mapping[str, str] | None) -> list[Said]:
        said = [self.run(words_of(each, filled), settings) for each in step.commands]
        self.commands += len(said)
        told = "\n".join(each.output for each in said)
        for each in said:
            # A question may be answered by "no"; what is done has to be done.
            assert each.status in ({0} if step.section in ("Do", "Undo") and is_act(each) else _ANSWERED), (
                each
            )
            assert "Usage:" not in each.output, each.output
        if not is_shown(step.shown, told) and not all(each.is_empty for each in said):
            raise AssertionError(f"{step.commands} should print {step.shown!r}, and prints:\n{told}")
        return said


def is_act(said: Said) -> bool:
    """Whether a command changes something, or only tells."""
    # A replay for which nothing is left says so.
    return not said.command.startswith(("doctor", "rules check", "rules show", "retries replay"))


@contextmanager
def drilling(directory: Path) -> Iterator[Drill]:
    """Ingest, a guardian, a triggered and a mail worker; every process recorded."""
    rules = directory / "rules.toml"
    rules.write_text(GOOD_RULES, encoding="utf-8")
    plan = FleetPlan(workers=1, guardians=1, rules=rules, settings=_SETTINGS)
    with running(directory, plan) as fleet:
        vendor = {
            "CLEARANCE_OPTILYZ_BASE_URL": f"{fleet.sandbox_url}/api",
            "CLEARANCE_OPTILYZ_API_KEY": API_KEY,
        }
        fleet.environ |= vendor
        fleet.add_clearance("mail1", "worker", "mail")
        fleet.start_dead()
        fleet.call("PUT", f"/sandbox/optilyz/automations/{AUTOMATION}", {})
        names = [name for name in fleet.children if name not in ("broker", "sandbox")]
        urls = {name: fleet.metrics_url(name) for name in names}
        with recording(urls) as here:
            yield Drill(
                fleet=fleet,
                rules=rules,
                recording=here,
                alerts=Alerts(here, directory),
                urls=urls,
            )


def seconds(real_s: float) -> float:
    """How long something that lasts `real_s` lasts in the drill."""
    return real_s / SPEED


def pause(real_s: float) -> None:
    """Let time go by: the trouble itself has a length."""
    time.sleep(seconds(real_s))
