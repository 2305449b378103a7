"""Can these rules be used? Reads a rules file, or tells everything that is wrong with it, at once.

In: the text of a file (TOML; docs/rules.md). Out: `Rules` whose expressions compile, whose names are all declared and
whose values are all in range; or `RulesError`. Whatever the text is, nothing else is raised. Nothing outside of the
text is looked at: `env:NAME` is resolved where it is used.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import ValidationError

from clearance.decisions.did_you_mean import shown
from clearance.decisions.findings import Finding, findings_in, problems_from
from clearance.decisions.rules import Check, Policy, Problem, Rules, RulesError
from clearance.decisions.rules_schema import Frame, FrameSchema, PolicySchema, load_check
from clearance.decisions.rules_sense import declared, findings_between, tables
from clearance.decisions.rules_version import version_of
from clearance.decisions.rules_warnings import warnings_about
from clearance.decisions.toml_lines import TomlLines

MAX_BYTES = 1024 * 1024  # a hundred times what rules for a large operator take

_BYTE_ORDER_MARK = "\ufeff"  # some editors put it in front of any file
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def load_rules(text: str, *, source: str) -> Rules:
    """The rules that a file states.

    Args:
        source: What to call the file in problems: its path.

    Raises:
        RulesError: Everything that is wrong with it. Rules that are in force stay so.
    """
    toml = text.removeprefix(_BYTE_ORDER_MARK)
    document = _document(toml, source)
    lines = TomlLines(toml)
    frame, checks, policies, findings = _values(document)
    findings += findings_between(document, lines)
    if findings:
        raise RulesError(problems_from(findings, document, lines, source))
    rules = Rules(
        version="",
        text=text,
        kind_by_attribute=declared(document),
        no_policy=frame.no_policy,
        check_by_id={check.id: check for check in checks},
        policies=tuple(policies),
        record_inputs=frame.record_inputs,
    )
    return replace(
        rules,
        version=version_of(rules),
        warnings=problems_from(warnings_about(rules), document, lines, source),
    )


def _document(text: str, source: str) -> Mapping[str, Any]:
    """What the TOML says.

    Raises:
        RulesError: The first thing that is no TOML; what comes after it cannot be told.
    """

    def refused(told: str, line: int | None = None) -> RulesError:
        return RulesError((Problem(source=source, line=line, told=told),))

    try:
        body_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise refused("is no Unicode text") from None
    if body_bytes > MAX_BYTES:
        raise refused(f"is too large: {body_bytes:,} bytes of at most {MAX_BYTES:,}")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, told = _told(str(error), text)
        raise refused(told, line) from None
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise refused("holds a number that is too long") from None
    except RecursionError:
        raise refused("is nested too deeply") from None
    if not document:
        raise refused("is empty: there is nothing to decide by")
    return document


def _told(message: str, text: str) -> tuple[int | None, str]:
    """The parser's message: its line, and what it says."""
    found = _PLACE.fullmatch(message)
    if found is None:
        return None, message
    last = len(text.rstrip("\n").split("\n"))
    line, place = (int(found[2]), f" (column {found[3]})") if found[2] else (last, " (at the end)")
    if found[1].startswith("Cannot "):
        for spot in TomlLines(text).twice:
            if spot.line <= line <= spot.line + spot.value.count("\n"):
                name = ".".join(str(part) for part in spot.path)
                return spot.line, f"{shown(name)} stands twice, first on line {spot.twice_of}"
    return line, f"no TOML: {found[1]}{place}"


def _values(document: Mapping[str, Any]) -> tuple[Frame, list[Check], list[Policy], list[Finding]]:
    """The values of all tables that are right by themselves, and what is wrong with the others."""
    findings: list[Finding] = []
    frame = Frame()
    checks: list[Check] = []
    policies: list[Policy] = []
    try:
        frame = FrameSchema().load(document)
    except ValidationError as error:
        findings += findings_in(error.messages)
    for position, table in tables(document, "check"):
        try:
            checks.append(load_check(table, frame.missing_attribute))
        except ValidationError as error:
            findings += findings_in(error.messages, ("check", position))
    schema = PolicySchema()
    for position, table in tables(document, "policy"):
        try:
            policies.append(schema.load(table))
        except ValidationError as error:
            findings += findings_in(error.messages, ("policy", position))
    return frame, checks, policies, findings
