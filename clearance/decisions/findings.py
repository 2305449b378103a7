"""What is wrong at which key of a rules file, before lines come into it?

In: findings by path, marshmallow's messages among them. Out: `Problem`s in the order of the file, each with the name of
what it is about in front.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clearance.decisions.did_you_mean import shown
from clearance.decisions.rules import Problem
from clearance.decisions.toml_lines import Path, TomlLines

_SELF = "_schema"  # where marshmallow keeps what is wrong with a table as a whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to tell about a key. `line_in_value` is for a text of several lines."""

    path: Path
    told: str
    line_in_value: int | None = None


def findings_in(messages: object, path: Path = ()) -> Iterator[Finding]:
    """Marshmallow's messages, which follow the shape of the tables."""
    if isinstance(messages, Mapping):
        for key, each in messages.items():
            yield from findings_in(each, path if key == _SELF else (*path, key))
    elif isinstance(messages, list):
        for each in messages:
            yield from findings_in(each, path)
    else:
        yield Finding(path=path, told=str(messages))


def problems_from(
    findings: Iterable[Finding], document: Mapping[str, Any], lines: TomlLines, source: str
) -> tuple[Problem, ...]:
    """The findings as problems, in the order of the file; at the end what has no line."""
    problems = dict.fromkeys(
        Problem(
            source=source,
            line=lines.line(finding.path, finding.line_in_value),
            told=": ".join([*_about(finding.path, document), finding.told]),
        )
        for finding in findings
    )
    return tuple(sorted(problems, key=lambda each: (each.line is None, each.line or 0)))


def _about(path: Path, document: Mapping[str, Any]) -> Iterator[str]:
    """What a path names: the table as its author calls it, and the key."""
    names = [str(part) for part in path]
    if len(path) > 1 and isinstance(path[1], int):
        table = document[str(path[0])][path[1]]
        name = table.get("id") if isinstance(table, Mapping) else None
        yield f"{path[0]} {shown(name) if isinstance(name, str) and name else path[1] + 1}"
        names = names[2:]
    if names:
        yield ".".join(
            name if name.isprintable() and len(name) <= 64 else shown(name)[1:-1] for name in names
        )
