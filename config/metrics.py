"""What is measured: each metric declared once, and the only way to move one.

In: `count`, `observe` and `gauge` by name; the port is `clearance.telemetry.Metrics`, and wiring connects the
two. Out: the Prometheus text format, from ingest's `/metrics` or from `serve`. Units are seconds, bytes and
items; labels have few values, never ids. `docs/metrics.md` is generated from `METRICS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)

PREFIX = "clearance_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# The targets are p50 10 ms, p99 50 ms and p99.9 150 ms, inside 5 s: each is the bound of a bucket.
_ANSWER_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 1.5, 2.5, 4.0, 5.0)
_MARGIN_S = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 4.8, 5.0, 10.0, 60.0, 600.0)
_CALL_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class MetricError(Exception):
    """A metric that nobody declared, or one used in another way or with other labels: a bug."""


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    `name` is what `/metrics` shows, without `clearance_`; `buckets` are a histogram's upper bounds.
    """

    kind: Kind
    name: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


def _counter(name: str, *labels: str, meaning: str) -> Metric:
    return Metric(Kind.COUNTER, name, labels, meaning)


def _gauge(name: str, *labels: str, meaning: str) -> Metric:
    return Metric(Kind.GAUGE, name, labels, meaning)


def _histogram(name: str, *labels: str, buckets: tuple[float, ...], meaning: str) -> Metric:
    return Metric(Kind.HISTOGRAM, name, labels, meaning, buckets)


METRICS: tuple[Metric, ...] = (
    # Ingest
    _counter(
        "requests_accepted_total", "route", meaning="Requests acknowledged with 202; duplicates included."
    ),
    _counter("requests_duplicate_total", "route", meaning="Accepted requests that had been accepted before."),
    _counter(
        "requests_refused_total", "route", "reason", meaning="Requests refused; none of them is queued."
    ),
    _counter(
        "notifications_expired_total",
        "route",
        meaning="Notifications with no time left when they came: missed.",
    ),
    _histogram(
        "http_request_seconds",
        "route",
        "status",
        buckets=_CALL_S,
        meaning="From a request's head to its answer.",
    ),
    _histogram("commit_items", buckets=_ITEMS, meaning="Notifications in one group commit."),
    _histogram("commit_seconds", buckets=_CALL_S, meaning="One group commit: transaction begun to durable."),
    # Publishing
    _counter(
        "publish_batches_total",
        "publisher",
        "outcome",
        meaning="Batches given to the broker by `ingest` or `guardian`: `published` or `failed`.",
    ),
    _counter(
        "publish_failed_total",
        "publisher",
        meaning="Messages of failed batches; the guardian publishes them when the broker is back.",
    ),
    _histogram("publish_seconds", "publisher", buckets=_CALL_S, meaning="One batch given to the broker."),
    # Obligations
    _counter(
        "obligation_outcomes_total",
        "lane",
        "outcome",
        meaning="How runs of obligations ended: `done`, `missed`, `parked` or `retry`.",
    ),
    _counter(
        "obligations_missed_total", "lane", "reason", meaning="Obligations past their deadline, by reason."
    ),
    _counter("obligation_retries_total", "lane", "reason", meaning="Obligations opened again, by reason."),
    _counter("leases_lost_total", "lane", meaning="Runs that found their obligation taken over or finished."),
    # The answer
    _histogram(
        "notification_to_approval_seconds",
        "lane",
        buckets=_ANSWER_S,
        meaning="From a notification's receipt to the vendor's answer to its approval.",
    ),
    _histogram(
        "submission_margin_seconds",
        "lane",
        buckets=_MARGIN_S,
        meaning="What was left before the deadline when a submission left.",
    ),
    _counter(
        "notifications_ignored_total",
        "route",
        meaning="Events that ask nothing of us: acknowledged and recorded.",
    ),
    # Groups: V2 send groups and V1 campaigns
    _counter(
        "groups_ended_total",
        "api",
        "outcome",
        meaning="Revisions of groups that ended: `submitted`, or `missed` for some customers.",
    ),
    _histogram(
        "group_margin_seconds",
        "api",
        buckets=_MARGIN_S,
        meaning="What was left before the deadline when a group's last call was answered.",
    ),
    _counter(
        "group_customers_missed_total",
        "api",
        "reason",
        meaning="Customers of groups who were not answered in time, by what was missing.",
    ),
    _counter("group_rows_malformed_total", meaning="Rows of customers that could not be read: not approved."),
    _counter(
        "group_counts_differ_total",
        "api",
        meaning="Groups that had another number of customers than was told.",
    ),
    # Rules
    _counter("decisions_total", "lane", "answer", meaning="Decisions made: `approved` or `rejected`."),
    _counter(
        "decision_reasons_total",
        "lane",
        "reason",
        meaning="Reasons noted by decisions, without what follows a colon.",
    ),
    _histogram(
        "check_call_seconds",
        "check",
        "outcome",
        buckets=_CALL_S,
        meaning="One call of an `http` check: `answered`, `throttled`, `failed` or `malformed`.",
    ),
    _counter(
        "check_failures_total",
        "check",
        "why",
        meaning="Questions, one a batch, that an outside check could not answer: its `on_error` counted.",
    ),
    _counter(
        "check_answers_ignored_total", "check", meaning="Answers about customers that nobody asked about."
    ),
    _counter("check_breaker_opened_total", "check", meaning="Circuit breakers that opened, by check."),
    _counter(
        "check_cooldowns_total",
        "check",
        meaning="Cool-downs of the whole fleet that a checked system asked for.",
    ),
    _counter(
        "rules_reloads_total",
        "outcome",
        meaning="Reloads of the rules: `loaded`, `unchanged` or `refused` (the last good ones stay).",
    ),
    # Vendors
    _histogram(
        "vendor_call_seconds",
        "vendor",
        "call",
        "outcome",
        buckets=_CALL_S,
        meaning="One attempt to call a vendor.",
    ),
    _counter(
        "vendor_cooldowns_total", "vendor", meaning="Cool-downs of the whole fleet that a vendor asked for."
    ),
    _gauge("clock_skew_seconds", meaning="Optimove's clock less ours, measured from signed timestamps."),
    # Guardian
    _counter(
        "guardian_published_total",
        "lane",
        "why",
        meaning="Obligations published by the guardian: `due`, `hedge` or `abandoned`.",
    ),
    _counter(
        "guardian_missed_total", "lane", meaning="Obligations that the guardian found past their deadline."
    ),
    _histogram("guardian_tick_seconds", buckets=_CALL_S, meaning="One look of the guardian at the ledger."),
    _gauge("guardian_lag_seconds", meaning="How late the guardian's last look began."),
)
METRIC_BY_NAME = {metric.name: metric for metric in METRICS}

