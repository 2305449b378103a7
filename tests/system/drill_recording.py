"""What would Prometheus have made of a drill? Every process' metrics, recorded, and the alerts evaluated by promtool.

A drill is played faster than it would happen: so many times as fast as `SPEED` says. Prometheus' usual 15 s between two
scrapes are then 15 s / `SPEED`, and a `for: 2m` of an alert is over after 120 s / `SPEED`. Nothing is added to what was
scraped but what Prometheus adds: `job`, `instance` and `up`.
"""

import json
import math
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.services import service_required

SPEED = float(os.environ.get("CLEARANCE_TEST_DRILL_SPEED", "15"))
SCRAPE_S = 15.0
RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
_GOT = re.compile(r"got: *\{\} (\S+)")
# What no rule could have seen.
_IMPOSSIBLE = -1.0


class Recording:
    """One scrape of every process a turn, until it is stopped. `urls`: where each is scraped, by its name."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls
        self._http = urllib3.PoolManager(retries=False, timeout=1.0)
        self._samples: dict[str, dict[int, float]] = {}
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._turn = 0

    @property
    def now_s(self) -> float:
        """Seconds since the drill began, as Prometheus counts them."""
        return (time.monotonic() - self._began) * SPEED

    def record(self, stopping: threading.Event) -> None:
        """Scrape, again and again."""
        while not stopping.is_set():
            turn = int(self.now_s // SCRAPE_S)
            for name, url in list(self._urls.items()):
                self._scrape(turn, name, url)
            with self._lock:
                self._turn = turn
            stopping.wait(max(0.0, ((turn + 1) * SCRAPE_S - self.now_s) / SPEED))

    def wait_turn(self) -> None:
        """Wait until everything that is the case now was scraped."""
        turn = int(self.now_s // SCRAPE_S) + 1
        while self._turn < turn:
            time.sleep(0.02)

    def _scrape(self, turn: int, name: str, url: str) -> None:
        own = {"instance": name, "job": "clearance"}
        try:
            told = self._http.request("GET", url).data.decode()
        except urllib3.exceptions.HTTPError:
            self._note(turn, "up", own, 0.0)
            return
        self._note(turn, "up", own, 1.0)
        for family in text_string_to_metric_families(told):
            for sample in family.samples:
                if sample.name.startswith("clearance_") and not sample.name.endswith("_created"):
                    self._note(turn, sample.name, sample.labels | own, sample.value)

    def _note(self, turn: int, metric: str, labels: dict[str, str], value: float) -> None:
        told = ",".join(f"{key}={json.dumps(each)}" for key, each in sorted(labels.items()))
        with self._lock:
            self._samples.setdefault(f"{metric}{{{told}}}", {})[turn] = value

    def series(self) -> Iterator[dict[str, str]]:
        """In promtool's notation; a turn at which a series was not there is `_`."""
        with self._lock:
            for name, value_by_turn in self._samples.items():
                values = (_value(value_by_turn.get(turn)) for turn in range(self._turn + 1))
                yield {"series": name, "values": " ".join(values)}


class Alerts:
    """The product's alerts, evaluated on a recording. `directory` is for promtool's files."""

    def __init__(self, recording: Recording, directory: Path) -> None:
        if shutil.which("promtool") is None:
            service_required("promtool", "it is in Debian's package `prometheus`")
        self._recording = recording
        self._directory = directory

    def first_firing_s(self, name: str, *, since_s: float) -> float | None:
        """How long after `since_s` the alert first fired; None if it did not until now."""
        at_s = self._moment("min_over_time", name, since_s)
        return None if at_s is None else at_s - since_s

    def is_firing(self, name: str) -> bool:
        """Whether it fires at the last scrape."""
        return self._moment("last_over_time", name, self._until_s) is not None

    @property
    def _until_s(self) -> float:
        return math.floor(self._recording.now_s / SCRAPE_S - 1) * SCRAPE_S

    def _moment(self, function: str, name: str, since_s: float) -> float | None:
        """Promtool compares, and says what it got when that is something else; nothing is ever what it is given."""
        until_s = self._until_s
        if until_s < since_s:
            return None
        fired = f'timestamp(ALERTS{{alertname="{name}",alertstate="firing"}})'
        span_s = int(until_s - since_s) + 1
        test: dict[str, object] = {
            "expr": f"min({function}({fired}[{span_s}s:{int(SCRAPE_S)}s]))",
            "eval_time": f"{int(until_s)}s",
            "exp_samples": [{"labels": "{}", "value": _IMPOSSIBLE}],
        }
        told = self._promtool(test)
        found = _GOT.search(told)
        assert found or "got: nil" in told, told
        return float(found[1]) if found else None

    def _promtool(self, test: dict[str, object]) -> str:
        rules = sorted(path for path in RULES.glob("*.y*ml") if "groups" in yaml.safe_load(path.read_text()))
        whole = {
            "rule_files": [str(path) for path in rules],
            "evaluation_interval": f"{int(SCRAPE_S)}s",
            "tests": [
                {
                    "interval": f"{int(SCRAPE_S)}s",
                    "input_series": list(self._recording.series()),
                    "promql_expr_test": [test],
                }
            ],
        }
        path = self._directory / "drill.json"
        path.write_text(json.dumps(whole), encoding="utf-8")
        done = subprocess.run(
            ["promtool", "test", "rules", str(path)],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        return done.stdout + done.stderr


@contextmanager
def recording(urls: dict[str, str]) -> Iterator[Recording]:
    """Record inside the block. Processes that are added to `urls` meanwhile are recorded from then on."""
    here, stopping = Recording(urls), threading.Event()
    thread = threading.Thread(target=here.record, args=(stopping,), name="recording")
    thread.start()
    try:
        yield here
    finally:
        stopping.set()
        thread.join()


def _value(value: float | None) -> str:
    if value is None:
        return "_"
    return "NaN" if math.isnan(value) else repr(value)
