"""`clearance up` from the outside: it starts, replaces what dies, and leaves nothing behind however it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import urllib3

from tests.system.processes import free_port

START_S = 90.0
HTTP = urllib3.PoolManager(retries=False, timeout=5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """A running `clearance up`."""

    popen: "subprocess.Popen[bytes]"
    directory: Path

    @property
    def output(self) -> str:
        return (self.directory / "out").read_text(encoding="utf-8", errors="replace")

    def process(self, name: str) -> dict[str, Any]:
        state = json.loads((self.directory / "var/up/processes.json").read_text(encoding="utf-8"))
        return next(process for process in state["processes"] if process["name"] == name)

    def call(self, name: str, path: str, body: object = None, **more: Any) -> Any:
        method = more.pop("method", "GET" if body is None else "POST")
        reply = HTTP.request(method, self.process(name)["address"] + path, json=body, **more)
        assert reply.status < 300, (reply.status, reply.data)
        return reply.json()

    def flower(self, path: str) -> Any:
        password = (self.directory / "var/flower.password").read_text(encoding="utf-8").strip()
        return self.call("flower", path, headers=urllib3.make_headers(basic_auth=f"clearance:{password}"))

    def flower_saved(self) -> str:
        """What Flower has written down: one file or several, as Python's database for it has it."""
        found = ""
        for each in (self.directory / "var").glob("flower.db*"):
            if ".tmp" not in each.name:  # what is being written is not there yet
                with suppress(FileNotFoundError):  # replaced while we look
                    found += each.read_bytes().decode("latin-1")
        return found

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children(recursive=True)


