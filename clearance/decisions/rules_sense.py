"""Do the parts of a rules file fit together? Names that are used are declared, expressions compile, ids are unique.

In: the file's tables as they were read. What has not even the right type is passed over: `rules_schema` tells that.
Out: findings. A consequence of something that is told anyway is not told again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clearance.decisions.did_you_mean import did_you_mean, shown
from clearance.decisions.expression_hints import explained
from clearance.decisions.expression_patterns import broken_patterns
from clearance.decisions.expressions import (
    CHECK_VARIABLES,
    POLICY_VARIABLES,
    ExpressionError,
    Kind,
    compile_condition,
    is_usable_name,
)
from clearance.decisions.findings import Finding
from clearance.decisions.toml_lines import Path, TomlLines

_DECLARABLE = (Kind.STRING, Kind.INT, Kind.DOUBLE, Kind.BOOL)
# What other systems call them.
_KIND_BY_FOREIGN_WORD = {
    "str": Kind.STRING, "text": Kind.STRING, "varchar": Kind.STRING, "integer": Kind.INT, "long": Kind.INT,
    "float": Kind.DOUBLE, "number": Kind.DOUBLE, "decimal": Kind.DOUBLE, "boolean": Kind.BOOL,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """An expression of the file, and what it may use."""

    path: Path
    text: str
    kind_by_name: Mapping[str, Kind]


def declared(document: Mapping[str, Any]) -> dict[str, Kind]:
    """The attributes that are declared rightly."""
    return {
        name: Kind(kind)
        for name, kind in _attributes(document).items()
        if not _trouble_with_name(name) and _is_kind(kind)
    }


def findings_between(document: Mapping[str, Any], lines: TomlLines) -> Iterator[Finding]:
    """Everything that does not fit."""
    yield from _of_attributes(document)
    yield from _of_expressions(document)
    for kind in ("check", "policy"):
        yield from _of_ids(document, kind, lines)
    yield from _of_policies(document)
    yield from _of_told_attributes(document)


def tables(document: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The `[[check]]` or `[[policy]]` tables, with their positions."""
    found = document.get(kind)
    for position, table in enumerate(found if isinstance(found, list) else ()):
        if isinstance(table, Mapping):
            yield position, table


def _attributes(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found = document.get("attributes")
    return found if isinstance(found, Mapping) else {}


def _of_attributes(document: Mapping[str, Any]) -> Iterator[Finding]:
    for name, kind in _attributes(document).items():
        path = ("attributes", name)
        trouble = _trouble_with_name(name)
        if trouble:
            yield Finding(path=path, told=trouble)
        if not _is_kind(kind):
            expected = "must be " + ", ".join(f'"{each}"' for each in _DECLARABLE)
            yield Finding(path=path, told=expected + _kind_meant(kind))


def _is_kind(kind: object) -> bool:
    return isinstance(kind, str) and kind in _DECLARABLE


def _kind_meant(kind: object) -> str:
    if not isinstance(kind, str):
        return ""
    foreign = _KIND_BY_FOREIGN_WORD.get(kind.lower())
    return f": did you mean {shown(foreign)}?" if foreign else did_you_mean(kind, _DECLARABLE)


def _trouble_with_name(name: str) -> str:
    if name in CHECK_VARIABLES:
        return f"{shown(name)} is there already, for every check: give the attribute another name"
    if not is_usable_name(name):
        return (
            f"no expression can use the name {shown(name)}: it must be letters, digits and '_', begin with no"
            " digit and no '__', and be no word of CEL"
        )
    return ""


def _of_expressions(document: Mapping[str, Any]) -> Iterator[Finding]:
    for each in _texts(document):
        for error in _errors(each):
            told = _told(error, each, document)
            if told:
                yield Finding(path=each.path, told=told, line_in_value=error.line)


def _told(error: ExpressionError, each: _Text, document: Mapping[str, Any]) -> str:
    """Nothing for a name whose declaration is wrong: that is told there."""
    name = (error.undeclared or "").partition(".")[0]
    is_of_check = each.path[0] == "check"
    if is_of_check and name in _attributes(document):
        return ""
    if is_of_check and name in POLICY_VARIABLES:
        return f"{shown(name)} is known to the `applies` of policies only"
    if not is_of_check and (name in _attributes(document) or name in CHECK_VARIABLES):
        return f"{shown(name)} is known to checks only: a policy is chosen before there is a customer"
    return explained(error, each.text, each.kind_by_name)


def _texts(document: Mapping[str, Any]) -> Iterator[_Text]:
    names_of_checks = {**declared(document), **CHECK_VARIABLES}
    for kind, key, kind_by_name in (
        ("check", "cel", names_of_checks),
        ("policy", "applies", POLICY_VARIABLES),
    ):
        for position, table in tables(document, kind):
            text = table.get(key)
            if isinstance(text, str) and text.strip():
                yield _Text(path=(kind, position, key), text=text, kind_by_name=kind_by_name)


def _errors(each: _Text) -> Iterator[ExpressionError]:
    try:
        compile_condition(each.text, each.kind_by_name)
    except ExpressionError as error:
        yield error
        yield from error.further
    else:
        yield from broken_patterns(each.text)


def _of_ids(document: Mapping[str, Any], kind: str, lines: TomlLines) -> Iterator[Finding]:
    first_by_id: dict[str, Path] = {}
    for position, table in tables(document, kind):
        path: Path = (kind, position, "id")
        name = table.get("id")
        first = first_by_id.setdefault(name, path) if isinstance(name, str) else path
        if first != path:
            line = lines.line(first)
            where = "" if line is None else f", first on line {line}"
            yield Finding(path=path, told=f"two are called so{where}")


def _of_policies(document: Mapping[str, Any]) -> Iterator[Finding]:
    ids = dict.fromkeys(
        table["id"] for _, table in tables(document, "check") if isinstance(table.get("id"), str)
    )
    for position, table in tables(document, "policy"):
        checks = table.get("checks")
        if not isinstance(checks, list):
            continue
        path = ("policy", position, "checks")
        if not checks:
            yield Finding(path=path, told="names no check: it would approve everybody")
        for name in dict.fromkeys(each for each in checks if isinstance(each, str)):
            if name not in ids:
                yield Finding(path=path, told=f"there is no check {shown(name)}{did_you_mean(name, ids)}")


def _of_told_attributes(document: Mapping[str, Any]) -> Iterator[Finding]:
    attributes = _attributes(document)
    for position, table in tables(document, "check"):
        http = table.get("http")
        told = http.get("attributes") if isinstance(http, Mapping) else None
        for name in (
            dict.fromkeys(each for each in told if isinstance(each, str)) if isinstance(told, list) else ()
        ):
            if name not in attributes:
                yield Finding(
                    path=("check", position, "http", "attributes"),
                    told=f"{shown(name)} is not declared{did_you_mean(name, attributes)}",
                )
