"""A fleet for direct mail: three posting workers whose line to the vendor can be taken away, and a relay to post to.

Timeouts are short, so that a slot whose holder was killed is free after seven seconds.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import redis
import urllib3

from tests.system.fleet import API_KEY, Fleet, FleetPlan, running
from tests.system.mail_ledger import MailLedger
from tests.system.mail_letters import Order
from tests.system.mail_line import Line
from tests.system.processes import Child, until

WORKERS = ("mail1", "mail2", "mail3")
MOST_IN_FLIGHT = 2
BATCH_SIZE = 100
TIMEOUT_S = 2.0
_KEY = "relay-key"
_SENDERS = 6
# An ingest that was killed is back long before.
_ANSWERED_WITHIN_S = 60.0
_AWAY_S = 2.0
_CLEARANCE = Path(sys.executable).parent / "clearance"
_COMMAND_S = 30.0
_SETTINGS = {
    "CLEARANCE_RELAY_API_KEYS": _KEY,
    "CLEARANCE_OPTILYZ_ID_FIELDS": "individualisation1=registered",
    "CLEARANCE_OPTILYZ_BATCH_SIZE": str(BATCH_SIZE),
    "CLEARANCE_OPTILYZ_MAX_WAIT_S": "1",
    "CLEARANCE_OPTILYZ_TIMEOUT_S": str(TIMEOUT_S),
    "CLEARANCE_MAIL_LEASE_S": "4",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the relay answered to one request, recipient by recipient; `times`: how often it was sent for that."""

    order: Order
    results: tuple[Mapping[str, Any], ...]
    times: int


