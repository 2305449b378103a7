"""A fleet for scheduled groups: a review worker, two submit workers, and the sandbox that tells of groups.

Triggered workers are left out: nothing of theirs is played. Margins are short, so that a group with a window of some
seconds is as good as one of hours: fetched and reviewed at once, submitted at its ETA, closed at its deadline.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.system.fleet import Fleet, FleetPlan, running
from tests.system.groups_ledger import GroupsLedger
from tests.system.processes import until
from tests.system.told import EVENTS, SEND_GROUPS, TOKEN

V1, V2 = "v1", "v2"
RULES = Path(__file__).with_name("rules_groups.toml")
STOP_MARGIN_S = 0.5
_PATH_BY_API = {V1: "/sandbox/campaigns", V2: "/sandbox/send-groups"}
_ROUTE_BY_API = {V1: EVENTS, V2: SEND_GROUPS}
_SPOILED = {"missing": 0.02, "malformed": 0.01}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A group that the sandbox has told of: its id there, and by which API."""

    api: str
    vendor_id: str

    @property
    def path(self) -> str:
        """Where the sandbox is asked about it."""
        return f"{_PATH_BY_API[self.api]}/{self.vendor_id}"


class GroupsFleet:
    """What tests do with groups. `fleet` are the processes, `groups` what the ledger says."""

    def __init__(self, fleet: Fleet, api: str) -> None:
        self.fleet = fleet
        self.api = api
        self.groups = GroupsLedger(fleet.ledger_url)
        self._next_id = 0

    def tell(self, customers: int, window_s: float, **more: object) -> Told:
        """Let the sandbox make a group and send its heads-up; a part of the customers' values is spoiled."""
        # Another id than any test of this fleet has had: the ledger remembers them all.
        self._next_id += 1
        number = 100_000 + self._next_id
        sent = _SPOILED | {
            "id": number,
            "customers": customers,
            "window_s": window_s,
            "seed": self.fleet.seed,
            "targets": [self.fleet.ingest_url + _ROUTE_BY_API[self.api]],
            "token": TOKEN,
            **more,
        }
        self.fleet.call("POST", _PATH_BY_API[self.api], sent)
        return Told(api=self.api, vendor_id=str(number))

    def move(self, told: Told, window_s: float) -> None:
        """Tell the same group again, with its deadline so many seconds from now."""
        self.fleet.call("POST", f"{told.path}/move", {"window_s": window_s})

    def cancel(self, told: Told) -> None:
        """Take the group back."""
        self.fleet.call("DELETE", told.path)

    def stream(self, told: Told, **faults: float) -> None:
        """From now on replies with customers fail like this."""
        self.fleet.call("PUT", f"{told.path}/stream", faults)

    def seen(self, told: Told) -> dict[str, Any]:
        """What the sandbox has seen of a group."""
        return self.fleet.call("GET", told.path)

    def state(self, told: Told) -> str:
        """The group's state in the ledger; empty while it does not know it."""
        group = self.groups.find(told.api, told.vendor_id)
        return group.state if group else ""

    def wait_state(self, told: Told, *states: str, timeout_s: float) -> float:
        """Wait until the ledger has the group in one of these states."""
        return until(
            lambda: self.state(told) in states,
            f"{told.vendor_id} is {' or '.join(states)}",
            timeout_s=timeout_s,
            every_s=0.05,
        )

    def wait_heard(self, told: Told, revision: int = 1) -> None:
        """Wait until the ledger knows this revision of the group."""

        def is_heard() -> bool:
            group = self.groups.find(told.api, told.vendor_id)
            return group is not None and group.revision >= revision

        until(is_heard, f"revision {revision} of {told.vendor_id} is heard", timeout_s=5)


@contextmanager
def groups_running(
    directory: Path,
    *,
    api: str = V2,
    margin_s: float = 3.0,
    plan: FleetPlan | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[GroupsFleet]:
    """The fleet, every process ready; submissions begin `margin_s` before a deadline."""
    own = {
        "CLEARANCE_SCHEDULED_API": api,
        "CLEARANCE_OPTIMOVE_LISTENER_TOKEN": TOKEN,
        "CLEARANCE_SUBMIT_MIN_MARGIN_S": str(margin_s),
        "CLEARANCE_SUBMIT_CALL_ESTIMATE_S": "0.2",
        "CLEARANCE_SUBMIT_STOP_MARGIN_S": str(STOP_MARGIN_S),
        # So that a group of some thousands is several calls.
        "CLEARANCE_OPTIMOVE_APPROVALS_PER_CALL": "2000",
        "CLEARANCE_OPTIMOVE_TIMEOUT_S": "2",
        "CLEARANCE_SCHEDULED_LEASE_S": "2",
    }
    made = {"rules": RULES, "workers": 0, "reviewers": 1, "submitters": 2}
    whole = replace(plan or FleetPlan(), **made, settings=own | dict(settings or {}))
    with running(directory, whole) as fleet:
        groups = GroupsFleet(fleet, api)
        try:
            yield groups
        finally:
            groups.groups.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """Something that happens to the fleet, so many seconds after its group was told."""

    at_s: float
    name: str
    strike: Callable[[], None]


def blows(fleet: Fleet, seed: int, names: list[str], *, within_s: float) -> list[Blow]:
    """`kill -9` of each of these once, at a moment that the seed says, and of the broker's memory, in order.

    Whoever is killed is started again at once: that others take over meanwhile is seen by the workers' tests.
    """
    chosen = random.Random(seed)

    def kill(name: str) -> Callable[[], None]:
        def strike() -> None:
            fleet.kill(name)
            fleet.children[name].start()

        return strike

    struck = [Blow(at_s=chosen.uniform(0, within_s), name=name, strike=kill(name)) for name in names]
    at_s = chosen.uniform(0, within_s)
    struck.append(Blow(at_s=at_s, name="broker's memory", strike=lambda: _wipe(fleet)))
    return sorted(struck, key=lambda blow: blow.at_s)


def strike(fleet: Fleet, struck: list[Blow]) -> None:
    """Let these happen, each at its moment from now on."""
    started = time.monotonic()
    for blow in struck:
        until(lambda at=blow.at_s: time.monotonic() - started >= at, "the moment", timeout_s=60)  # type: ignore[misc]  # mypy does not infer a lambda's default
        blow.strike()
        fleet.note(f"{blow.name} lost after {time.monotonic() - started:.2f} s")


def _wipe(fleet: Fleet) -> None:
    fleet.wait_ready("broker")
    fleet.wipe_broker()
