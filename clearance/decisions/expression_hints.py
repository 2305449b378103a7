"""What was probably meant by an expression that does not compile?

In: the expression, the names that it may use, and what the engine says. Out: one line for an operator, which says what
is wrong, where in the expression, and how it may be written instead. Hints are guesses from the text next to the place
that the engine names; without a good one there is none.
"""

import re
from collections.abc import Mapping

from clearance.decisions.did_you_mean import did_you_mean, nearest, shown
from clearance.decisions.expressions import ExpressionError, Kind

_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_SYNTAX = re.compile(r"Syntax error: (?:extraneous|mismatched) input '(.*?)' expecting")
_MISSING = re.compile(r"Syntax error: missing '(.*?)' at ")
_UNREADABLE = re.compile(r"Syntax error: token recognition error at: '(.)", re.DOTALL)
_LITERAL = r"-?[0-9]+\.[0-9]+|-?[0-9]+|\"[^\"\\]*\"|'[^'\\]*'|true\b|false\b"
_NAME_BEFORE = re.compile(r"(?:^|[^\w.])([A-Za-z_]\w*)\s*$")
_NAME_AFTER = re.compile(r"\s*([A-Za-z_]\w*)\s*(?![\w.(\[])")
_LITERAL_BEFORE = re.compile(rf"(?:^|[^\w.])({_LITERAL})\s*$")
_LITERAL_AFTER = re.compile(rf"\s*({_LITERAL})\s*(?![\w.(\[])")
_WHOLE = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")

# What other languages write.
_FOREIGN = {
    "and": "write &&",
    "or": "write ||",
    "not": "write !",
    "is": "write ==",
    "=": "write ==",
    "<>": "write !=",
    "===": "write ==",
    "None": "an absent attribute is decided by when_missing",
    "NULL": "an absent attribute is decided by when_missing",
    "True": "write true",
    "False": "write false",
    "&": "write &&",
    "|": "write ||",
    "“": "write straight quotes",
    "”": "write straight quotes",
    "„": "write straight quotes",
}
_FUNCTIONS = (
    "all", "bool", "contains", "double", "duration", "endsWith", "exists", "exists_one", "filter", "has", "int", "map",
    "matches", "size", "startsWith", "string", "timestamp",
)  # fmt: skip


def explained(error: ExpressionError, text: str, kind_by_name: Mapping[str, Kind]) -> str:
    """What is wrong with this expression, in one line."""
    line = _line(text, error.line)
    before, after = line[: (error.column or 1) - 1], line[(error.column or 1) - 1 :]
    place = "" if error.column is None else f" (column {error.column})"
    overload = _OVERLOAD.match(error.told)
    if error.undeclared is not None:
        told, hint = _of_undeclared(error.undeclared, after, kind_by_name)
    elif overload:
        told, hint = _of_overload(overload[1], overload[2].split(", "), before, after, kind_by_name)
    else:
        told, hint = _of_syntax(error.told, before)
    return f"{told}{place}{hint}"


def _line(text: str, number: int | None) -> str:
    lines = text.split("\n")
    return lines[number - 1] if number is not None and number <= len(lines) else ""


def _of_syntax(told: str, before: str) -> tuple[str, str]:
    missing = _MISSING.match(told)
    if missing:
        return f"{shown(missing[1])} is missing", ""
    found = _SYNTAX.match(told) or _UNREADABLE.match(told)
    if not found:
        return told.removeprefix("Syntax error: "), ""
    word = found[1]
    if word == "<EOF>":
        return "the expression ends too early", ""
    last = (before.split() or [""])[-1]
    hint = _FOREIGN.get(last + word) or _FOREIGN.get(word) or _FOREIGN.get(last)
    if not hint and word in "\"'":
        hint = "a quote is not closed, or a backslash is not doubled"
    return f"{shown(word)} does not fit here", f": {hint}" if hint else ""


def _of_undeclared(name: str, after: str, kind_by_name: Mapping[str, Kind]) -> tuple[str, str]:
    if after.startswith("("):
        return f"there is no function {shown(name)}", did_you_mean(name, _FUNCTIONS)
    if name in _FOREIGN:
        return f"{shown(name)} is not declared", f": {_FOREIGN[name]}"
    first = name.partition(".")[0]
    if first != name and nearest(first, kind_by_name) is None:
        return f"{shown(name)} is not declared", ": attributes are written without a prefix"
    return f"{shown(first)} is not declared", did_you_mean(first, kind_by_name)


def _of_overload(
    function: str, kinds: list[str], before: str, after: str, kind_by_name: Mapping[str, Kind]
) -> tuple[str, str]:
    operator = "? :" if function == "_?_:_" else function.strip("_@")
    hint = _of_comparison(operator, before, after, kind_by_name)
    if not hint and set(kinds) == {"int", "double"}:
        hint = "convert the int: double(...)"
    return f"`{operator}` does not fit {' and '.join(kinds)}", f": {hint}" if hint else ""


def _of_comparison(operator: str, before: str, after: str, kind_by_name: Mapping[str, Kind]) -> str:
    """For an attribute that is compared with a literal of another kind."""
    if not after.startswith(operator):
        return ""
    after = after[len(operator) :]
    for name, literal in (
        (_NAME_BEFORE.search(before), _LITERAL_AFTER.match(after)),
        (_NAME_AFTER.match(after), _LITERAL_BEFORE.search(before)),
    ):
        if name and literal and name[1] in kind_by_name:
            return _instead(name[1], kind_by_name[name[1]], literal[1])
    return ""


def _instead(name: str, kind: Kind, literal: str) -> str:
    bare = literal.strip("\"'")
    is_quoted = bare != literal
    if kind is Kind.STRING and not is_quoted:
        return f'{name} is string: write "{literal}"'
    if kind is Kind.INT and _NUMBER.fullmatch(bare):
        whole, _, rest = bare.partition(".")
        either = f"write {whole}" if not rest.strip("0") else "write a whole number"
        other = "string" if is_quoted else "double"
        return f"{name} is int: {either}, or declare it {other}"
    if kind is Kind.DOUBLE and _NUMBER.fullmatch(bare):
        return f"{name} is double: write {bare + '.0' if _WHOLE.fullmatch(bare) else bare}"
    if kind is Kind.BOOL:
        return f"{name} is bool: write {name} or !{name}"
    if kind is Kind.STRINGS and is_quoted:
        return f"{name} is a list: write {literal} in {name}"
    return f"{name} is {kind}"
