"""The dashboards: Grafana's format, and queries about what is measured that Prometheus understands."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.metric_registry import METRICS
from tests.unit.deploy import promql
from tests.unit.deploy.promtool import promtool
from tests.unit.deploy.test_compose import ROOT

_PATHS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
_WIDTH = 24
# From which on panels are as they are written here. Source: Grafana 11, "JSON schema of dashboards".
_OLDEST_SCHEMA = 39
# Too special for a picture that is looked at every day; an alert or a document has them.
_NOT_SHOWN = {
    "check_answers_ignored_total",
    "check_cooldowns_total",
    "check_failures_total",
    "lane_pauses_total",
    "mail_held_total",
    "mail_recipients_without_id_total",
    "notifications_ignored_total",
    "obligations_parked_total",
    "publish_failed_total",
}


def _dashboard(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in _dashboard(path)["panels"] if panel["type"] != "row"]


def _queries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in _panels(path):
        for target in panel["targets"]:
            yield panel["title"], target


def test_there_is_one_for_the_fleet_and_one_for_deadlines() -> None:
    assert [path.name for path in _PATHS] == ["deadlines.json", "fleet.json"]
    assert len({_dashboard(path)["uid"] for path in _PATHS}) == len(_PATHS)


@pytest.mark.parametrize("path", _PATHS, ids=lambda path: path.stem)
def test_a_dashboard_is_one_that_grafana_takes_with_any_prometheus(path: Path) -> None:
    board = _dashboard(path)
    panels = board["panels"]

    assert board["schemaVersion"] >= _OLDEST_SCHEMA
    assert board["id"] is None, "an id of another Grafana"
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert [variable["type"] for variable in board["templating"]["list"]] == ["datasource"]
    sources = {json.dumps(panel["datasource"]) for panel in _panels(path)}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}


@pytest.mark.parametrize("path", _PATHS, ids=lambda path: path.stem)
def test_every_panel_has_its_own_place_and_says_what_it_shows(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _dashboard(path)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= _WIDTH, panel["title"]
        taken |= cells
    for panel in _panels(path):
        assert panel["description"].endswith("."), panel["title"]
        for word in panel["description"].split():
            if word.startswith("docs/"):
                assert (ROOT / word.rstrip(".")).is_file(), word


@pytest.mark.parametrize("path", _PATHS, ids=lambda path: path.stem)
def test_every_query_asks_for_what_is_measured_and_names_it_by_its_labels(path: Path) -> None:
    for title, target in _queries(path):
        assert promql.problems(target["expr"]) == [], title
        named = {part.split("}}")[0].strip() for part in target["legendFormat"].split("{{")[1:]}
        assert named <= promql.labels(target["expr"]), title


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:query:{number}", "expr": target["expr"].replace("$__rate_interval", "5m")}
        for number, (_, target) in enumerate(query for path in _PATHS for query in _queries(path))
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", file)


def test_what_is_measured_is_shown() -> None:
    shown = {
        name for path in _PATHS for _, target in _queries(path) for name in promql.metrics(target["expr"])
    }

    assert {metric.name for metric in METRICS} - shown == _NOT_SHOWN
