"""Rule sets made up at random, together with what plain Python says of them.

A `Made` expression has its text and a predicate of its own, written without the engine: true, false, or None where the
language says that it is an error. `&&` and `||` take an error for granted where the other side settles it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from clearance.decisions.decision import Customer, Decision
from clearance.decisions.expressions import Kind
from clearance.decisions.rules import CelCheck, Otherwise, Rules
from tests.fakes.rules import cel, rules

ATTRIBUTES = {
    "age": Kind.INT,
    "visits": Kind.INT,
    "deposits": Kind.DOUBLE,
    "country": Kind.STRING,
    "tier": Kind.STRING,
    "excluded": Kind.BOOL,
    "verified": Kind.BOOL,
}
# Texts that look like names, operators, comments and ends of literals.
_TEXTS = ("DE", "AT", "age", "deposits > 1.0", "// country", ")", "'", '"', "\\", "\n", "é", "[0]", "")
_INTS = (-(2**63), -7, -1, 0, 1, 2, 18, 50, 2**63 - 1)
_DOUBLES = (-1.5, 0.0, 49.99, 50.0, 1e300)

Values = Mapping[str, object]


@dataclass(frozen=True)
class Made:
    """An expression and what it means: a truth value, or within another a number; None where that is an error."""

    text: str
    means: Callable[[Values], Any]
    names: frozenset[str]


def quoted(text: str) -> str:
    """As a literal of the language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _within(number: int | None) -> int | None:
    return number if number is not None and -(2**63) <= number < 2**63 else None


def _divided(left: int | None, right: int | None) -> int | None:
    if left is None or right is None or right == 0:
        return None
    return _within(abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1))


