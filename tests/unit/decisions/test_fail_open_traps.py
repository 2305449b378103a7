"""The fail-open traps: ways in which other engines, or careless rules, approve somebody whom nobody approved.

| trap | what must come out |
|---|---|
| a value that expressions negate or put beside `true` is missing | MISSING, not approved |
| text, null, NaN or a number too large where a number belongs | MALFORMED or MISSING, not approved |
| garbage where `when_missing = "approve"` | MALFORMED, not approved: garbage is not absence |
| loops of 27 million steps, `(a+)+$` | ERROR or the plain answer, in bounded time |
| a typo, a wrong kind, 20,000 parentheses | the rules are refused |
| outside checks that nobody asked, a policy that cannot tell | NOT_ASKED, ERROR, not approved |

Those of `http` checks are in `tests/unit/checks`.
"""

import time
from dataclasses import dataclass, field

import pytest

from clearance.decisions.decision import Campaign
from clearance.decisions.engine import Engine
from clearance.decisions.rules import RulesError
from clearance.decisions.rules_file import load_rules
from tests.fakes.rules import CAMPAIGN, customer

# Nothing here may take long. Far above what it takes, far below what an unbounded evaluation would.
_LONGEST_S = 5.0
_THREE_HUNDRED = f"[{', '.join(map(str, range(300)))}]"
_27_M_STEPS = (
    f"{_THREE_HUNDRED}.all(a, {_THREE_HUNDRED}.all(b, {_THREE_HUNDRED}.all(c, a + b + c + age > 0)))"
)


@dataclass(frozen=True, kw_only=True)
class Trap:
    """One expression, one customer, and the reasons that must come out."""

    cel: str
    attributes: dict[str, object] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    more: str = ""


_TRAPS = {
    "a missing value under !": Trap(cel="!excluded", reasons=("MISSING:excluded",)),
    "null under !": Trap(cel="!excluded", attributes={"excluded": None}, reasons=("MISSING:excluded",)),
    "true || missing": Trap(cel="true || excluded", reasons=("MISSING:excluded",)),
    "missing in the branch that is not taken": Trap(
        cel="true ? true : excluded", reasons=("MISSING:excluded",)
    ),
    "missing, compared to be different": Trap(cel='country != "DE"', reasons=("MISSING:country",)),
    "missing, not in a list": Trap(cel='!(country in ["FR"])', reasons=("MISSING:country",)),
    "several missing: each is told": Trap(
        cel='excluded || age > 18 || country == "DE"',
        attributes={"deposits": 1.0},
        reasons=("MISSING:age", "MISSING:country", "MISSING:excluded"),
    ),
    "a key in other letters": Trap(
        cel="!excluded", attributes={"Excluded": False, "excluded ": False}, reasons=("MISSING:excluded",)
    ),
    "text where a number belongs": Trap(
        cel="age >= 18", attributes={"age": "forty"}, reasons=("MALFORMED:age",)
    ),
    "a number with a space": Trap(cel="age >= 18", attributes={"age": " 40"}, reasons=("MALFORMED:age",)),
    "empty text for a number": Trap(cel="age < 18", attributes={"age": ""}, reasons=("MALFORMED:age",)),
    "true for a number": Trap(cel="age >= 1", attributes={"age": True}, reasons=("MALFORMED:age",)),
    "0 for false": Trap(cel="!excluded", attributes={"excluded": 0}, reasons=("MALFORMED:excluded",)),
    "empty text for false": Trap(
        cel="!excluded", attributes={"excluded": ""}, reasons=("MALFORMED:excluded",)
    ),
    "False as Python writes it": Trap(
        cel="!excluded", attributes={"excluded": "False"}, reasons=("MALFORMED:excluded",)
    ),
    "null where a number belongs": Trap(cel="age < 100", attributes={"age": None}, reasons=("MISSING:age",)),
    "NaN under !": Trap(
        cel="!(deposits < 50.0)", attributes={"deposits": float("nan")}, reasons=("MALFORMED:deposits",)
    ),
    "NaN as text": Trap(
        cel="deposits != 0.0", attributes={"deposits": "NaN"}, reasons=("MALFORMED:deposits",)
    ),
    "infinite deposits": Trap(
        cel="deposits >= 50.0", attributes={"deposits": float("inf")}, reasons=("MALFORMED:deposits",)
    ),
    "more than a double can hold, as text": Trap(
        cel="deposits >= 50.0", attributes={"deposits": "1e999"}, reasons=("MALFORMED:deposits",)
    ),
    "a huge whole number": Trap(cel="age >= 18", attributes={"age": 10**400}, reasons=("MALFORMED:age",)),
    "a huge whole number as text": Trap(
        cel="age >= 18", attributes={"age": "9" * 100_000}, reasons=("MALFORMED:age",)
    ),
    "one more than 64 bits": Trap(cel="age >= 18", attributes={"age": 2**63}, reasons=("MALFORMED:age",)),
    "a sum beyond 64 bits": Trap(
        cel="age + 1 > 0 || age < 0", attributes={"age": 2**63 - 1}, reasons=("ERROR:asked",)
    ),
    "division by zero": Trap(cel="!(100 / age > 5)", attributes={"age": 0}, reasons=("ERROR:asked",)),
    "text that is no Unicode": Trap(
        cel='country != "FR"', attributes={"country": "\ud800"}, reasons=("MALFORMED:country",)
    ),
    "a list where a text belongs": Trap(
        cel='country != "FR"', attributes={"country": ["DE"]}, reasons=("MALFORMED:country",)
    ),
    "27 million steps": Trap(cel=_27_M_STEPS, attributes={"age": 1}, reasons=("ERROR:asked",)),
    "(a+)+$": Trap(
        cel='country.matches("^(a+)+$")', attributes={"country": "a" * 100_000 + "!"}, reasons=("NO",)
    ),
    "missing may pass, garbage may not": Trap(
        cel="age < 100",
        attributes={"age": "garbage"},
        reasons=("MALFORMED:age",),
        more='when_missing = "approve"',
    ),
    "missing may pass, garbage beside it may not": Trap(
        cel="age < 100 && !excluded",
        attributes={"excluded": "garbage"},
        reasons=("MISSING:age", "MALFORMED:excluded"),
        more='when_missing = "approve"',
    ),
}
_REFUSED = {
    "a typo in an attribute": ("!exluded", "did you mean `excluded`"),
    "text compared with a number": ('age >= "18"', "does not fit"),
    "no truth value": ("age", "must be true or false"),
    "20,000 parentheses": ("(" * 20_000 + "age > 18" + ")" * 20_000, "recursion limit"),
    "an expression of 200,000 letters": (" && ".join(["age > 18"] * 20_000), "size"),
    "a number that is too large": ("age < 99999999999999999999", "int literal"),
    "nothing": ("", "cel"),
}


