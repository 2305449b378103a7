"""Rules change under a running fleet: all follow, a broken file changes nothing and is told, nobody starts on one."""

import json
import os
import signal
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.fleet import APPROVED_COUNTRY, Fleet, FleetPlan, running
from tests.system.processes import until
from tests.system.verdict import judge

pytestmark = pytest.mark.timeout(90)

_GOOD = Path(__file__).with_name("rules.toml").read_text(encoding="utf-8")
_AUSTRIA = _GOOD.replace(APPROVED_COUNTRY, "AT")
_BROKEN = _GOOD.replace('cel    = "country', 'cel    = "contry').replace(
    "cel    = 'country", "cel    = 'contry"
)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.toml"
    path.write_text(_GOOD, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory: pytest.TempPathFactory, rules: Path) -> Iterator[Fleet]:
    plan = FleetPlan(rules=rules, settings={"CLEARANCE_RULES_LOOK_EVERY_S": "0.2"})
    with running(tmp_path_factory.mktemp("reload"), plan) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet: Fleet, rules: Path, request: pytest.FixtureRequest) -> Fleet:
    """Two workers with the good rules in force."""
    rules.write_text(_GOOD, encoding="utf-8")
    _fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    _fleet.command("rules", "reload")
    return _fleet


def test_every_worker_says_which_rules_it_has_in_force(fleet: Fleet, rules: Path) -> None:
    shown = _in_force(fleet)

    assert {row["version"] for row in shown} == {_version(fleet)}
    assert [row["lane"] for row in shown] == ["triggered"] * 2
    assert fleet.command("rules", "show", shown[0]["version"]).strip() == rules.read_text().strip()


def test_all_workers_follow_a_reload_and_decide_by_the_new_rules(fleet: Fleet, rules: Path) -> None:
    before = _version(fleet)
    rules.write_text(_AUSTRIA, encoding="utf-8")

    fleet.command("rules", "reload")

    assert before != _version(fleet)
    assert {row["version"] for row in _in_force(fleet)} == {_version(fleet)}
    assert _played(fleet, "AT") == {_version(fleet): 24}


def test_a_broken_file_is_refused_before_anybody_is_asked_to_load_it(fleet: Fleet, rules: Path) -> None:
    version = _version(fleet)
    rules.write_text(_BROKEN, encoding="utf-8")

    with pytest.raises(AssertionError, match=r"rules.toml:8: .*did you mean `country`"):
        fleet.command("rules", "reload")

    assert {row["version"] for row in _in_force(fleet)} == {version}
    assert not any(row["problem"] for row in _in_force(fleet))


def test_a_worker_that_is_hung_up_on_with_a_broken_file_keeps_the_last_good_one_and_says_so(
    fleet: Fleet, rules: Path
) -> None:
    version = _version(fleet)
    rules.write_text(_BROKEN, encoding="utf-8")

    os.kill(fleet["worker1"].pid, signal.SIGHUP)

    until(
        lambda: any(row["problem"] for row in _in_force(fleet)), "the refusal is in the ledger", timeout_s=5
    )
    (refused,) = [row for row in _in_force(fleet) if row["problem"]]
    assert "did you mean `country`" in refused["problem"]
    assert refused["version"] == version
    assert "rules.refused" in fleet["worker1"].output()
    assert _played(fleet, APPROVED_COUNTRY) == {version: 24}


def test_a_worker_that_is_hung_up_on_reads_its_file_again(fleet: Fleet, rules: Path) -> None:
    rules.write_text(_AUSTRIA, encoding="utf-8")
    version = _version(fleet)

    os.kill(fleet["worker2"].pid, signal.SIGHUP)

    until(lambda: _versions(fleet)[version] == 1, "one worker has the new rules", timeout_s=5)
    assert _versions(fleet).total() == 2


def test_a_worker_does_not_start_on_broken_rules(fleet: Fleet, rules: Path) -> None:
    rules.write_text(_BROKEN, encoding="utf-8")
    child = fleet.add_clearance("worker3", "worker", "triggered")
    try:
        child.start()
        until(lambda: not child.is_alive, "it gives up", timeout_s=20)
        assert child.exit_code == 2
        assert "rules.toml:8: " in child.output()
        assert "Traceback" not in child.output()
    finally:
        child.kill()
        del fleet.children["worker3"]


def test_why_tells_what_was_decided_by_which_rules_and_what_the_vendor_said(fleet: Fleet) -> None:
    fleet.wait_sent(fleet.play(4, 40))
    judge(fleet)
    sent = fleet.report(detail=True)["notifications"][0]

    (story,) = json.loads(fleet.command("why", sent["user_id"], "--json"))

    assert story["decision"]["approved"] == (sent["answer"] == "approved")
    assert story["decision"]["reasons"] == ([] if story["decision"]["approved"] else ["COUNTRY_NOT_LICENSED"])
    assert story["decision"]["rules_version"] == _version(fleet)
    assert [(call["status"], call["outcome"]) for call in story["submissions"]] == [(200, "taken")]


def _in_force(fleet: Fleet) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(fleet.command("rules", "show", "--json"))
    return [row for row in shown if row["state"] != "silent"]


def _versions(fleet: Fleet) -> Counter[str]:
    return Counter(row["version"] for row in _in_force(fleet))


def _version(fleet: Fleet) -> str:
    """Of the file as it is."""
    return str(json.loads(fleet.command("rules", "check", "--json"))["version"])


def _played(fleet: Fleet, approved_country: str) -> Counter[str]:
    """Play 24 notifications, which are answered by that country; how many were decided by which version."""
    fleet.wait_sent(fleet.play(24, 60))
    verdict = judge(
        fleet,
        expected=lambda row, _: (
            "approved" if row["personalization"]["country"] == approved_country else "rejected"
        ),
    )
    assert verdict.all_answered
    return Counter(decision.rules_version for owed in verdict.owed for decision in owed.decisions)
