"""What Bloomreach hears of mailings: each recipient once, whatever Optilyz repeats and Bloomreach answers."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from sqlalchemy import create_engine, select

from clearance.ledger.mail_tables import track_commands
from clearance.sandbox.options import BLOOMREACH_KEY_ID, BLOOMREACH_PROJECT
from tests.system.fleet import API_KEY, Fleet, FleetPlan, running
from tests.system.processes import until

pytestmark = pytest.mark.timeout(120)

_KEY = "relay-key"
_WEBHOOK = "/webhooks/optimove/triggered"
_SETTINGS = {
    "CLEARANCE_RELAY_API_KEYS": _KEY,
    "CLEARANCE_BLOOMREACH_PROJECT_TOKEN": BLOOMREACH_PROJECT,
    "CLEARANCE_BLOOMREACH_API_KEY_ID": BLOOMREACH_KEY_ID,
    "CLEARANCE_BLOOMREACH_API_SECRET": API_KEY,
    "CLEARANCE_TRACK_LEASE_S": "2",
}
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class _Track:
    """A fleet with a track worker, and an ingest that knows Bloomreach."""

    fleet: Fleet
    url: str

    def deliver(
        self, mailing: str, recipients: list[dict[str, Any]], *, state: str = "live"
    ) -> dict[str, Any]:
        sent = {
            "automation_id": "5fc6ca6a89b5e200e0de42e0",
            "mailing": {"id": mailing, "name": "Abandoned cart", "state": state},
            "recipients": recipients,
        }
        answer = requests.post(
            f"{self.url}/webhooks/optilyz/mailings", json=sent, auth=(_KEY, "-"), timeout=10
        )
        assert answer.status_code == 202, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def heard(self) -> dict[str, Any]:
        """What Bloomreach's sandbox has counted since the test began."""
        told: dict[str, Any] = self.fleet.report()["bloomreach"]
        return told

    def events(self) -> int:
        return int(self.heard()["events"].get("campaign", 0))

    def states(self, mailing: str) -> list[tuple[str, str | None]]:
        """How the commands about a mailing stand; they are told apart by their data, or had it once."""
        engine = create_engine(self.fleet.ledger_url)
        try:
            with engine.connect() as connection:
                found = select(track_commands).where(track_commands.c.data.contains(mailing))
                return [(row.state, row.reason) for row in connection.execute(found)]
        finally:
            engine.dispose()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        until(condition, what, timeout_s=_WAIT_S, every_s=0.05)


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Track]:
    plan = FleetPlan(workers=0, guardians=1, settings=_SETTINGS)
    with running(tmp_path_factory.mktemp("track"), plan) as fleet:
        bloomreach = {"CLEARANCE_BLOOMREACH_BASE_URL": fleet.sandbox_url}
        fleet.add_clearance("track1", "worker", "track", settings=bloomreach)
        fleet.start_dead()
        with fleet.second_ingest(bloomreach) as webhook_url:
            yield _Track(fleet, webhook_url.removesuffix(_WEBHOOK))


@pytest.fixture
def track(_shared: _Track) -> _Track:
    _shared.fleet.clear_faults()
    _shared.fleet.begin(seed=7)
    return _shared


def _recipients(mailing: str, count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{mailing}-{number}",
            "individualisation1": f"{mailing}-{number}@example.com",
            "individualisation2": "",
        }
        for number in range(count)
    ]


def test_a_state_is_told_once_of_each_recipient_however_often_it_is_delivered_and_whatever_fails(
    track: _Track,
) -> None:
    recipients = _recipients("once", 120)
    track.fleet.put_faults(group="bloomreach", error=0.5, error_status=500, throttle=0.5, times=6)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: track.deliver("once", recipients), range(6)))
    track.wait(lambda: track.events() == 120, "all are told")
    again = track.deliver("once", recipients)

    assert {answer["id"] for answer in answers} == {again["id"]}
    assert again["duplicate"] is True
    heard = track.heard()
    assert heard["campaign_events_by_status"] == {"live": 120}
    assert (heard["repeats"], heard["refused"], heard["customers"]) == (0, 0, 120)
    assert heard["most_commands"] <= 50
    statuses = heard["by_status"]
    assert statuses.get("500", 0) + statuses.get("429", 0) == 6


def test_who_has_no_usable_id_is_told_of_to_nobody(track: _Track) -> None:
    nobody = [{"id": "n1", "individualisation1": "", "individualisation2": "null"}, {"id": "n2"}]

    assert track.deliver("nobody", [*nobody, *_recipients("nobody", 1)])["duplicate"] is False

    track.wait(lambda: track.events() == 1, "the one is told of")
    assert track.heard()["customers"] == 1


def test_one_refusal_of_a_whole_call_costs_nobody_an_event(track: _Track) -> None:
    track.fleet.put_faults(group="bloomreach", error=1, error_status=400, times=1)

    track.deliver("halved", _recipients("halved", 8))

    track.wait(lambda: track.events() == 8, "all are told of, in halves")
    assert track.heard()["by_status"] == {"200": 2, "400": 1}


def test_what_is_refused_alone_is_parked_with_its_reason(track: _Track) -> None:
    track.fleet.put_faults(group="bloomreach", error=1, error_status=400)

    track.deliver("parked", _recipients("parked", 2))

    track.wait(lambda: track.states("parked") == [("parked", "REFUSED_400")] * 2, "both are parked")
    assert track.heard()["by_status"] == {"400": 3}


def test_refused_credentials_pause_the_lane_and_nothing_is_lost(track: _Track) -> None:
    track.fleet.put_faults(group="bloomreach", error=1, error_status=401, times=1)

    track.deliver("paused", _recipients("paused", 3))
    track.wait(lambda: "lane.paused" in track.fleet["track1"].all_output(), "the lane is paused")
    track.deliver("paused", _recipients("paused", 5))
    assert track.heard()["by_status"] == {"401": 1}

    track.fleet.command("lanes", "resume", "track", "--why", "the key is right again")

    track.wait(lambda: track.events() == 5, "all are told of after all")
    assert track.heard()["repeats"] == 0


def test_what_a_killed_worker_held_is_sent_by_the_next(track: _Track) -> None:
    track.fleet.put_faults(group="bloomreach", latency_ms=1000)
    track.deliver("killed", _recipients("killed", 60))
    # Bloomreach has taken it, and the worker waits for the answer.
    track.wait(lambda: track.heard()["commands"] > 0, "it is under way")

    track.fleet.kill("track1")
    track.fleet.clear_faults()
    track.fleet.restart("track1")

    track.wait(lambda: track.heard()["customers"] == 60, "all are told of")
    track.wait(lambda: not track.states("killed"), "all are known to be sent")
    heard = track.heard()
    assert heard["repeats"] > 0
    assert heard["commands"] - heard["repeats"] == 60
