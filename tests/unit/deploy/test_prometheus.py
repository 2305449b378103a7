"""The alerts: of metrics that exist, each tried, each with a runbook; Prometheus agrees with all of it."""

import re
from typing import Any

import pytest
import yaml

from tests.unit.deploy import promql
from tests.unit.deploy.promtool import promtool
from tests.unit.deploy.test_compose import ROOT

_PROMETHEUS = ROOT / "deploy" / "prometheus"
_ALERTS = _PROMETHEUS / "alerts.yml"
_TESTS = sorted((_PROMETHEUS / "tests").glob("*.yml"))
_RUNBOOKS = ROOT / "docs" / "runbooks"
_RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(_ALERTS.read_text())["groups"] for rule in group["rules"]
]
_NAMES = [rule["alert"] for rule in _RULES]


def test_prometheus_takes_the_rules_and_the_example_of_its_configuration() -> None:
    promtool("check", "rules", _ALERTS)
    promtool("check", "config", _PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("path", _TESTS, ids=lambda path: path.name)
def test_each_situation_raises_its_alerts_and_no_others(path: Any) -> None:
    promtool("test", "rules", path)


@pytest.mark.parametrize("rule", _RULES, ids=_NAMES)
def test_an_alert_asks_for_what_is_measured(rule: dict[str, Any]) -> None:
    assert promql.problems(rule["expr"]) == []
    assert promql.metrics(rule["expr"]) or "up{" in rule["expr"]


@pytest.mark.parametrize("rule", _RULES, ids=_NAMES)
def test_an_alert_says_how_bad_it_is_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    told = rule["annotations"]

    assert rule["alert"].startswith("Clearance")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["description"].endswith(".")
    assert (ROOT / told["runbook_url"]).parent == _RUNBOOKS
    assert (ROOT / told["runbook_url"]).is_file()
    named = set(re.findall(r"\$labels\.(\w+)", told["summary"] + told["description"]))
    assert named <= promql.labels(rule["expr"])


def test_every_alert_is_tried_and_every_runbook_has_one() -> None:
    tried = "\n".join(path.read_text() for path in _TESTS)
    linked = {(ROOT / rule["annotations"]["runbook_url"]).name for rule in _RULES}

    assert [name for name in _NAMES if name not in tried] == []
    assert {path.name for path in _RUNBOOKS.glob("*.md")} - {"README.md"} == linked


def test_what_scales_the_workers_is_measured() -> None:
    scaled = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "base" / "scaling.yaml").read_text()))
    queries = [
        trigger["metadata"]["query"]
        for item in scaled
        for trigger in item["spec"].get("triggers", [])
        if trigger["type"] == "prometheus"
    ]

    assert queries
    assert {problem for query in queries for problem in promql.problems(query)} == set()


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("clearance_no_such_total", "clearance_no_such_total: is not declared"),
        ('clearance_lane_paused{vendor="x"}', "clearance_lane_paused: has no vendor"),
        ("max by (vendor) (clearance_lane_paused)", "clearance_lane_paused: has no vendor"),
        ("rate(clearance_commit_seconds[5m])", "clearance_commit_seconds: is a histogram"),
        ("clearance_ledger_up_count", "clearance_ledger_up_count: is a gauge"),
        ("clearance_ledger_up and on (lane) clearance_broker_up", "nothing has lane"),
        ("sum by (le) (clearance_commit_seconds_count)", "clearance_commit_seconds_count: has no le"),
    ],
)
def test_what_is_not_measured_would_be_found(expression: str, problem: str) -> None:
    assert promql.problems(expression) == [problem]
