"""One id from the notification to the vendor's answer, in a fleet's logs; and what Flower shows, and hides."""

import gzip
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3

from clearance.sandbox.options import BLOOMREACH_KEY_ID, BLOOMREACH_PROJECT
from tests.system.fleet import API_KEY, SECRET, Fleet, FleetPlan, running
from tests.system.processes import free_port, until
from tests.system.signed import as_json, notification, signed
from tests.system.told import SEND_GROUPS, TOKEN

pytestmark = pytest.mark.timeout(150)

_KEY = "relay-key"
_PASSWORD = "flower-password-of-this-test"
_SOON_S = 40.0
_SAVES_EVERY_S = 5.0  # as config/flower.py has it
_AUTOMATION = "5fc6ca6a89b5e200e0de42e0"
# Who must not be seen anywhere.
_CUSTOMER, _NAME, _MAIL = "C-canary-4711", "Kanarienvogel", "canary@example.com"
_SETTINGS = {
    "CLEARANCE_OPTIMOVE_LISTENER_TOKEN": TOKEN,
    "CLEARANCE_SUBMIT_MIN_MARGIN_S": "4",
    "CLEARANCE_RELAY_API_KEYS": _KEY,
    "CLEARANCE_OPTILYZ_ID_FIELDS": "individualisation1=registered",
    "CLEARANCE_OPTILYZ_MAX_WAIT_S": "1",
    "CLEARANCE_REVIEW_PROCESSES": "1",
    "CLEARANCE_FLOWER_PASSWORD": _PASSWORD,
}


class _Collector(ThreadingHTTPServer):
    """Takes what OpenTelemetry sends, and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken = b""


class _Taking(BaseHTTPRequestHandler):
    server: _Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken += gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A fleet with a worker of every lane, Flower, and where its traces go."""

    fleet: Fleet
    flower_url: str
    collector: _Collector

    def lines(self, *names: str) -> list[dict[str, Any]]:
        """What these processes have logged of our own."""
        written = [line for name in names for line in self.fleet[name].all_output().splitlines()]
        return [json.loads(line) for line in written if line.startswith("{")]

    def wait_for(self, name: str, event: str, **facts: str) -> dict[str, Any]:
        """The line of this process with this event and these facts."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [
                line for line in self.lines(name) if line["event"] == event and facts.items() <= line.items()
            ]
            return bool(found)

        until(is_there, f"{event} {facts} in the log of {name}", timeout_s=_SOON_S, every_s=0.1)
        return found[-1]

    def ask(self, path: str, *, password: str = _PASSWORD) -> urllib3.BaseHTTPResponse:
        """A page of Flower's."""
        headers = urllib3.make_headers(basic_auth=f"clearance:{password}")
        return urllib3.request("GET", self.flower_url + path, headers=headers, retries=False, timeout=5.0)

    def row(self, uuid: str, states: Sequence[str]) -> dict[str, Any]:
        """Flower's row of an obligation, once it has one of these states."""
        found: dict[str, Any] = {}

        def is_there() -> bool:
            found.update(self.ask("/api/tasks").json().get(uuid, {}))
            return found.get("state") in states

        until(is_there, f"Flower shows {uuid} as {states}", timeout_s=_SOON_S, every_s=0.1)
        return found

    def saved(self) -> bytes:
        """What Flower has written down: one file, or several, as Python's database for it has it.

        Nothing while they do not belong together: several are replaced one after the other.
        """
        found, written_s = b"", []
        for each in self.fleet.directory.glob("flower.db*"):
            if ".tmp" not in each.name:  # what is being written is not there yet
                with suppress(FileNotFoundError):  # replaced while we look
                    found += each.read_bytes()
                    written_s.append(each.stat().st_mtime)
        return found if written_s and max(written_s) - min(written_s) < _SAVES_EVERY_S / 2 else b""

    def wait_flower(self) -> None:
        """Wait until Flower answers and hears the workers: what happens before that it never learns."""
        told: list[str] = []

        def hears() -> bool:
            told.append(f"triggered.approve:{self.notify()}")
            try:
                answer = self.ask("/api/tasks")
            except urllib3.exceptions.HTTPError:
                return False
            return answer.status == 200 and not answer.json().keys().isdisjoint(told)

        until(hears, "Flower hears of a notification", timeout_s=_SOON_S, every_s=0.2)

    def notify(self, country: str = "DE", *, window_ms: int = 10_000) -> str:
        """A notification about the one who must not be seen; the id that it was answered with."""
        payload = notification(window_ms=window_ms, country=country)
        personal = {"country": country, "first_name": _NAME, "email": _MAIL}
        payload["user"] = {"user_id": _CUSTOMER, "is_visitor": False, "personalization": personal}
        body = as_json(payload)
        answer = self.fleet.post(body, signed(body, SECRET))
        assert answer.status == 202, answer.data
        return str(answer.json()["id"])


