"""How the domain counts: a port that wiring connects to the metric registry.

In: the name of a metric that `config/metric_registry.py` declares, without the prefix `clearance_`, and exactly its
labels. An unlisted name or a wrong set of labels raises at the first call; a test reads every call in the
product and holds it to the registry, so that none is left to find in production.
"""

from typing import Protocol

Label = str | int
"""A label has few values: a code, a route, a status. Never an id, a customer or an address."""


class Metrics(Protocol):
    """Counts, distributions and levels. Safe from any thread, and cheap: about a microsecond a call."""

    def count(self, name: str, amount: float = 1, /, **labels: Label) -> None:
        """Add `amount`, not negative, to a counter."""

    def observe(self, name: str, value: float, /, **labels: Label) -> None:
        """Add one measurement to a histogram, in base units: seconds, bytes, items."""

    def gauge(self, name: str, value: float, /, **labels: Label) -> None:
        """Set the present level of a gauge."""


class NoMetrics:
    """Counts nothing: for one-off commands, and for tests that are about something else."""

    def count(self, name: str, amount: float = 1, /, **labels: Label) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, /, **labels: Label) -> None:
        """Do nothing."""

    def gauge(self, name: str, value: float, /, **labels: Label) -> None:
        """Do nothing."""
