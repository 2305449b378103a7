"""Six troubles, as they come at night: each is found by `doctor`, by an alert and by its runbook, and mended by them.

One fleet, one recording, in this order. What was measured: `docs/drill.md`; `pytest -rP` shows it anew.
`CLEARANCE_TEST_DRILL_SPEED=1` plays it at the true pace.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.drill_fleet import GOOD_RULES, WINDOW_MS, Drill, drilling, pause
from tests.system.drill_recording import SPEED

pytestmark = pytest.mark.timeout(180 * max(1.0, 15 / SPEED))

_OUTAGE_S = 120.0
_BROKEN_RULES = GOOD_RULES.replace("cel    = 'country", "cel    = 'contry")
_WRONG_KEY = {"CLEARANCE_OPTIMOVE_API_KEY": "a-key-that-was-rotated-away"}
_OPTIMOVE = ("triggered", "triggered-approval")


@pytest.fixture(scope="module")
def _drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    with drilling(tmp_path_factory.mktemp("drill")) as drill:
        yield drill


@pytest.fixture
def drill(_drill: Drill) -> Iterator[Drill]:
    _drill.fleet.clear_faults()
    _drill.fleet.begin(seed=6)
    _drill.begin()
    yield _drill
    assert not _drill.fleet.lost(), _drill.fleet.tails()


def test_a_vendor_that_answers_500_for_two_minutes(drill: Drill) -> None:
    _optimove_fails(drill, error=1.0)
    drill.begin()
    drill.fleet.play(12, 24, window_ms=2000)
    drill.fleet.play(12, 24, window_ms=WINDOW_MS)

    drill.wait_found("vendor-failing")
    drill.follow("vendor-failing", "Check")
    drill.wait(lambda: drill.count("missed") == 12, "what had 2 s is missed")
    drill.wait(lambda: _listed(drill, "--lane", "triggered", "--state", "retry") == 12, "the others wait")
    drill.wait_alert("ClearanceVendorFailing")
    pause(max(0.0, _OUTAGE_S - (drill.recording.now_s - drill.broken_s)))
    drill.fleet.clear_faults()
    drill.follow("vendor-failing", "Do", "Undo")

    recovered_s = drill.wait(lambda: drill.count("done") == 12, "all are answered")
    drill.fleet.note(f"all that had time left was answered {recovered_s:.1f} s after the page was followed")
    drill.follow("vendor-failing", "Afterwards")
    assert _listed(drill, "--lane", "triggered", "--state", "retry") == 0
    assert _listed(drill, "--lane", "triggered", "--state", "missed") == 12


def test_a_vendor_that_answers_429_to_everything(drill: Drill) -> None:
    _optimove_fails(drill, throttle=1.0, retry_after_s=1.0)
    drill.begin()
    drill.fleet.play(12, 24, window_ms=WINDOW_MS)

    drill.wait_found("vendor-failing")
    drill.follow("vendor-failing", "Check")
    drill.wait_alert("ClearanceVendorThrottles")
    asked = drill.fleet.injected("throttle")
    drill.fleet.clear_faults()

    recovered_s = drill.wait(lambda: drill.count("done") == 12, "all are answered")
    drill.fleet.note(f"{asked} calls were answered 429; all was answered {recovered_s:.1f} s after the storm")
    drill.follow("vendor-failing", "Afterwards")
    assert _listed(drill, "--lane", "triggered", "--state", "retry") == 0


def test_a_key_that_is_wrong(drill: Drill) -> None:
    drill.restart("worker1", "triggered", _WRONG_KEY)
    drill.begin()
    drill.fleet.play(12, 24, window_ms=WINDOW_MS)

    drill.wait(lambda: drill.count("parked") == 12, "all are parked")
    drill.wait_found("vendor-401", _WRONG_KEY)
    drill.follow("vendor-401", "Check", settings=_WRONG_KEY)
    drill.wait_alert("ClearanceVendorRefusesCredentials")
    drill.restart("worker1", "triggered", {})
    drill.follow("vendor-401", "Do")

    drill.wait(lambda: drill.count("done") == 12, "all are answered after all")
    assert drill.fleet.report()["answered"] == 12
    drill.follow("vendor-401", "Afterwards")
    assert _listed(drill, "--state", "parked") == 0
    assert "retries.replay" in drill.run(["audit", "--json"]).output


def test_rules_that_an_edit_broke(drill: Drill) -> None:
    version = json.loads(drill.run(["rules", "check", "--json"]).output)["version"]
    drill.rules.write_text(_BROKEN_RULES, encoding="utf-8")
    os.kill(drill.fleet["worker1"].pid, signal.SIGHUP)
    drill.begin()

    drill.wait_found("rules-refused")
    checked = drill.follow("rules-refused", "Check", filled={"VERSION": version})
    assert any("did you mean `country`" in each.output for each in checked)
    drill.wait_alert("ClearanceRulesRefused")
    good = drill.run(["rules", "show", version]).output
    drill.rules.write_text(good, encoding="utf-8")
    drill.follow("rules-refused", "Do", filled={"VERSION": version})

    (in_force,) = json.loads(drill.run(["rules", "show", "--json"]).output)
    assert (in_force["state"], in_force["version"]) == ("in force", version)
    drill.follow("rules-refused", "Afterwards")


def test_a_lane_that_somebody_paused(drill: Drill) -> None:
    drill.run(["lanes", "pause", "mail", "--why", "a rehearsal"])
    drill.begin()
    drill.post_letters(5)

    drill.wait_found("lane-paused")
    drill.follow("lane-paused", "Check", filled={"LANE": "mail"})
    drill.wait_alert("ClearanceLanePaused")
    assert drill.printed() == 0
    drill.follow("lane-paused", "Do", filled={"LANE": "mail"})

    drill.wait(lambda: drill.printed() == 5, "the letters are posted")
    drill.follow("lane-paused", "Undo", "Do", "Afterwards", filled={"LANE": "mail"})


def test_mail_that_is_held(drill: Drill) -> None:
    drill.fleet.put_faults(group="optilyz", reset_after=1.0, times=1)
    drill.begin()
    drill.post_letters(5)
    # First: the doctor asks the vendor, too, and would be cut in its place.
    drill.wait(lambda: _facts(drill, "mail", "held", "list"), "the batch is held")

    drill.wait_found("mail-held")
    (batch,) = _facts(drill, "mail", "held", "list")
    filled = {"BATCH": str(batch["batch_id"])}
    drill.follow("mail-held", "Check", filled=filled)
    drill.wait_alert("ClearanceMailHeld")
    assert drill.printed() == 5  # so a person who asks the vendor is told
    drill.follow("mail-held", "Do", "Afterwards", filled=filled)

    assert _facts(drill, "mail", "held", "list") == []
    assert drill.printed() == 5  # none of them twice


def test_in_the_end_nothing_is_wrong_any_more(drill: Drill) -> None:
    drill.recording.wait_turn()

    assert {Path(each["runbook"] or "").stem for each in drill.doctor()} & _DRILLED == set()
    drill.wait(lambda: not _still_firing(drill), "every level is back")


_DRILLED = {"vendor-failing", "vendor-401", "rules-refused", "lane-paused", "mail-held"}
# Of a level, not of a count over some minutes: over as soon as a guardian has looked again.
_LEVELS = ("ClearanceMailHeld", "ClearanceLanePaused", "ClearanceRulesRefused")


def _still_firing(drill: Drill) -> list[str]:
    return [name for name in _LEVELS if drill.alerts.is_firing(name)]


def _optimove_fails(drill: Drill, **plan: float) -> None:
    for group in _OPTIMOVE:
        drill.fleet.put_faults(group=group, **plan)


def _listed(drill: Drill, *filters: str) -> int:
    """How many there are on the retries desk."""
    told: dict[str, Any] = json.loads(drill.run(["retries", "list", *filters, "--json"]).output)
    return len(told["items"])


def _facts(drill: Drill, *words: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(drill.run([*words, "--json"]).output)
    return told
