"""SIGTERM to a worker that is at work: it finishes or hands back inside its lane's grace, and no deadline is lost.

The signal goes to the worker alone, as from systemd, Compose and Kubernetes.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from clearance.sandbox.options import BLOOMREACH_KEY_ID, BLOOMREACH_PROJECT
from config.queues import QUEUE_BY_LANE
from tests.system.fleet import API_KEY, Fleet, FleetPlan
from tests.system.groups_fleet import GroupsFleet, groups_running
from tests.system.groups_verdict import judge_groups
from tests.system.processes import until
from tests.system.verdict import judge

pytestmark = [pytest.mark.timeout(150), pytest.mark.alone]

_APPROVALS = "scheduled-approvals"
_KEY = "relay-key"
_AUTOMATION = "5fc6ca6a89b5e200e0de42e0"
# More than the grace of 60 s, by what a busy machine takes to bring a submission about and a worker back.
_MARGIN_S = 110.0
_MANY = 20_000
# Two batches for each thread of the track workers, and more.
_TOLD = 1000
_RULES = FleetPlan().rules
_SETTINGS = {
    "CLEARANCE_RELAY_API_KEYS": _KEY,
    "CLEARANCE_OPTILYZ_BATCH_SIZE": "10",
    "CLEARANCE_OPTILYZ_MAX_WAIT_S": "0.5",
    "CLEARANCE_OPTILYZ_API_KEY": API_KEY,
    "CLEARANCE_BLOOMREACH_PROJECT_TOKEN": BLOOMREACH_PROJECT,
    "CLEARANCE_BLOOMREACH_API_KEY_ID": BLOOMREACH_KEY_ID,
    "CLEARANCE_BLOOMREACH_API_SECRET": API_KEY,
    "CLEARANCE_BLOOMREACH_COMMANDS_PER_CALL": "10",
    # Tests tell of more groups in a short time than the vendor's limit would have them fetched and submitted.
    "CLEARANCE_OPTIMOVE_RATE_CALLS": "1000",
}


@pytest.fixture(scope="module")
def _here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupsFleet]:
    """Two workers of each lane, so that one is there while the other stops."""
    directory = tmp_path_factory.mktemp("sigterm")
    with groups_running(directory, margin_s=_MARGIN_S, settings=_SETTINGS) as here:
        fleet = here.fleet
        of_ingest = {
            "CLEARANCE_INGEST_PORT": str(fleet.ingest_port),
            "CLEARANCE_BLOOMREACH_BASE_URL": fleet.sandbox_url,
        }
        fleet["ingest"].kill()
        fleet.add_clearance("ingest", "ingest", settings=of_ingest)
        triggered = {"CLEARANCE_RULES_PATH": str(_RULES)}
        optilyz = {"CLEARANCE_OPTILYZ_BASE_URL": f"{fleet.sandbox_url}/api"}
        bloomreach = {"CLEARANCE_BLOOMREACH_BASE_URL": fleet.sandbox_url}
        for number in (1, 2):
            fleet.add_clearance(f"worker{number}", "worker", "triggered", settings=triggered)
            fleet.add_clearance(f"mail{number}", "worker", "mail", settings=optilyz)
            fleet.add_clearance(f"track{number}", "worker", "track", settings=bloomreach)
        fleet.add_clearance("review2", "worker", "review")
        fleet.start_dead()
        yield here


@pytest.fixture
def here(_here: GroupsFleet) -> GroupsFleet:
    _here.fleet.begin(seed=11)
    return _here


def _terminated(fleet: Fleet, lane: str, *names: str) -> None:
    """SIGTERM to each at once; wait until they have ended by themselves, and well."""
    grace_s, asked_at = QUEUE_BY_LANE[lane].stop_grace_s, time.monotonic()
    for name in names:
        fleet[name].was_killed = True
        os.kill(fleet[name].pid, signal.SIGTERM)
    for name in names:
        until(lambda each=name: not fleet[each].is_alive, f"{name} has ended", timeout_s=grace_s)  # type: ignore[misc]  # mypy does not infer a lambda's default
        fleet.note(f"{name} ended after {time.monotonic() - asked_at:.2f} s of its {grace_s} s")
        assert fleet[name].exit_code == 0, fleet[name].tail()


def _post(fleet: Fleet, path: str, sent: object) -> dict[str, Any]:
    headers = urllib3.make_headers(basic_auth=f"{_KEY}:-")
    answer = urllib3.request("POST", fleet.ingest_url + path, json=sent, headers=headers, timeout=10.0)
    assert answer.status < 300, answer.data
    told: dict[str, Any] = answer.json()
    return told


def test_triggered_every_approval_that_is_under_way_is_finished(here: GroupsFleet) -> None:
    fleet = here.fleet
    fleet.put_faults(latency_ms=800)
    run = fleet.play(40, 20)
    fleet.wait_sent(run, 20)
    _terminated(fleet, "triggered", "worker1")
    fleet.wait_sent(run)
    verdict = judge(fleet)
    assert verdict.all_answered
    assert verdict.slowest_s < 4.0
    # What it had begun, it has ended: nobody sent anything a second time.
    assert verdict.calls == 40


def test_review_what_is_not_begun_is_left_to_the_other(here: GroupsFleet) -> None:
    here.fleet.kill("review2")
    told = here.tell(_MANY, _MARGIN_S + 20)
    here.wait_heard(told)
    until(lambda: _decided(here, told.vendor_id) >= 1, "a chunk is decided", timeout_s=15)
    _terminated(here.fleet, "review", "review1")
    # Nobody else was there: what it had not begun is still to be decided.
    assert _decided(here, told.vendor_id) < _MANY // 1000, (
        "all was decided before: the test has shown nothing"
    )
    here.fleet.restart("review2")
    until(lambda: _decided(here, told.vendor_id) == _MANY // 1000, "every chunk is decided", timeout_s=30)


def _decided(here: GroupsFleet, vendor_id: str) -> int:
    chunks = here.groups.read(here.api, vendor_id).chunks
    return sum(chunk.state != "fetched" for chunk in chunks)


def test_submit_what_lasts_longer_than_the_grace_is_handed_to_the_other(here: GroupsFleet) -> None:
    fleet = here.fleet
    fleet.put_faults(group=_APPROVALS, error=1.0)
    told = here.tell(4000, _MARGIN_S + 4)
    until(lambda: fleet.injected("error", group=_APPROVALS) >= 2, "calls fail", timeout_s=20)
    # One of them holds it; then the other does.
    _terminated(fleet, "submit", "submit1")
    fleet.restart("submit1")
    _terminated(fleet, "submit", "submit2")
    fleet.clear_faults()
    cleared_at = time.monotonic()
    here.wait_state(told, "submitted", timeout_s=20)
    fleet.note(f"submitted {time.monotonic() - cleared_at:.2f} s after the vendor was well again")
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
    assert verdict.margin_s is not None
    assert verdict.margin_s > 0


def test_submit_what_ends_within_the_grace_is_finished(here: GroupsFleet) -> None:
    fleet = here.fleet
    fleet.put_faults(group=_APPROVALS, latency_ms=1000)
    told = here.tell(6000, 12)
    here.wait_heard(told)
    until(lambda: here.groups.read(here.api, told.vendor_id).approvals, "a call is made", timeout_s=10)
    _terminated(fleet, "submit", "submit1", "submit2")
    (verdict,) = judge_groups(here, [told])
    assert verdict.all_answered
    assert verdict.twice == 0


def test_mail_a_request_that_is_under_way_is_waited_for_and_no_letter_is_in_doubt(here: GroupsFleet) -> None:
    fleet = here.fleet
    fleet.put_faults(group="optilyz", latency_ms=1500)
    fleet.call("PUT", f"/sandbox/optilyz/automations/{_AUTOMATION}", {})
    _post(
        fleet, f"/api/v2/automations/{_AUTOMATION}/recipients", {"addresses": [_letter(n) for n in range(60)]}
    )
    until(lambda: _mail(fleet)["in_flight"] > 0, "a request is under way", timeout_s=10)
    _terminated(fleet, "mail", "mail1", "mail2")
    assert 0 < _mail(fleet)["printed"] < 60, "all was posted, or nothing: the test has shown nothing"
    fleet.clear_faults()
    fleet.restart("mail1")
    until(lambda: _mail(fleet)["printed"] == 60, "every letter is posted", timeout_s=20, every_s=0.1)
    assert json.loads(fleet.command("mail", "held", "list", "--json")) == []


def test_track_a_request_that_is_under_way_is_waited_for(here: GroupsFleet) -> None:
    fleet = here.fleet
    fleet.put_faults(group="bloomreach", latency_ms=1000)
    recipients = [
        {"id": f"r{number}", "individualisation1": f"{number}@example.com", "individualisation2": ""}
        for number in range(_TOLD)
    ]
    _post(
        fleet,
        "/webhooks/optilyz/mailings",
        {
            "automation_id": _AUTOMATION,
            "mailing": {"id": "m1", "name": "Abandoned cart", "state": "live"},
            "recipients": recipients,
        },
    )
    until(lambda: _heard(fleet) > 0, "a first request is answered", timeout_s=15)
    _terminated(fleet, "track", "track1", "track2")
    assert _heard(fleet) < _TOLD, "all was told before: the test has shown nothing"
    fleet.clear_faults()
    fleet.restart("track1")
    until(lambda: _heard(fleet) == _TOLD, "every event is told", timeout_s=20, every_s=0.1)
    assert fleet.report()["bloomreach"]["repeats"] == 0


def _letter(number: int) -> dict[str, Any]:
    return {
        "address": {
            "firstName": "Anna",
            "lastName": f"Muster{number}",
            "street": "Hauptstr.",
            "houseNumber": str(number + 1),
            "zipCode": "10115",
            "city": "Berlin",
            "country": "DE",
            "individualisation1": f"anna{number}@example.com",
        }
    }


def _mail(fleet: Fleet) -> dict[str, Any]:
    return fleet.call("GET", "/sandbox/optilyz")


def _heard(fleet: Fleet) -> int:
    return int(fleet.report()["bloomreach"]["events"].get("campaign", 0))