def _added(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else _within(left + right)


@st.composite
def _numbers(draw: st.DrawFn) -> Made:
    name = draw(st.sampled_from(["age", "visits"]))
    plain = Made(name, lambda values: values[name], frozenset([name]))
    if draw(st.booleans()):
        return plain
    other = draw(st.sampled_from(["age", "visits"]))
    sign, means = draw(st.sampled_from([("/", _divided), ("+", _added)]))
    return Made(
        f"{name} {sign} {other}",
        lambda values: means(values[name], values[other]),  # type: ignore[arg-type]  # their kind
        frozenset([name, other]),
    )


@st.composite
def _compared(draw: st.DrawFn) -> Made:
    number, limit = draw(_numbers()), draw(st.sampled_from(_INTS))

    def means(values: Values) -> bool | None:
        found = number.means(values)
        return None if found is None else found >= limit

    # The least number of all has no literal of its own.
    literal = str(limit) if limit != -(2**63) else "(-9223372036854775807 - 1)"
    return Made(f"{number.text} >= {literal}", means, number.names)


@st.composite
def _of_text(draw: st.DrawFn) -> Made:
    name, text = draw(st.sampled_from(["country", "tier"])), draw(st.sampled_from(_TEXTS))
    form = draw(st.sampled_from(["==", "in", "starts", "size", "exists", "shadow"]))
    names = frozenset([name])
    literal = quoted(text)
    return {
        "==": Made(f"{name} == {literal}", lambda values: values[name] == text, names),
        "in": Made(f'{name} in ["x", {literal}]', lambda values: values[name] in ("x", text), names),
        "starts": Made(
            f"{name}.startsWith({literal})",
            lambda values: str(values[name]).startswith(text),
            names,
        ),
        "size": Made(f"size({name}) > 1 // {name})", lambda values: len(str(values[name])) > 1, names),
        "exists": Made(
            f"promo_codes.exists(code, code == {literal} || code == {name})",
            lambda values: any(code in (text, values[name]) for code in values["promo_codes"]),  # type: ignore[attr-defined]  # a list
            names | {"promo_codes"},
        ),
        # Inside, `age` is a promotion code: the attribute is not meant.
        "shadow": Made(
            f"promo_codes.all(age, age != {literal})",
            lambda values: text not in values["promo_codes"],  # type: ignore[operator]  # a list
            frozenset(["promo_codes"]),
        ),
    }[form]


@st.composite
def _plain(draw: st.DrawFn) -> Made:
    name = draw(st.sampled_from(["excluded", "verified"]))
    limit = draw(st.sampled_from(_DOUBLES))
    return draw(
        st.sampled_from(
            [
                Made(name, lambda values: bool(values[name]), frozenset([name])),
                Made(f"!{name}", lambda values: not values[name], frozenset([name])),
                Made(
                    f"deposits >= {limit!r}",
                    lambda values: values["deposits"] >= limit,  # type: ignore[operator]  # a float
                    frozenset(["deposits"]),
                ),
                Made("true", lambda _values: True, frozenset()),
                Made("is_visitor", lambda values: bool(values["is_visitor"]), frozenset(["is_visitor"])),
            ]
        )
    )


def _negated(made: Made) -> Made:
    def means(values: Values) -> bool | None:
        found = made.means(values)
        return None if found is None else not found

    return Made(f"!({made.text}\n)", means, made.names)


def _joined(sign: str, settles: bool, left: Made, right: Made) -> Made:
    def means(values: Values) -> bool | None:
        found = (left.means(values), right.means(values))
        if settles in found:
            return settles
        return None if None in found else not settles

    return Made(f"({left.text}\n) {sign} ({right.text}\n)", means, left.names | right.names)


EXPRESSIONS: st.SearchStrategy[Made] = st.recursive(
    st.one_of(_plain(), _compared(), _of_text()),
    lambda inner: st.one_of(
        st.builds(_negated, inner),
        st.builds(lambda left, right: _joined("&&", False, left, right), inner, inner),
        st.builds(lambda left, right: _joined("||", True, left, right), inner, inner),
    ),
    max_leaves=4,
)


@dataclass(frozen=True)
class MadeRules:
    """Rules, and what each of their checks means."""

    rules: Rules
    made_by_check: Mapping[str, Made]


@st.composite
def made_rules(draw: st.DrawFn, *, may_approve_missing: bool = True) -> MadeRules:
    """One policy with up to six checks."""
    made = draw(st.lists(EXPRESSIONS, max_size=6))
    otherwise = st.sampled_from(Otherwise) if may_approve_missing else st.just(Otherwise.REJECT)
    checks: list[CelCheck] = [
        cel(each.text, id=f"c{position}", when_missing=draw(otherwise)) for position, each in enumerate(made)
    ]
    return MadeRules(
        rules(*checks, attributes=ATTRIBUTES),
        {check.id: each for check, each in zip(checks, made, strict=True)},
    )


_GOOD_BY_KIND = {
    Kind.INT: st.sampled_from(_INTS),
    Kind.DOUBLE: st.sampled_from(_DOUBLES),
    Kind.STRING: st.sampled_from(_TEXTS),
    Kind.BOOL: st.booleans(),
}
# What is a value of none of the kinds. Numbers and texts are not here: each is right for one of them.
GARBAGE = st.sampled_from([float("nan"), float("inf"), 2**63, 10**400, [], {}, b"x", object(), "\ud800"])


@st.composite
def customers(draw: st.DrawFn) -> Customer:
    """Mostly complete; now and then a value is missing, null or garbage."""
    attributes: dict[str, object] = {}
    for name, kind in ATTRIBUTES.items():
        choice = draw(st.integers(0, 19))
        if choice == 0:
            continue
        attributes[name] = None if choice == 1 else draw(GARBAGE if choice == 2 else _GOOD_BY_KIND[kind])
    return Customer(
        customer_id="c",
        attributes=attributes,
        promo_codes=tuple(draw(st.lists(st.sampled_from(_TEXTS), max_size=3))),
        is_visitor=draw(st.booleans()),
    )


def expected(made: MadeRules, customer: Customer) -> Decision:
    """The decision, by plain Python."""
    approved, reasons = True, list[str]()
    values = {**customer.attributes, "promo_codes": customer.promo_codes, "is_visitor": customer.is_visitor}
    for check_id, each in made.made_by_check.items():
        check = made.rules.check_by_id[check_id]
        assert isinstance(check, CelCheck)
        gaps = [
            f"{'MISSING' if values.get(name) is None else 'MALFORMED'}:{name}"
            for name in ATTRIBUTES
            if name in each.names and not _is_right(values.get(name), ATTRIBUTES[name])
        ]
        found = True if gaps else each.means(values)
        reasons += gaps or {True: [], False: [check.reason], None: [f"ERROR:{check_id}"]}[found]
        may_pass = check.when_missing is Otherwise.APPROVE and all(gap.startswith("MISSING") for gap in gaps)
        approved = approved and (may_pass if gaps else found is True)
    return Decision(
        approved=approved, reasons=tuple(dict.fromkeys(reasons)), rules_version="v1", policy="policy"
    )


def _is_right(value: object, kind: Kind) -> bool:
    if kind is Kind.STRING:
        return isinstance(value, str) and "\ud800" not in value
    if kind is Kind.BOOL:
        return isinstance(value, bool)
    if kind is Kind.INT:
        return (isinstance(value, int) and abs(value) < 2**63) or value == -(2**63)
    return isinstance(value, int | float) and abs(value) < float("inf") and value != 10**400
