"""Metrics: only what is declared can be moved, and every call in the product moves something declared."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clearance.telemetry import Metrics, NoMetrics
from config import metrics
from config.metric_registry import METRIC_BY_NAME, METRICS, Kind
from config.metrics import MetricError, PrometheusMetrics

ROOT = Path(__file__).resolve().parents[3]
# Of items, what they are, where there is a word for it.
_UNITS = ("_seconds", "_bytes", "_items", "_letters", "_batches", "_slots", "_commands", "_messages")
_UNITS += ("_obligations", "_groups", "_versions", "_processes")
# 1 or 0.
_STATEMENTS = ("_up", "_paused")
KIND_BY_METHOD = {"count": Kind.COUNTER, "observe": Kind.HISTOGRAM, "gauge": Kind.GAUGE}


@pytest.fixture
def measured() -> PrometheusMetrics:
    return PrometheusMetrics()


def _shown(measured: PrometheusMetrics) -> str:
    return measured.exposition().decode()


def test_a_counter_adds_up_by_its_labels(measured: PrometheusMetrics) -> None:
    measured.count("requests_refused_total", route="triggered", reason="signature")
    measured.count("requests_refused_total", 2, reason="signature", route="triggered")
    measured.count("requests_refused_total", route="triggered", reason="expired")

    assert 'clearance_requests_refused_total{reason="signature",route="triggered"} 3.0' in _shown(measured)
    assert 'clearance_requests_refused_total{reason="expired",route="triggered"} 1.0' in _shown(measured)


def test_a_number_and_its_text_are_the_same_label(measured: PrometheusMetrics) -> None:
    measured.observe("http_request_seconds", 0.01, route="triggered", status=202)
    measured.observe("http_request_seconds", 0.01, route="triggered", status="202")

    assert 'clearance_http_request_seconds_count{route="triggered",status="202"} 2.0' in _shown(measured)


def test_a_histogram_counts_into_the_declared_buckets(measured: PrometheusMetrics) -> None:
    measured.observe("notification_to_approval_seconds", 0.049, lane="triggered")

    shown = _shown(measured)
    assert 'clearance_notification_to_approval_seconds_bucket{lane="triggered",le="0.03"} 0.0' in shown
    assert 'clearance_notification_to_approval_seconds_bucket{lane="triggered",le="0.05"} 1.0' in shown


def test_a_gauge_shows_its_last_level(measured: PrometheusMetrics) -> None:
    measured.gauge("clock_skew_seconds", 3)
    measured.gauge("clock_skew_seconds", -0.25)

    assert "clearance_clock_skew_seconds -0.25" in _shown(measured)


@pytest.mark.parametrize(
    ("method", "name", "labels"),
    [
        ("count", "no_such_total", {}),
        ("count", "requests_refused_total", {"route": "triggered"}),
        ("count", "requests_refused_total", {"route": "triggered", "reason": "x", "customer": "1"}),
        ("count", "clock_skew_seconds", {}),
        ("observe", "requests_accepted_total", {"route": "triggered"}),
        ("gauge", "commit_seconds", {}),
    ],
)
def test_what_is_not_declared_cannot_be_moved(
    measured, method: str, name: str, labels: dict[str, str]
) -> None:
    with pytest.raises(MetricError, match=f"^{name}: "):
        getattr(measured, method)(name, 1, **labels)


def test_two_registries_do_not_share_their_counts(measured: PrometheusMetrics) -> None:
    measured.count("requests_accepted_total", route="triggered")

    assert "requests_accepted_total{" not in _shown(PrometheusMetrics())


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER), metric.name
        if metric.kind is not Kind.COUNTER:
            assert metric.name.endswith(_UNITS + _STATEMENTS), metric.name


def test_no_label_could_be_an_id_or_a_person() -> None:
    labels = {label for metric in METRICS for label in metric.labels}

    few = {
        "route",
        "reason",
        "status",
        "publisher",
        "outcome",
        "lane",
        "vendor",
        "call",
        "why",
        "answer",
        "api",
        "state",
        "limit",
    }
    # The ids of an operator's checks, as many as the rules have.
    assert labels <= few | {"check"}


def test_each_metric_is_declared_once_and_says_what_it_means() -> None:
    assert len(METRIC_BY_NAME) == len(METRICS)
    assert all(metric.meaning.endswith(".") for metric in METRICS)


def test_buckets_rise_and_belong_to_histograms_only() -> None:
    for metric in METRICS:
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) is (metric.kind is Kind.HISTOGRAM)


def _product_calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Each `metrics.count|observe|gauge` with a literal name: where it stands, its method, the call."""
    for root in ("clearance", "config", "tasks", "workers"):
        for path in (ROOT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                    continue
                owner = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
                if node.func.attr in KIND_BY_METHOD and owner == "metrics":
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.func.attr, node


def test_every_call_in_the_product_moves_a_declared_metric_with_its_labels() -> None:
    wrong = []
    for place, method, call in _product_calls():
        name = ast.literal_eval(call.args[0]) if isinstance(call.args[0], ast.Constant) else None
        metric = METRIC_BY_NAME.get(name or "")
        labels = {keyword.arg for keyword in call.keywords}
        if metric is None or metric.kind is not KIND_BY_METHOD[method] or labels != set(metric.labels):
            wrong.append(f"{place} {ast.unparse(call)}")

    assert wrong == []


def test_counting_nothing_takes_the_same_calls() -> None:
    silent: Metrics = NoMetrics()

    for method in KIND_BY_METHOD:
        assert getattr(silent, method)("anything", 1, lane="triggered") is None


def test_a_process_without_http_serves_its_metrics_on_loopback(measured: PrometheusMetrics) -> None:
    served: list[tuple[int, str]] = []

    def start(port: int, *, addr: str, registry: object) -> None:
        served.append((port, addr))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "start_http_server", start)
        measured.serve(9464)

    assert served == [(9464, "127.0.0.1")]
