"""The only way to move a metric, and how a process shows what it has measured.

In: `count`, `observe` and `gauge` by name; the port is `clearance.telemetry.Metrics`, and wiring connects the
two. Out: the Prometheus text format, from ingest's `/metrics` or from `serve`. What there is to move:
`config/metric_registry.py`.
"""

from collections.abc import Callable

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
from prometheus_client.multiprocess import MultiProcessCollector

from config.metric_registry import METRIC_BY_NAME, METRICS, PREFIX, Kind, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricError(Exception):
    """A metric that nobody declared, or one used in another way or with other labels: a bug."""


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

    def serve(self, port: int, host: str = "127.0.0.1", *, shared: str = "") -> None:
        """Serve `/metrics` from a daemon thread: for a process without an HTTP server.

        Args:
            shared: The directory where this process and its children count, when there are children.

        Raises:
            OSError: The port is taken, or the address is not this machine's.
        """
        start_http_server(port, addr=host, registry=_added_up(shared) if shared else self.registry)

    def _declared(self, metric: Metric) -> Counter | Gauge | Histogram:
        name, text, labels = PREFIX + metric.name, metric.meaning, metric.labels
        if metric.kind is Kind.COUNTER:
            return Counter(name, text, labels, registry=self.registry)
        if metric.kind is Kind.GAUGE:
            # The mode is for processes that share a directory: levels do not add up.
            return Gauge(name, text, labels, registry=self.registry, multiprocess_mode="mostrecent")
        return Histogram(name, text, labels, buckets=metric.buckets, registry=self.registry)

    def _found(self, kind: Kind, key: _Key) -> Callable[[float], None]:
        name, items = key
        metric, labels = METRIC_BY_NAME.get(name), dict(items)
        if metric is None:
            raise MetricError(f"{name}: not declared in config/metric_registry.py")
        if metric.kind is not kind or set(labels) != set(metric.labels):
            raise MetricError(
                f"{name}: is a {metric.kind} by {metric.labels}, was used as a {kind} by {tuple(labels)}"
            )
        collector = self._collector_by_name[name]
        child = collector.labels(**labels) if labels else collector
        move: Callable[[float], None] = _MOVE[kind](child)
        self._move_by_key[kind][key] = move
        return move


def _added_up(directory: str) -> CollectorRegistry:
    """What all processes counted that share a directory, and what this one uses of its machine."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]  # the library left this one untyped
    return registry


_MOVE = {
    Kind.COUNTER: lambda child: child.inc,
    Kind.GAUGE: lambda child: child.set,
    Kind.HISTOGRAM: lambda child: child.observe,
}
