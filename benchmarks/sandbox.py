"""How is the sandbox told to play, and what has it seen? It is both the load generator and the vendor."""

import time
from typing import Any

import orjson
import urllib3

from benchmarks.processes import BenchmarkFailed

_GROUP = "triggered-approval"


class SandboxControl:
    """The control API of a running sandbox."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = urllib3.PoolManager(retries=False, timeout=10.0)

    def is_up(self) -> bool:
        """Whether it answers."""
        return is_ok(f"{self.url}/healthz")

    def start_afresh(self, latency_ms: float) -> None:
        """Forget what was played; from now on answer approvals after `latency_ms`."""
        self._call("POST", "/sandbox/reset")
        self._call("PUT", "/sandbox/faults", {"group": _GROUP, "latency_ms": latency_ms})

    def set_latency(self, group: str, latency_ms: float) -> None:
        """From now on answer the calls of this group after `latency_ms`."""
        self._call("PUT", "/sandbox/faults", {"group": group, "latency_ms": latency_ms})

    def play(self, target: str, *, rate_per_s: float, count: int, seed: int = 1) -> str:
        """Begin to send valid notifications to `target`; the run's id."""
        sent = {"count": count, "rate_per_s": rate_per_s, "seed": seed, "targets": [target]}
        run: str = self._call("POST", "/sandbox/triggered/play", sent)["run"]
        return run

    def is_playing(self, run: str) -> bool:
        """Whether something of the run is unsent or unanswered.

        Raises:
            BenchmarkFailed: The run failed.
        """
        state = self._call("GET", f"/sandbox/play/{run}")["state"]
        if state == "failed":
            raise BenchmarkFailed("the sandbox failed to play")
        return bool(state == "running")

    def report(self) -> dict[str, Any]:
        """What has come of it so far."""
        return self._call("GET", "/sandbox/report")

    def settled(self, within_s: float) -> dict[str, Any]:
        """The report once every notification is answered or past its deadline, or the time is over."""
        end = time.monotonic() + within_s
        while (report := self.report())["pending"] and time.monotonic() < end:
            time.sleep(0.2)
        return report

    def _call(self, method: str, path: str, sent: object = None) -> dict[str, Any]:
        body = None if sent is None else orjson.dumps(sent)
        headers = {"Content-Type": "application/json"}
        reply = self._http.request(method, self.url + path, body=body, headers=headers)
        if reply.status >= 300:
            raise BenchmarkFailed(f"sandbox: {method} {path}: {reply.status} {reply.data[:200]!r}")
        told: dict[str, Any] = orjson.loads(reply.data)
        return told


def is_ok(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return urllib3.request("GET", url, retries=False, timeout=2.0).status == 200
    except urllib3.exceptions.HTTPError:
        return False