@pytest.fixture(scope="module")
def _collector() -> Iterator[_Collector]:
    with _Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def _shared(_collector: _Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Watched]:
    traces = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{_collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    plan = FleetPlan(workers=1, guardians=1, reviewers=1, submitters=1, settings=_SETTINGS | traces)
    port = free_port()
    with running(tmp_path_factory.mktemp("watched"), plan) as fleet:
        vendors = {
            "CLEARANCE_OPTILYZ_BASE_URL": f"{fleet.sandbox_url}/api",
            "CLEARANCE_OPTILYZ_API_KEY": API_KEY,
            "CLEARANCE_BLOOMREACH_BASE_URL": fleet.sandbox_url,
            "CLEARANCE_BLOOMREACH_PROJECT_TOKEN": BLOOMREACH_PROJECT,
            "CLEARANCE_BLOOMREACH_API_KEY_ID": BLOOMREACH_KEY_ID,
            "CLEARANCE_BLOOMREACH_API_SECRET": API_KEY,
        }
        fleet.add_clearance("mail1", "worker", "mail", settings=vendors)
        fleet.add_clearance("track1", "worker", "track", settings=vendors)
        fleet.start_dead()
        fleet.add_clearance("flower", "flower", settings={"CLEARANCE_FLOWER_PORT": str(port)}).start()
        watched = _Watched(fleet, f"http://127.0.0.1:{port}", _collector)
        watched.wait_flower()
        yield watched


@pytest.fixture
def watched(_shared: _Watched) -> _Watched:
    _shared.fleet.clear_faults()
    return _shared


def test_one_id_follows_a_notification_to_its_approval(watched: _Watched) -> None:
    trace_id = watched.notify()

    obligation = f"triggered.approve:{trace_id}"
    assert watched.wait_for("ingest", "notification.accepted", trace_id=trace_id)
    assert watched.wait_for("worker1", "customer.decided", trace_id=trace_id, obligation=obligation)
    assert watched.wait_for("worker1", "approval.taken", trace_id=trace_id, obligation=obligation)


def test_each_line_of_a_worker_is_json_from_the_first_on(watched: _Watched) -> None:
    watched.wait_for("worker1", "rules.loaded")

    lines = watched.fleet["worker1"].all_output().splitlines()
    assert [line for line in lines if not line.startswith("{")] == []


def test_it_is_the_id_of_the_opentelemetry_trace_in_both_processes(watched: _Watched) -> None:
    trace_id = watched.notify()
    sent = bytes.fromhex(trace_id)

    def counted() -> int:
        return watched.collector.taken.count(sent)

    # Accepted, published; taken by the worker, worked on, decided, the vendor called.
    until(lambda: counted() >= 6, "the spans arrive", timeout_s=_SOON_S, every_s=0.1)
    for told in (b"notification.accept", b"obligation.work", b"vendor.call"):
        assert told in watched.collector.taken
    for process in (b"clearance-ingest", b"clearance-worker-triggered"):
        assert process in watched.collector.taken


def test_one_id_follows_a_group_from_its_heads_up_to_its_end(watched: _Watched) -> None:
    sent = {
        "customers": 40,
        "window_s": 8,
        "targets": [watched.fleet.ingest_url + SEND_GROUPS],
        "token": TOKEN,
    }
    watched.fleet.call("POST", "/sandbox/send-groups", sent)

    trace_id = watched.wait_for("ingest", "group.heard")["trace_id"]
    assert watched.wait_for("submit1", "group.fetched", trace_id=trace_id)
    assert watched.wait_for("review1", "chunk.decided", trace_id=trace_id)
    assert watched.wait_for("submit1", "group.called", trace_id=trace_id)
    assert watched.wait_for("submit1", "group.ended", trace_id=trace_id)


def test_a_letters_request_its_batch_and_what_bloomreach_hears_are_tied_together(watched: _Watched) -> None:
    address = {"lastName": _NAME, "address1": "Ringweg 7", "zipCode": "20095", "city": "Hamburg"}
    answer = urllib3.request(
        "POST",
        f"{watched.fleet.ingest_url}/api/v2/automations/{_AUTOMATION}/recipient",
        json={"address": address | {"individualisation1": _MAIL}},
        headers=urllib3.make_headers(basic_auth=f"{_KEY}: "),
    )
    letter = answer.json()["id"]

    trace_id = watched.wait_for("ingest", "recipients.received")["trace_id"]
    batch = watched.wait_for("mail1", "batch.posted", trace_id=trace_id)["batch"]
    assert watched.wait_for("track1", "commands.sent", trace_id=trace_id)["commands"] > 0
    story = watched.fleet.command("mail", "show", letter, "--json")
    assert trace_id in story
    assert batch in story


def test_every_retry_is_in_flower_with_its_reason_and_what_came_of_it(watched: _Watched) -> None:
    watched.fleet.put_faults(error=1.0)
    uuid = f"triggered.approve:{watched.notify()}"

    retried = watched.row(uuid, ["RETRY"])
    assert retried["name"] == "clearance.triggered.approve"
    assert re.search(r"attempt \d+ failed, next at [\d:.]+Z: optimove: 5\d\d", retried["exception"])
    assert uuid in retried["args"]
    again = watched.row(uuid, ["RECEIVED", "STARTED", "RETRY"])
    assert again["retries"] >= 0
    watched.fleet.clear_faults()
    assert watched.row(uuid, ["SUCCESS"])["retries"] >= 1


def test_flower_shows_retries_exceptions_and_times_to_those_with_the_password(watched: _Watched) -> None:
    page = watched.ask("/tasks").data.decode()

    assert all(f">{name}</th>" in re.sub(r"\s+", "", page) for name in ("Retries", "Exception", "ETA"))
    for path in ("/", "/tasks", "/workers", "/api/tasks", "/api/workers"):
        assert watched.ask(path, password="wrong").status == 401, path


def test_what_flower_has_seen_outlives_a_kill_even_a_second_one_at_its_start(watched: _Watched) -> None:
    uuid = f"triggered.approve:{watched.notify()}"
    watched.row(uuid, ["SUCCESS"])
    later = watched.notify().encode()  # once this one is written down, the other one's end is, too
    until(lambda: later in watched.saved(), "Flower saves", timeout_s=_SOON_S)

    for _ in range(2):
        watched.fleet.kill("flower")
        watched.fleet["flower"].start()
    watched.wait_flower()

    assert watched.row(uuid, ["SUCCESS"])["uuid"] == uuid


def test_neither_logs_nor_traces_nor_flower_nor_its_file_know_whom_it_was_about(watched: _Watched) -> None:
    watched.fleet.put_faults(error=0.5)
    uuid = f"triggered.approve:{watched.notify()}"
    watched.row(uuid, ["SUCCESS", "FAILURE"])

    shown = watched.ask("/api/tasks").data + watched.ask(f"/task/{uuid}").data
    logged = "".join(child.all_output() for child in watched.fleet.children.values()).encode()
    assert uuid.encode() in shown
    for private in (_CUSTOMER, _NAME, _MAIL):
        assert private.encode() not in shown + watched.saved() + logged + watched.collector.taken, private
