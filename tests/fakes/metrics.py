"""Metrics that remember: every movement is checked against the declared registry, and can be asked for."""

from collections import Counter
from threading import Lock

from config.metric_registry import METRIC_BY_NAME, Kind

Key = tuple[str, frozenset[tuple[str, str]]]


class RecordingMetrics:
    """A `clearance.telemetry.Metrics`: an undeclared name, kind or set of labels fails the test."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()
        self._observed: dict[Key, list[float]] = {}
        self._levels: dict[Key, float] = {}
        self._lock = Lock()

    def count(self, name: str, amount: float = 1, /, **labels: str | int) -> None:
        key = _key(Kind.COUNTER, name, labels)
        with self._lock:
            self._counts[key] += amount

    def observe(self, name: str, value: float, /, **labels: str | int) -> None:
        key = _key(Kind.HISTOGRAM, name, labels)
        with self._lock:
            self._observed.setdefault(key, []).append(value)

    def gauge(self, name: str, value: float, /, **labels: str | int) -> None:
        self._levels[_key(Kind.GAUGE, name, labels)] = value

    def counted(self, name: str, **labels: str | int) -> float:
        """How far the counter with exactly these labels has come."""
        return self._counts[_key(Kind.COUNTER, name, labels)]

    def observed(self, name: str, **labels: str | int) -> list[float]:
        """What was measured under exactly these labels, in order."""
        return self._observed.get(_key(Kind.HISTOGRAM, name, labels), [])

    def level(self, name: str, **labels: str | int) -> float:
        """The last level of the gauge with exactly these labels."""
        return self._levels[_key(Kind.GAUGE, name, labels)]


def _key(kind: Kind, name: str, labels: dict[str, str | int]) -> Key:
    metric = METRIC_BY_NAME[name]
    assert metric.kind is kind, f"{name} is a {metric.kind}, used as a {kind}"
    assert set(labels) == set(metric.labels), (
        f"{name} has the labels {metric.labels}, was given {set(labels)}"
    )
    return name, frozenset((label, str(value)) for label, value in labels.items())
