"""What an operator's rules are, once they have been read: declared attributes, checks, policies.

In: nothing; `rules_file.load_rules` makes them. Out: frozen values that the engine and the checks work from. Nothing
in here decides anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from clearance.decisions.expressions import Kind

# A check's reason and what an internal system answers: what a person can read in a table, and nobody's name.
REASON_PATTERN = r"[A-Z][A-Z0-9_]{0,63}"


class Otherwise(StrEnum):
    """What counts when a question has no answer."""

    REJECT = "reject"
    APPROVE = "approve"


class AskWhen(StrEnum):
    """For which customers an `http` check is asked: all, or those that every other check has approved."""

    ALWAYS = "always"
    OTHERS_APPROVE = "others_approve"


@dataclass(frozen=True, slots=True, kw_only=True)
class CelCheck:
    """An expression over declared attributes that must be true."""

    id: str
    reason: str
    expression: str
    when_missing: Otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """A question to an internal system. Protocol: `samples/http-check.json`, docs/rules.md.

    Attributes:
        url: As written: `http(s)://...`, or `env:NAME` for the value of that environment variable.
        header_by_name: Values as written: text, or `env:NAME`.
        attributes: Which declared attributes are told; None for all that the customer has.
    """

    id: str
    reason: str
    url: str
    batch: int = 200
    timeout_s: float = 2.0
    on_error: Otherwise = Otherwise.REJECT
    header_by_name: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] | None = None
    ask_when: AskWhen = AskWhen.ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionCheck:
    """Not approved is who stands on this list of the ledger."""

    id: str
    reason: str
    list_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonCheck:
    """A function of the operator's, by its name among the entry points `clearance.checks`."""

    id: str
    reason: str
    entry_point: str
    options: Mapping[str, object] = field(default_factory=dict)
    on_error: Otherwise = Otherwise.REJECT


OutsideCheck = HttpCheck | SuppressionCheck | PythonCheck
Check = CelCheck | OutsideCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """For which campaigns which checks: `applies` is an expression over the campaign."""

    id: str
    applies: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A set of rules that was found right.

    Attributes:
        version: Hash of the normalised content: comments, order of keys and white space do not change it.
        text: The file, as it was read.
        kind_by_attribute: The declared attributes.
        record_inputs: Whether what a decision was made from is kept in the ledger, under retention.
        warnings: What is allowed but hardly meant.
    """

    version: str
    text: str
    kind_by_attribute: Mapping[str, Kind]
    no_policy: Otherwise
    check_by_id: Mapping[str, Check]
    policies: tuple[Policy, ...]
    record_inputs: bool = False
    warnings: tuple["Problem", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a rules file that cannot be meant. `line` is None where it is not known."""

    source: str
    line: int | None
    told: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.told}"


class RulesError(Exception):
    """A rules file that cannot be used. `problems` is everything that is wrong with it, in the file's order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
