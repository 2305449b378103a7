"""A new operator's path: the commands of docs/operations.md, as they stand there, on PostgreSQL and Redis."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.system.processes import free_port

pytestmark = pytest.mark.timeout(300)

_ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_SECTION = re.compile(r"^## One host, without containers$(.*?)^## ", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^### (\d)\. [^\n]+$(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```(sh|ini)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The environment was built and the servers are there: what a test cannot do again on somebody's machine.
_NOT_RUN = {1, 2}
_PORTS_OF_METRICS = 16
_WINDOW_MS = 12_000
_TIMEOUT_S = 280


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walked:
    """What came of it: what each step wrote, and when it was over, in seconds since the start."""

    output_by_step: dict[int, str]
    ended_s_by_step: dict[int, float]
    ledger_url: str
    logs: Path

    def approvals(self, worker: str) -> int:
        """How many notifications this worker has answered."""
        return (self.logs / f"{worker}.log").read_text(encoding="utf-8").count('"approval.taken"')

    def report(self) -> dict[str, Any]:
        """The sandbox's report in the step that asks for it."""
        lines = self.output_by_step[7].splitlines()
        # A listing may follow on the same line: the report ends without a line break.
        found, _ = json.JSONDecoder().raw_decode(next(line for line in lines if line.startswith('{"sent"')))
        return dict(found)


@pytest.fixture(scope="module")
def walked(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> _Walked:
    """The path, from the env file to the end of all processes."""
    here = tmp_path_factory.mktemp("operator")
    (here / "config").symlink_to(_ROOT / "config")
    section = _SECTION.search((_ROOT / "docs/operations.md").read_text(encoding="utf-8"))
    assert section, "docs/operations.md has no such section"
    ours = _ours(postgres_url, redis_url)
    script = ["set -eu"]
    for number, text in _STEP.findall(section[1]):
        for kind, fence in _FENCE.findall(text):
            said = _replaced(fence, ours)
            if kind == "ini":
                (here / "clearance.env").write_text(said, encoding="utf-8")
            elif int(number) not in _NOT_RUN:
                script.append(said)
        script.append(f'printf "\\n=== {number} %s\\n" "$(date +%s.%N)"')
    started_at = time.time()
    output = _run("\n".join(script), here)
    parts = re.split(r"^=== (\d) ([\d.]+)$", output, flags=re.MULTILINE)
    numbers = [int(each) for each in parts[1::3]]
    ended_s = [float(each) - started_at for each in parts[2::3]]
    told = _Walked(
        output_by_step=dict(zip(numbers, parts[0::3], strict=False)),
        ended_s_by_step=dict(zip(numbers, ended_s, strict=True)),
        ledger_url=postgres_url,
        logs=here / "var/log",
    )
    print({number: round(ended, 1) for number, ended in told.ended_s_by_step.items()})  # noqa: T201  # -rP shows it
    assert set(numbers) == set(range(1, 9)), _told(output, here)
    return told


def test_every_notification_is_answered_in_time_while_one_worker_comes_and_another_goes(
    walked: _Walked,
) -> None:
    report = walked.report()

    assert {name: report[name] for name in ("sent", "answered", "missing", "late")} == {
        "sent": 300,
        "answered": 300,
        "missing": 0,
        "late": 0,
    }


def test_the_one_that_came_took_work_and_the_one_that_went_had_done_some(walked: _Walked) -> None:
    answered = {name: walked.approvals(name) for name in ("triggered-1", "triggered-2", "triggered-3")}

    assert min(answered.values()) > 0, answered
    # One may be answered again, the same way: a worker that had no processor for its lease is taken over.
    assert sum(answered.values()) >= 300


def test_the_ledger_says_so_too_and_of_the_triggered_lane_nothing_is_left(walked: _Walked) -> None:
    with psycopg.connect(walked.ledger_url) as connection:
        found = connection.execute(
            "SELECT state, count(*) FROM obligations WHERE lane = 'triggered' GROUP BY state"
        ).fetchall()

    assert dict(found) == {"done": 300}


def test_the_group_is_decided_and_given_to_the_vendor_and_the_letter_is_printed(walked: _Walked) -> None:
    with psycopg.connect(walked.ledger_url) as connection:
        letters = connection.execute("SELECT state FROM mail_recipients").fetchall()
        chunks = connection.execute("SELECT state, sum(customers) FROM chunks GROUP BY state").fetchall()

    assert letters == [("posted",)]
    assert chunks == [("submitted", 2500)]


def _ours(postgres_url: str, redis_url: str) -> dict[str, str]:
    """What stands on the page, and what it is here."""
    return {
        "postgresql://clearance:PASSWORD@127.0.0.1/clearance": postgres_url,
        "redis://127.0.0.1:6379/0": redis_url,
        "8080": str(free_port()),
        "8900": str(free_port()),
        # Longer than the vendor's five seconds, and half as fast: this machine may have other things to do, and a
        # worker that takes 20 s to start must still find work.
        '"rate_per_s": 20': f'"rate_per_s": 10, "window_ms": {_WINDOW_MS}',
        "9110": str(_free_ports(_PORTS_OF_METRICS)),
    }


def _replaced(fence: str, ours: dict[str, str]) -> str:
    for theirs, our in ours.items():
        fence = fence.replace(theirs, our)
    if "CLEARANCE_LEDGER_URL=" not in fence:
        return fence
    # The settings that the page leaves at their defaults.
    return f"{fence}CLEARANCE_INGEST_PORT={ours['8080']}\nCLEARANCE_TRIGGERED_TIMEOUT_MS={_WINDOW_MS}\n"


def _free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _run(script: str, here: Path) -> str:
    """What the script wrote; all that it started is gone afterwards."""
    path = f"{_BIN}:/usr/bin:/bin"
    environ = {"PATH": path, "HOME": str(here), "LANG": "C.UTF-8", "PYTHONPATH": str(_ROOT)}
    with (here / "output").open("wb") as out:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=here,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _kill_group(shell)
    return (here / "output").read_text(encoding="utf-8", errors="replace")


def _kill_group(shell: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        shell.wait()


def _told(output: str, here: Path) -> str:
    logs = [
        f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in here.glob("var/log/*.log")
    ]
    return "\n".join([*logs, "--- the commands", output[-3000:]])
