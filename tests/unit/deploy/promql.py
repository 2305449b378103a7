"""What does a PromQL expression ask for? Enough of the language to hold names and labels to the registry.

Whether it is well-formed, promtool says.
"""

import re
from collections.abc import Iterator

from config.metric_registry import METRIC_BY_NAME, PREFIX, Kind

# Of Prometheus itself, of the process collector, and by `deploy/prometheus/prometheus.yml`.
_TARGET_LABELS = frozenset({"job", "instance", "process"})
_NOT_OURS = frozenset({"up", "process_cpu_seconds_total", "process_resident_memory_bytes"})
_SELECTOR = re.compile(r"(?<![\w\"])(clearance_\w+|up|process_\w+)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\bby\s*\(([^)]*)\)\s*\(")
_MATCHED = re.compile(r"\b(?:on|ignoring)\s*\(([^)]*)\)")


def problems(expression: str) -> list[str]:
    """Metrics that nobody measures, and labels that they do not have."""
    found = [f"{name}: {wrong}" for name, labels in _selectors(expression) for wrong in _wrong(name, labels)]
    for match in _GROUPED.finditer(expression):
        body = _balanced(expression, match.end())
        grouped = _names(match[1])
        for name, _ in _selectors(body):
            found += [f"{name}: has no {label}" for label in sorted(grouped - labels_of(name))]
    for match in _MATCHED.finditer(expression):
        found += [f"nothing has {label}" for label in sorted(_names(match[1]) - labels(expression))]
    return found


def labels(expression: str) -> set[str]:
    """All labels of all that is asked for."""
    return {label for name, _ in _selectors(expression) for label in labels_of(name)}


def metrics(expression: str) -> set[str]:
    """The metrics of ours that are asked for, by the names of the registry."""
    return {_declared(name) for name, _ in _selectors(expression) if name.startswith(PREFIX)}


def labels_of(name: str) -> set[str]:
    """The labels of a series as Prometheus has it."""
    metric = METRIC_BY_NAME.get(_declared(name))
    own = set(metric.labels) if metric else set()
    return own | _TARGET_LABELS | ({"le"} if name.endswith("_bucket") else set())


def _wrong(name: str, used: set[str]) -> Iterator[str]:
    if name in _NOT_OURS:
        return
    metric = METRIC_BY_NAME.get(_declared(name))
    if metric is None:
        yield "is not declared"
        return
    is_part = name != PREFIX + metric.name
    if is_part is not (metric.kind is Kind.HISTOGRAM):
        yield f"is a {metric.kind}"
    yield from (f"has no {label}" for label in sorted(used - labels_of(name)))


def _declared(name: str) -> str:
    bare = name.removeprefix(PREFIX)
    if bare in METRIC_BY_NAME:
        return bare
    return re.sub(r"_(bucket|sum|count)$", "", bare)


def _selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    for match in _SELECTOR.finditer(expression):
        yield match[1], set(_MATCHER.findall(match[2] or ""))


def _names(listed: str) -> set[str]:
    return {name.strip() for name in listed.split(",") if name.strip()}


def _balanced(expression: str, begin: int) -> str:
    depth = 1
    for position in range(begin, len(expression)):
        depth += {"(": 1, ")": -1}.get(expression[position], 0)
        if depth == 0:
            return expression[begin:position]
    raise AssertionError(f"a parenthesis is not closed: {expression}")
