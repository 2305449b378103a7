"""Direct mail in a demo: letters are handed to the relay, and the worker that posts them is killed while it does.

In: ingest as Bloomreach's webhook sees it, and the sandbox's control. Out: what the relay answered, what the sandbox
printed, and what the ledger says.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import urllib3

from workers.demo.groups import Sandbox
from workers.demo.killing import Killing
from workers.demo.letters import Letters, requests
from workers.demo.view import View

VICTIM = "mail-1"
# The vendor takes its time; and now and then it says later, says no, or prints and loses its answer.
_FAULTS = {
    "latency_ms": 300,
    "throttle": 0.1,
    "retry_after_s": 1,
    "error": 0.1,
    "error_status": 503,
    "reset_after": 0.1,
    "times": 4,
    "seed": 1,
}
_PRINTED_BEFORE_THE_KILL = 200
# Not what is promised: a busy machine must not end a demo.
_RELAY_TIMEOUT_S = 30.0
_PAGE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedMail:
    """What is known when all is settled.

    Attributes:
        answered: Recipients by the relay's answer: `queued`, `duplicate` or `refused`.
        unanswered: Requests that the relay did not answer with 200.
        acknowledge_ms: How long it took over each request with 100 recipients.
        cut: Customers in requests whose answer the vendor knows to have been cut.
        flagged: Customers whose address Bloomreach knows to be wrong.
        optilyz: What the sandbox counted as Optilyz.
        bloomreach: What it counted as Bloomreach.
    """

    answered: dict[str, int]
    unanswered: int
    acknowledge_ms: tuple[float, ...]
    cut: frozenset[str]
    flagged: frozenset[str]
    optilyz: dict[str, Any]
    bloomreach: dict[str, Any]
    faults: dict[str, int]


class Mail:
    """The letters of one demo."""

    def __init__(
        self, *, sandbox: Sandbox, ingest_url: str, relay_key: str, killing: Killing, view: View
    ) -> None:
        self._sandbox = sandbox
        self._ingest_url = ingest_url
        self._headers = urllib3.make_headers(basic_auth=f"{relay_key}: ") | {
            "Content-Type": "application/json"
        }
        self._killing = killing
        self._view = view
        self._http = urllib3.PoolManager(retries=False, timeout=_RELAY_TIMEOUT_S)
        self._requests: Iterator[Letters] = requests()
        self._answered: Counter[str] = Counter()
        self._unanswered = 0
        self._acknowledge_ms: list[float] = []
        self._is_sent = False

    def announce(self) -> None:
        """Make the vendor as slow and unreliable as it is to be."""
        self._sandbox("PUT", "/sandbox/faults", {"group": "optilyz", **_FAULTS})

    def go_on(self) -> None:
        """Send the next request; kill the worker when it has posted some, and is posting."""
        letters = next(self._requests, None)
        if letters is not None:
            self._send(letters)
        elif not self._is_sent:
            self._is_sent = True
            self._view.say(f"letters handed over: {_counted(self._answered)}")
        if not self._killing.has_killed(VICTIM):
            vendor = self._sandbox("GET", "/sandbox/optilyz")
            if vendor["in_flight"] and vendor["printed"] >= _PRINTED_BEFORE_THE_KILL:
                self._killing.kill(VICTIM, f"while it posts, after {vendor['printed']} letters")

    @property
    def is_over(self) -> bool:
        """Whether everything was sent, and the worker killed and replaced."""
        return self._is_sent and self._killing.are_back(VICTIM)

    def result(self) -> PlayedMail:
        """What became of it."""
        report = self._sandbox("GET", "/sandbox/report")
        cut = self._sandbox("GET", f"/sandbox/optilyz/requests?cut=1&limit={_PAGE}")["requests"]
        return PlayedMail(
            answered=dict(self._answered),
            unanswered=self._unanswered,
            acknowledge_ms=tuple(self._acknowledge_ms),
            cut=frozenset(reference for request in cut for reference in request["references"]),
            flagged=self._flagged(),
            optilyz=report["optilyz"],
            bloomreach=report["bloomreach"],
            faults=dict(report["faults"].get("optilyz", {})),
        )

    def _send(self, letters: Letters) -> None:
        url, body = self._ingest_url + letters.path, json.dumps(letters.body())
        sent_at_s = time.monotonic()
        reply = self._http.request("POST", url, body=body, headers=self._headers)
        if not letters.is_single:
            self._acknowledge_ms.append((time.monotonic() - sent_at_s) * 1000)
        answer = reply.json() if reply.status == 200 else {}
        results = [answer.get("result", {})] if letters.is_single else answer.get("results", [])
        if len(results) != len(letters.numbers):
            self._unanswered += 1
            return
        for result in results:
            kind = "refused" if "id" not in result else "duplicate" if result.get("duplicate") else "queued"
            self._answered[kind] += 1

    def _flagged(self) -> frozenset[str]:
        """Of the customers whom Bloomreach was told of."""
        listed = self._sandbox("GET", f"/sandbox/bloomreach/customers?limit={_PAGE}")["customers"]
        return frozenset(
            each["ids"]["registered"]
            for each in listed
            if each["properties"].get("postal_address_valid") is False
        )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