def _text(expression: str, *, more: str = "", check: str | None = None, applies: str = "true") -> str:
    return f"""
[attributes]
age = "int"
deposits = "double"
country = "string"
excluded = "bool"
[[check]]
id = "asked"
reason = "NO"
{more}
{check or f"cel = '''{expression}'''"}
[[check]]
id = "anybody"
reason = "NEVER"
cel = "true"
[[policy]]
id = "strict"
applies = '''{applies}'''
checks = ["asked"]
[[policy]]
id = "lax"
applies = "true"
checks = ["anybody"]
"""


def _engine(text: str) -> Engine:
    return Engine(load_rules(text, source="rules.toml"))


@pytest.mark.parametrize("trap", _TRAPS.values(), ids=_TRAPS.keys())
def test_nobody_is_approved_by_a_trap(trap: Trap) -> None:
    engine = _engine(_text(trap.cel, more=trap.more))
    started = time.monotonic()

    decision = engine.decide(CAMPAIGN, customer(**trap.attributes))
    among = engine.decide_many(CAMPAIGN, [customer(), customer(**trap.attributes), customer()])

    assert time.monotonic() - started < _LONGEST_S
    assert (decision.approved, decision.reasons) == (False, trap.reasons)
    assert among[1] == decision


@pytest.mark.parametrize(("expression", "told"), _REFUSED.values(), ids=_REFUSED.keys())
def test_rules_that_cannot_be_meant_are_refused(expression: str, told: str) -> None:
    started = time.monotonic()

    with pytest.raises(RulesError, match=told):
        load_rules(_text(expression), source="rules.toml")

    assert time.monotonic() - started < _LONGEST_S


@pytest.mark.parametrize(
    "check", ['suppression = "customers"', 'python = "own"', '[check.http]\nurl = "http://x/"']
)
def test_an_outside_check_that_nobody_asked_approves_nobody(check: str) -> None:
    decision = _engine(_text("", check=check)).decide(CAMPAIGN, customer(), {})

    assert (decision.approved, decision.reasons) == (False, ("NOT_ASKED:asked",))


def test_a_policy_that_cannot_tell_whether_it_applies_does_not_give_way_to_a_laxer_one() -> None:
    engine = _engine(_text("true", applies='tags[0] == "bonus"'))

    decision = engine.decide(Campaign(lane="send_group", tags=()), customer())

    assert (decision.approved, decision.reasons) == (False, ("ERROR:strict",))


def test_no_policy_approves_nobody_unless_the_rules_say_so() -> None:
    text = _text("true").replace('applies = "true"', 'applies = "false"')
    text = text.replace("applies = '''true'''", "applies = 'false'")

    refused = _engine(text).decide(CAMPAIGN, customer())
    approved = _engine(f'[defaults]\nno_policy = "approve"\n{text}').decide(CAMPAIGN, customer())

    assert (refused.approved, refused.reasons) == (False, ("NO_POLICY",))
    assert (approved.approved, approved.reasons) == (True, ("NO_POLICY",))