class MailFleet:
    """What tests do with letters.

    Attributes:
        fleet: The processes.
        mail: What the ledger says.
        kills: When which worker was dead, epoch seconds.
        cuts: When the line was taken away, epoch seconds.
    """

    def __init__(self, fleet: Fleet, line: Line) -> None:
        self.fleet = fleet
        self.line = line
        self.mail = MailLedger(fleet.ledger_url)
        self.kills: list[float] = []
        self.cuts: list[float] = []
        self.automations: tuple[str, ...] = ()
        self._http = urllib3.PoolManager(retries=False, timeout=10.0, maxsize=_SENDERS)
        self._headers = urllib3.make_headers(basic_auth=f"{_KEY}: ") | {"Content-Type": "application/json"}
        self._begun = 0

    def begin(self, seed: int, automations: int = 4) -> tuple[str, ...]:
        """Mend everything, forget what the vendor has seen, and let it have automations that nobody has used."""
        self.line.restore()
        self.fleet.clear_faults()
        self.fleet.begin(seed)
        self.kills.clear()
        self.cuts.clear()
        self._begun += 1
        self.automations = tuple(f"{self._begun:020x}{number:04x}" for number in range(automations))
        for each in self.automations:
            self.fleet.call("PUT", f"/sandbox/optilyz/automations/{each}", {})
        return self.automations

    def put_faults(self, **plan: float) -> None:
        """From now on requests for letters fail like this."""
        self.fleet.put_faults(group="optilyz", **plan)

    def seen(self) -> dict[str, Any]:
        """What the vendor has counted."""
        return self.fleet.call("GET", "/sandbox/optilyz")

    def post(self, order: Order, *, headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        """One request to the relay; raises when it is not answered."""
        return self._http.request(
            "POST",
            self.fleet.ingest_url + order.path,
            body=json.dumps(order.body()),
            headers=self._headers | dict(headers or {}),
        )

    def hand_over(self, order: Order, *, headers: Mapping[str, str] | None = None) -> Answered:
        """Post it, again and again until it is answered, as a caller does whose request was cut off."""
        times = 0
        answers: list[urllib3.BaseHTTPResponse] = []

        def is_answered() -> bool:
            nonlocal times
            times += 1
            try:
                answers.append(self.post(order, headers=headers))
            except urllib3.exceptions.HTTPError:
                return False
            return answers[-1].status != HTTPStatus.SERVICE_UNAVAILABLE

        until(is_answered, f"an answer to {order.path}", timeout_s=_ANSWERED_WITHIN_S, every_s=0.1)
        status, told = answers[-1].status, answers[-1].json()
        assert status == HTTPStatus.OK, f"{status}: {told}"
        results = tuple(told["results"]) if not order.is_single else (told.get("result", {}),)
        assert len(results) == len(order.recipients), told
        return Answered(order=order, results=results, times=times)

    @contextmanager
    def handing_over(self, orders: Sequence[Order]) -> Iterator[list[Future[Answered]]]:
        """Post requests in the background, each at its moment from now on; at the end of the block all are answered."""
        began = time.monotonic()

        def at_its_moment(order: Order) -> Answered:
            until(lambda: time.monotonic() - began >= order.at_s, "the moment", timeout_s=120)
            return self.hand_over(order)

        with ThreadPoolExecutor(_SENDERS) as pool:
            yield [pool.submit(at_its_moment, order) for order in orders]

    def kill(self, name: str) -> None:
        """`kill -9` of a process, which is started again at once."""
        killed_at = self.fleet.kill(name)
        if name in WORKERS:
            self.kills.append(killed_at)
        self.fleet.children[name].start()

    def lose_line(self) -> None:
        """The vendor is away for a while, without waiting for it to come back."""
        self.cuts.append(time.time())
        self.line.take_away()
        threading.Timer(_AWAY_S, self.line.restore).start()

    def wipe(self) -> None:
        """Redis forgets everything that this fleet has in it."""
        if not self.fleet.plan.broker_url:
            self.fleet.wait_ready("broker")
        with redis.Redis.from_url(
            self.fleet.plan.redis_url or self.fleet.broker_url, socket_timeout=5
        ) as client:
            client.flushdb()

    @contextmanager
    def another_worker(self, **settings: str) -> Iterator[Child]:
        """A posting worker with other settings, for the time of the block."""
        child = self.add_worker("another", **settings)
        child.start()
        try:
            yield child
        finally:
            child.stop()
            del self.fleet.children["another"]

    def add_worker(self, name: str, **settings: str) -> Child:
        """A posting worker, not yet started, with settings of its own."""
        vendor = {"CLEARANCE_OPTILYZ_BASE_URL": f"{self.line.url}/api", "CLEARANCE_OPTILYZ_API_KEY": API_KEY}
        return self.fleet.add_clearance(name, "worker", "mail", settings=vendor | settings)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the product, which may fail."""
        return subprocess.run(
            [str(_CLEARANCE), *arguments],
            env=self.fleet.environ,
            cwd=self.fleet.directory,
            capture_output=True,
            check=False,
            text=True,
            timeout=_COMMAND_S,
        )

    def wait_ended(self, *, timeout_s: float) -> float:
        """Wait until nothing is to be done for this test's automations, and the vendor does nothing any more."""

        def is_over() -> bool:
            if self.mail.unfinished(self.automations):
                return False
            seen = self.seen()
            return bool(sum(seen["by_status"].values()) == seen["requests"])

        return until(is_over, "every letter has its end", timeout_s=timeout_s, every_s=0.1)

    def close(self) -> None:
        """Close what tests have opened."""
        self._http.clear()
        self.mail.close()
        self.line.close()


@contextmanager
def mail_running(
    directory: Path, *, plan: FleetPlan | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[MailFleet]:
    """Ingest, two guardians, three posting workers, every process ready."""
    own = _SETTINGS | dict(settings or {})
    whole = replace(plan or FleetPlan(), workers=0, settings=own)
    with running(directory, whole) as fleet:
        line = Line(int(fleet.sandbox_url.rsplit(":", 1)[1]))
        here = MailFleet(fleet, line)
        for name in WORKERS:
            here.add_worker(name)
        try:
            fleet.start_dead()
            yield here
        finally:
            here.close()