def _environment(directory: Path, **settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLEARANCE_")}
    names = ("INGEST_PORT", "FLOWER_PORT", "UP_SANDBOX_PORT", "UP_BROKER_PORT")
    given = {name: str(free_port()) for name in names} | {
        "STATE_DIR": str(directory / "var"),
        "LEDGER_URL": f"sqlite:///{directory / 'ledger.db'}",
        "RULES_PATH": str(Path(__file__).parents[2] / "config/rules.toml"),
    }
    return inherited | {f"CLEARANCE_{name}": value for name, value in (given | settings).items()}


def _started(directory: Path, **settings: str) -> Up:
    with (directory / "out").open("wb") as out:
        popen = subprocess.Popen(
            [sys.executable, "-m", "workers", "up"],
            cwd=directory,
            env=_environment(directory, **settings),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Up(popen=popen, directory=directory)
    _until(lambda: "| ready" in running.output or popen.poll() is not None, START_S, "ready")
    assert popen.poll() is None, running.output
    return running


def _until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    given_up_at = time.monotonic() + timeout_s
    while time.monotonic() < given_up_at:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"not within {timeout_s:g} s: {what}")


def _is_ready_again(running: Up, name: str, former_pid: int) -> bool:
    process = running.process(name)
    return process["state"] == "ready" and process["pid"] not in (None, former_pid)


def _alive(processes: list[psutil.Process]) -> list[str]:
    alive = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return alive


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = _started(tmp_path_factory.mktemp("up"), UP_TRIGGERED_WORKERS="2", OPTILYZ_MAX_WAIT_S="1")
    yield running
    running.popen.terminate()
    running.popen.wait(timeout=60)


def test_it_says_first_who_the_vendor_is_and_then_where_everything_is(up: Up) -> None:
    lines = up.output.splitlines()

    assert "SANDBOX" in lines[0]
    for what, name in (("ingest", "ingest"), ("Flower", "flower"), ("sandbox", "sandbox")):
        assert re.search(
            rf"^up +\|  {what} +{re.escape(up.process(name)['address'])} ", up.output, re.MULTILINE
        )


def test_every_line_says_whose_it_is_and_json_is_passed_on_whole(up: Up) -> None:
    names = {"up", "broker", "db-upgrade", "sandbox", "ingest", "flower", "guardian-1", "guardian-2"}
    names |= {"triggered-1", "triggered-2", "review-1", "submit-1", "mail-1", "track-1"}
    lines = [line.split(" | ", 1) for line in up.output.splitlines()]

    assert {name.strip() for name, *_ in lines} <= names
    events = [json.loads(text)["event"] for _, text in lines if text.startswith("{")]
    assert "guardian.started" in events


def test_a_letter_goes_from_the_relay_to_the_sandbox_and_bloomreach_hears_of_it(up: Up) -> None:
    key = (up.directory / "var/relay.key").read_text(encoding="utf-8").strip()
    address = {"lastName": "Muster", "address1": "Ringweg 7", "zipCode": "20095", "city": "Hamburg"}
    answer = up.call(
        "ingest",
        "/api/v2/automations/5fc6ca6a89b5e200e0de42e0/recipient",
        {"address": address | {"individualisation1": "anna@example.com"}},
        headers=urllib3.make_headers(basic_auth=f"{key}: "),
    )

    assert answer["success"] is True
    _until(
        lambda: up.call("sandbox", "/sandbox/bloomreach/events")["count"],
        30,
        "Bloomreach hears of the letter",
    )
    event = up.call("sandbox", "/sandbox/bloomreach/events")["events"][0]
    assert (event["customer_ids"], event["properties"]["status"]) == (
        {"registered": "anna@example.com"},
        "enqueued",
    )
    assert up.call("sandbox", "/sandbox/optilyz")["printed"] == 1


def test_a_worker_that_is_killed_is_replaced_and_the_lane_goes_on(up: Up) -> None:
    former = up.process("triggered-1")

    os.kill(former["pid"], signal.SIGKILL)
    up.call("sandbox", "/sandbox/triggered/play", {"count": 10, "rate_per_s": 10})

    _until(lambda: _is_ready_again(up, "triggered-1", former["pid"]), 60, "the worker is replaced")
    _until(lambda: up.call("sandbox", "/sandbox/report")["answered"] == 10, 10, "all are answered")
    assert up.process("triggered-1")["restarts"] == former["restarts"] + 1
    assert "triggered-1 ended with signal 9; starts again in 0.5 s" in up.output


def test_ingest_that_is_killed_leaves_no_child_on_its_port(up: Up) -> None:
    former = up.process("ingest")

    os.kill(former["pid"], signal.SIGKILL)

    _until(lambda: _is_ready_again(up, "ingest", former["pid"]), 60, "ingest is replaced")
    assert up.call("ingest", "/readyz")["ready"] is True


def test_the_broker_comes_back_with_its_data(up: Up) -> None:
    former = up.process("broker")
    port = int(former["address"].rpartition(":")[2])
    with redis.Redis(port=port, single_connection_client=True) as broker:
        broker.set("kept", "yes")
        assert broker.execute_command("WAITAOF", 1, 0, 5000) == [
            1,
            0,
        ]  # what this connection wrote is on the disk

    os.kill(former["pid"], signal.SIGKILL)

    _until(lambda: _is_ready_again(up, "broker", former["pid"]), 60, "the broker is replaced")
    with redis.Redis(port=port) as broker:
        assert broker.get("kept") == b"yes"


def test_a_retry_shows_in_flower_with_its_error_attempt_and_time_and_outlives_a_kill(up: Up) -> None:
    up.call("sandbox", "/sandbox/reset", {})
    up.call("sandbox", "/sandbox/faults", {"group": "triggered-approval", "error": 1.0}, method="PUT")
    up.call("sandbox", "/sandbox/triggered/play", {"count": 1, "rate_per_s": 1})

    def retried() -> list[dict[str, Any]]:
        tasks = up.flower("/api/tasks").values()
        return [task for task in tasks if task["retries"] and "500 from the vendor" in str(task["exception"])]

    _until(retried, 15, "Flower shows the retry")
    task = retried()[0]
    assert re.search(r"attempt \d failed, next at [0-9:.]+Z", task["exception"])
    assert task["name"] == "clearance.triggered.approve"
    assert re.fullmatch(r"\('triggered\.approve:[0-9a-f]{32}',\)", task["args"])
    assert task["eta"] is not None
    up.call("sandbox", "/sandbox/reset", {})

    _until(lambda: task["uuid"] in up.flower_saved(), 15, "Flower has written it down")
    former = up.process("flower")
    os.kill(former["pid"], signal.SIGKILL)
    _until(lambda: _is_ready_again(up, "flower", former["pid"]), 60, "Flower is replaced")
    assert task["uuid"] in up.flower("/api/tasks")


def test_flower_lets_nobody_in_without_the_password(up: Up) -> None:
    for headers in ({}, urllib3.make_headers(basic_auth="clearance:")):
        assert (
            HTTP.request("GET", up.process("flower")["address"] + "/api/tasks", headers=headers).status == 401
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_ends_with_0_and_nothing_stays(tmp_path: Path, number: signal.Signals) -> None:
    running = _started(tmp_path, UP_TRIGGERED_WORKERS="1")
    tree = running.tree()
    assert len(tree) >= 8

    running.popen.send_signal(number)

    assert running.popen.wait(timeout=60) == 0
    assert _alive(tree) == []
    assert "killed after their grace: none" in running.output
    assert not (tmp_path / "var/up/processes.json").exists()


def test_killed_itself_nothing_stays_either(tmp_path: Path) -> None:
    running = _started(tmp_path, UP_TRIGGERED_WORKERS="1")
    tree = running.tree()

    running.popen.kill()
    running.popen.wait(timeout=10)

    _until(lambda: not _alive(tree), 60, "everything is stopped by the reaper")


def test_a_port_that_is_taken_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = subprocess.run(
            [sys.executable, "-m", "workers", "up"],
            cwd=tmp_path,
            env=_environment(tmp_path, INGEST_PORT=str(port)),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert refused.returncode == 2
    assert f"CLEARANCE_INGEST_PORT: port {port}, for ingest, is taken" in refused.stderr
    assert refused.stdout == ""


def test_flower_without_a_password_ends_with_2_and_says_so(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "workers", "flower"],
        cwd=tmp_path,
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert refused.returncode == 2
    assert refused.stderr.startswith("CLEARANCE_FLOWER_PASSWORD: required")