_Key = tuple[str, tuple[tuple[str, str | int], ...]]


class PrometheusMetrics:
    """`clearance.telemetry.Metrics` over the declared metrics, in a registry of its own."""

    def __init__(self) -> None:
        # Otherwise each series has a second one with its birth time, which nothing reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left this one untyped
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self._collector_by_name = {metric.name: self._declared(metric) for metric in METRICS}
        # Finding a child by its labels costs more than moving it, so each set of labels is looked up once.
        self._move_by_key: dict[Kind, dict[_Key, Callable[[float], None]]] = {kind: {} for kind in Kind}
        self._incs = self._move_by_key[Kind.COUNTER]
        self._observes = self._move_by_key[Kind.HISTOGRAM]
        self._sets = self._move_by_key[Kind.GAUGE]

    def count(self, name: str, amount: float = 1, /, **labels: str | int) -> None:
        """Add to a counter.

        Raises:
            MetricError: No counter of this name and these labels is declared.
        """
        key = (name, tuple(labels.items()))
        (self._incs.get(key) or self._found(Kind.COUNTER, key))(amount)

    def observe(self, name: str, value: float, /, **labels: str | int) -> None:
        """Add one measurement to a histogram.

        Raises:
            MetricError: No histogram of this name and these labels is declared.
        """
        key = (name, tuple(labels.items()))
        (self._observes.get(key) or self._found(Kind.HISTOGRAM, key))(value)

    def gauge(self, name: str, value: float, /, **labels: str | int) -> None:
        """Set a gauge.

        Raises:
            MetricError: No gauge of this name and these labels is declared.
        """
        key = (name, tuple(labels.items()))
        (self._sets.get(key) or self._found(Kind.GAUGE, key))(value)

    def exposition(self) -> bytes:
        """Everything measured so far, as `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def serve(self, port: int) -> None:
        """Serve `/metrics` on loopback from a daemon thread: for a process without an HTTP server."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)

    def _declared(self, metric: Metric) -> Counter | Gauge | Histogram:
        name, text, labels = PREFIX + metric.name, metric.meaning, metric.labels
        if metric.kind is Kind.COUNTER:
            return Counter(name, text, labels, registry=self.registry)
        if metric.kind is Kind.GAUGE:
            return Gauge(name, text, labels, registry=self.registry)
        return Histogram(name, text, labels, buckets=metric.buckets, registry=self.registry)

    def _found(self, kind: Kind, key: _Key) -> Callable[[float], None]:
        name, items = key
        metric, labels = METRIC_BY_NAME.get(name), dict(items)
        if metric is None:
            raise MetricError(f"{name}: not declared in config/metrics.py")
        if metric.kind is not kind or set(labels) != set(metric.labels):
            raise MetricError(
                f"{name}: is a {metric.kind} by {metric.labels}, was used as a {kind} by {tuple(labels)}"
            )
        collector = self._collector_by_name[name]
        child = collector.labels(**labels) if labels else collector
        move: Callable[[float], None] = _MOVE[kind](child)
        self._move_by_key[kind][key] = move
        return move


_MOVE = {
    Kind.COUNTER: lambda child: child.inc,
    Kind.GAUGE: lambda child: child.set,
    Kind.HISTOGRAM: lambda child: child.observe,
}
