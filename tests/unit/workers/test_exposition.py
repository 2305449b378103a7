"""Where the metrics of a process are read: at its port, its children's included; a taken port costs no work."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from config.settings import Settings
from workers import exposition

_PARENT_OF_TWO = """
import os, sys, threading
from prometheus_client import generate_latest
from config.metrics import PrometheusMetrics, _added_up

measured = PrometheusMetrics()
measured.count("obligation_outcomes_total", lane="review", outcome="done")
for child in (1, 2):
    if os.fork() == 0:
        measured.count("obligation_outcomes_total", 10 * child, lane="review", outcome="done")
        measured.observe("commit_items", child)
        measured.gauge("guardian_lag_seconds", child)
        os._exit(0)
    os.wait()
sys.stdout.write(generate_latest(_added_up(sys.argv[1])).decode())
"""


def test_what_children_counted_is_added_up_though_they_are_gone(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", _PARENT_OF_TWO, str(tmp_path)],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    value_by_name = {
        sample.name: sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }
    assert value_by_name["clearance_obligation_outcomes_total"] == 31
    assert value_by_name["clearance_commit_items_count"] == 2
    assert value_by_name["clearance_commit_items_sum"] == 3
    assert value_by_name["clearance_guardian_lag_seconds"] in (1, 2), "a level is one process', not a sum"
    assert value_by_name["process_cpu_seconds_total"] > 0


def test_a_pool_counts_into_a_directory_of_its_own_which_is_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    exposition.share_with_children(Settings(metrics_port=9464))
    (made,) = tmp_path.iterdir()
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(made)

    exposition.discard()
    assert not made.exists()


def test_a_directory_that_an_operator_named_is_not_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    exposition.discard()

    assert tmp_path.is_dir()


def test_what_a_killed_pool_left_behind_is_removed_by_the_next_and_what_is_in_use_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    exposition.share_with_children(Settings(metrics_port=9464))
    (in_use,) = tmp_path.iterdir()
    left, fresh = tmp_path / "clearance-metrics-left", tmp_path / "clearance-metrics-fresh"
    for directory in (left, fresh):
        directory.mkdir()
        (directory / "counter_1.db").touch()
    for directory in (in_use, left):
        os.utime(directory, (0, 0))

    exposition.share_with_children(Settings(metrics_port=9465))

    assert (in_use.exists(), left.exists(), fresh.exists()) == (True, False, True)


def test_nothing_is_shared_or_served_without_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)

    exposition.share_with_children(Settings())
    exposition.serve(Settings())
    exposition.discard()

    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_a_port_that_is_taken_is_told_and_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as another, capture_logs() as logs:
        port = another.getsockname()[1]
        exposition.serve(Settings(metrics_port=port))

    (told,) = logs
    assert (told["event"], told["log_level"], told["port"]) == ("metrics.not_served", "error", port)
    assert told["error"] == "Address already in use"
