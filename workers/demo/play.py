"""The traffic of a demo: notifications from the sandbox, faults at the vendor, and a worker killed half-way."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import urllib3

from clearance.clock import utc_now
from clearance.ledger import suppressions
from clearance.ledger.engine import Ledger
from clearance.ledger.suppressions import Suppression
from config.settings import PREFIX
from workers.demo.expected import suppressed_customers
from workers.demo.groups import Groups, PlayedGroup
from workers.demo.killing import Killing
from workers.demo.ledger_facts import LedgerFacts, read_facts, unfinished
from workers.demo.mail import Mail, PlayedMail
from workers.demo.mail_ledger import MailFacts, read_mail
from workers.demo.view import View
from workers.up.supervisor import TICK_S, Supervisor

VICTIM = "triggered-1"
_MIX = {"duplicate": 0.06, "bad_signature": 0.05, "malformed": 0.05, "expired": 0.05}
# One call in twenty fails, each in another way.
_FAULTS = {"error": 0.0125, "reset": 0.0125, "throttle": 0.0125, "half": 0.0125, "retry_after_s": 1}
# Of the promotion service's answers one in seven is lost: after it has activated, too.
_PROMOTION_FAULTS = {"latency_ms": 10, "error": 0.05, "reset_after": 0.05, "half": 0.05}
_START_AND_END_S = 60.0
# The vendor's window, and what a replaced worker needs to come up on a busy machine.
_SETTLE_TIMEOUT_S = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What is known when all is settled, or has had its time to."""

    sandbox: dict[str, Any]
    ledger: LedgerFacts
    duplicates_recognised: int
    replaced_after_s_by_name: dict[str, float | None]
    groups: tuple[PlayedGroup, ...]
    mail: PlayedMail
    mail_ledger: MailFacts


class Playing:
    """One play. The supervisor has its looks between ours."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        ledger: Ledger,
        sandbox_url: str,
        ingest_url: str,
        relay_key: str,
        view: View,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._supervisor = supervisor
        self._ledger = ledger
        self._sandbox_url = sandbox_url
        self._ingest_url = ingest_url
        self._view = view
        self._is_stopping = is_stopping
        self._http = urllib3.PoolManager(retries=False, timeout=5.0)
        self._killing = Killing(supervisor, view)
        self._groups = Groups(self._sandbox)
        self._mail = Mail(
            sandbox=self._sandbox,
            ingest_url=ingest_url,
            relay_key=relay_key,
            killing=self._killing,
            view=view,
        )
        self._run = ""
        self._count = 0

    def play(self, count: int, rate_per_s: float) -> Played | None:
        """Play `count` notifications and wait until nothing is owed any more; None: it was told to stop."""
        self._count = count
        self._suppress()
        self._sandbox("PUT", "/sandbox/faults", {"group": "triggered-approval", **_FAULTS})
        self._sandbox("PUT", "/sandbox/faults", {"group": "promotions", **_PROMOTION_FAULTS})
        play = {"count": count, "rate_per_s": rate_per_s, "mix": _MIX}
        self._groups.announce()
        self._mail.announce()
        self._run = self._sandbox("POST", "/sandbox/triggered/play", play)["run"]
        self._view.begin(f"playing {count} notifications at {rate_per_s:g}/s", count)
        self._until(self._is_played, timeout_s=count / rate_per_s + _START_AND_END_S)
        self._view.begin("waiting until nothing is owed", 1)
        self._until(self._is_settled, timeout_s=_SETTLE_TIMEOUT_S)
        if self._is_stopping():
            return None
        with self._ledger.read() as connection:
            facts, mail_ledger = read_facts(connection), read_mail(connection)
        return Played(
            sandbox=self._sandbox("GET", "/sandbox/report?detail=1"),
            ledger=facts,
            duplicates_recognised=self._duplicates_recognised(),
            replaced_after_s_by_name=self._killing.replaced_after_s_by_name,
            groups=self._groups.results(),
            mail=self._mail.result(),
            mail_ledger=mail_ledger,
        )

    def _suppress(self) -> None:
        now = utc_now()
        entries = [
            Suppression(list_name="customers", customer_id=customer_id, added_at=now, added_by="demo")
            for customer_id in suppressed_customers()
        ]
        with self._ledger.write() as connection:
            suppressions.add_many(connection, entries)
        self._view.say(f"{len(entries)} customers stand on the suppression list")

    def _until(self, is_over: Callable[[], bool], *, timeout_s: float) -> None:
        given_up_at = time.monotonic() + timeout_s
        while not self._is_stopping() and time.monotonic() < given_up_at:
            self._supervisor.tick()
            self._killing.watch()
            self._mail.go_on()
            if is_over():
                return
            time.sleep(TICK_S)

    def _is_played(self) -> bool:
        state = self._sandbox("GET", f"/sandbox/play/{self._run}")
        self._view.at(state["sent"], self._count)
        is_half_way = state["sent"] >= self._count / 2
        if is_half_way and self._killing.kill(VICTIM, f"after {state['sent']} notifications"):
            self._groups.move()
            self._view.say("the large send group's deadline is moved")
        return bool(state["state"] != "running")

    def _is_settled(self) -> bool:
        if not self._killing.are_back(VICTIM) or self._sandbox("GET", "/sandbox/report")["pending"]:
            return False
        if not (self._groups.are_over() and self._mail.is_over):
            return False
        with self._ledger.read() as connection:
            return unfinished(connection) == 0

    def _duplicates_recognised(self) -> int:
        text = self._http.request("GET", f"{self._ingest_url}/metrics").data.decode()
        name = f"{PREFIX.lower()}requests_duplicate_total{{"
        return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith(name))

    def _sandbox(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        encoded = None if body is None else json.dumps(body)
        reply = self._http.request(method, self._sandbox_url + path, body=encoded)
        if reply.status >= 300:
            raise RuntimeError(f"the sandbox answered {method} {path} with {reply.status}")
        answer: dict[str, Any] = reply.json()
        return answer
