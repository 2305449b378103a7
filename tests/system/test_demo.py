"""`clearance demo` from the outside: a small one keeps its promises, and says so in figures."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    directory = tmp_path_factory.mktemp("demo")
    # A setting of the machine must not reach a demo: with this one it could not even start.
    environment = os.environ | {
        "CLEARANCE_LEDGER_URL": "nonsense://",
        "CLEARANCE_OPTIMOVE_BASE_URL": "nonsense",
    }
    return subprocess.run(
        [sys.executable, "-m", "workers", "demo", "--count", "60", "--directory", str(directory)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


@pytest.fixture(scope="module")
def report(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    path = Path(done.args[-1], "report.json")
    assert path.exists(), done.stdout + done.stderr
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def test_it_ends_with_0_because_every_promise_held(
    done: "subprocess.CompletedProcess[str]", report: dict[str, Any]
) -> None:
    assert [promise for promise in report["promises"] if not promise["held"]] == []
    assert len(report["promises"]) >= 8
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_figures_add_up(report: dict[str, Any]) -> None:
    lane = report["lanes"]["triggered"]

    refused, expired = sum(lane["refused"].values()), lane["missed"]["PAST_ON_ARRIVAL"]
    assert lane["sent"] == 60 == lane["valid"] + lane["duplicates"] + refused + expired
    assert lane["answered_in_time"] == lane["valid"] == lane["approved"] + lane["rejected"]
    assert (lane["late"], lane["unanswered"]) == (0, 0)
    assert report["restarts"] == 2
    assert lane["decisions_by_reason"]["APPROVED"] == lane["approved"]
    assert sum(lane["decisions_by_reason"].values()) >= lane["valid"]
    assert lane["decisions_by_reason"]["SELF_EXCLUDED"] > 0
    assert len(report["rules_versions"]) == 1
    for figures in (lane["notification_to_approval_ms"], lane["acknowledge_ms"]):
        assert 0 < figures["p50"] <= figures["p99"] <= figures["p99.9"]


def test_both_send_groups_are_answered_before_their_deadlines(report: dict[str, Any]) -> None:
    small, large = report["lanes"]["submit"]["group_1"], report["lanes"]["submit"]["group_2"]

    assert (small["customers"], large["customers"]) == (2_500, 25_000)
    for group in (small, large):
        assert group["approved"] + group["rejected"] == group["customers"]
        assert 0 < group["margin_s"] < 10
    assert large["moved"] == 1


def test_every_letter_is_accounted_for_and_bloomreach_told(report: dict[str, Any]) -> None:
    mail, track = report["lanes"]["mail"], report["lanes"]["track"]
    letters = mail["letters"]

    assert mail["relay_answered"] == {"queued": 1020, "refused": 33, "duplicate": 97}
    assert letters["posted"] + letters["failed"] + letters["held"] == 1020
    assert letters["held"] == sum(mail["held_for_a_person"].values()) > 0
    assert (
        sum(mail["not_posted_by_reason"].values()) == letters["failed"] + letters["held"] + letters["refused"]
    )
    assert letters["posted"] <= mail["printed"] <= letters["posted"] + letters["held"]
    assert (mail["printed_twice"], mail["most_in_flight"]) == (0, 2)
    assert max(map(int, mail["batch_sizes"])) == 100
    assert mail["vendor_answers"]["cut"] > 0
    assert track["campaign_events"] == {
        "enqueued": letters["posted"],
        "failed": letters["failed"] + letters["refused"],
    }


def test_a_person_sees_progress_and_the_verdict(done: "subprocess.CompletedProcess[str]") -> None:
    assert "kill -9 of triggered-1" in done.stdout
    assert "kill -9 of mail-1 while it posts" in done.stdout
    assert "every valid notification was answered in time" in done.stdout
    assert "BROKEN" not in done.stdout


def test_nothing_of_it_is_left_running(done: "subprocess.CompletedProcess[str]") -> None:
    directory = done.args[-1]

    left = [
        item.info
        for item in psutil.process_iter(["pid", "cmdline"])
        if directory in " ".join(item.info["cmdline"] or [])
    ]

    assert left == []
