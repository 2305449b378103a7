"""Whatever the rules and the customers: what comes out is what plain Python says, and approval is never a guess."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clearance.decisions.decision import Campaign, Customer, Verdict
from clearance.decisions.engine import Engine
from clearance.decisions.expressions import Kind
from clearance.decisions.rules import HttpCheck
from tests.fakes.rules import CAMPAIGN, cel, customer, policy, rules
from tests.unit.decisions.generated_rules import (
    ATTRIBUTES,
    MadeRules,
    customers,
    expected,
    made_rules,
)

# Compiling a rule set takes milliseconds, whatever hypothesis thinks of that.
_MADE = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

_ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
_ANY_VALUE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        _ANY_TEXT,
        st.binary(max_size=3),
        st.sampled_from([10**4000, -(2**63) - 1, "9" * 5000, "nan", "1e999", "1_000", "٣", " 5", "true "]),
        st.builds(object),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
_ANY_CUSTOMER = st.builds(
    Customer,
    customer_id=_ANY_TEXT,
    attributes=st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)) | _ANY_TEXT, _ANY_VALUE, max_size=8),
    promo_codes=st.lists(_ANY_TEXT, max_size=3).map(tuple) | _ANY_VALUE,
    is_hashed=st.booleans() | _ANY_VALUE,
    is_visitor=st.booleans() | _ANY_VALUE,
)
_ANY_CAMPAIGN = st.builds(
    Campaign,
    lane=_ANY_TEXT,
    channel_name=_ANY_TEXT | _ANY_VALUE,
    tags=st.lists(_ANY_TEXT, max_size=3).map(tuple) | _ANY_VALUE,
    trigger_name=_ANY_TEXT | _ANY_VALUE,
    is_control=st.booleans() | _ANY_VALUE,
)
_EVERYTHING = Engine(
    rules(
        cel("!excluded && verified", id="bools"),
        cel("age / visits > 1 || age * age < 0", id="overflows"),
        cel('country.matches("(a+)+$") && size(tier) > 0', id="texts"),
        cel("deposits / 0.0 > 1.0", id="doubles"),
        cel("promo_codes.all(code, int(code) > 0)", id="codes"),
        cel('is_hashed || is_visitor || is_control || trigger_name == ""', id="variables"),
        HttpCheck(id="asked", reason="ASKED", url="http://checks/"),
        attributes=ATTRIBUTES,
        policies=[
            policy("bools", applies='"none" in tags && channel_name == ""', id="first"),
            policy("bools", applies='trigger_name == "t" && is_control', id="second"),
            policy("bools", "overflows", "texts", "doubles", "codes", "variables", "asked", id="last"),
        ],
    )
)


@given(made_rules(), st.lists(customers(), max_size=40))
@_MADE
def test_decisions_are_those_of_plain_python(made: MadeRules, of: Sequence[Customer]) -> None:
    assert Engine(made.rules).decide_many(CAMPAIGN, of) == [expected(made, each) for each in of]


@given(made_rules(), st.lists(customers(), min_size=1, max_size=5), st.integers(1, 200))
@_MADE
def test_a_customer_is_decided_alone_as_among_others(
    made: MadeRules, of: Sequence[Customer], times: int
) -> None:
    engine = Engine(made.rules)

    alone = [engine.decide(CAMPAIGN, each) for each in of]

    assert engine.decide_many(CAMPAIGN, [*of] * times) == alone * times


@given(made_rules(may_approve_missing=False), customers(), st.sampled_from(sorted(ATTRIBUTES)))
@_MADE
def test_taking_an_attribute_away_approves_nobody(made: MadeRules, of: Customer, name: str) -> None:
    engine = Engine(made.rules)
    less = replace(of, attributes={key: value for key, value in of.attributes.items() if key != name})
    void = replace(of, attributes={**of.attributes, name: None})

    before = engine.decide(CAMPAIGN, of)
    after = engine.decide(CAMPAIGN, less)

    assert before.approved or not after.approved
    assert engine.decide(CAMPAIGN, void) == after


@given(_ANY_CAMPAIGN, st.lists(_ANY_CUSTOMER, max_size=4), st.booleans())
@settings(max_examples=200)
@example(Campaign(lane="\ud800", tags=("\udfff",)), [Customer(customer_id="\ud800", attributes={})], True)
def test_every_input_has_a_decision_and_always_the_same(
    campaign: Campaign, of: Sequence[Customer], is_answered: bool
) -> None:
    answers = [{"asked": Verdict(approved=True)} if is_answered else {} for _ in of]

    decisions = _EVERYTHING.decide_many(campaign, of, answers)

    assert len(decisions) == len(of)
    assert all(decision.approved or decision.reasons for decision in decisions)
    assert decisions == [_EVERYTHING.decide(campaign, *each) for each in zip(of, answers, strict=True)]


@given(made_rules(), customers())
@_MADE
def test_two_engines_of_the_same_rules_agree(made: MadeRules, of: Customer) -> None:
    assert Engine(made.rules).decide(CAMPAIGN, of) == Engine(made.rules).decide(CAMPAIGN, of)


# Texts that would mean something else if names were replaced in them.
@pytest.mark.parametrize(
    "expression",
    [
        '"age" == "a" + "ge"',
        "'''age > 3''' == \"age > 3\"",
        'r"\\age" == "\\\\age"',
        "size(b'age') == 3",
        "age > 3 // || true",
        "[1, 2, 3].exists(age, age > 2) && age > 3",
        "[1, 2, 3].all(r, r > 0) && age > 3",
        "promo_codes.map(age, age).size() == 0 && age > 3",
        '{"age": 4}.age > age - 100',
        '{"age": 1}["age"] == 1 && has({"age": 1}.age)',
        ".age > 3",
        "size(.name) > 3",
        "rr > 3 && rrrrrr > 3",
        "cel > 3 && rows > 3",
        "age > 3 ? cel / age > 0 : rows / age > 0",
        "[age, cel].map(x, [x].map(y, y / age).exists(cel, cel == rows))[0]",
        "(" * 25 + "age > 3" + ")" * 25,
        "((((((((((((age + cel) + rows) + rr) + 1) + 2) + 3) + 4) + 5) + 6) + 7) + 8) + 9) > 3",
    ],
)
def test_names_mean_among_others_what_they_mean_alone(expression: str) -> None:
    names = ("age", "cel", "rows", "rr", "rrrrrr")
    made = rules(
        cel(expression, id="asked"),
        cel("rows > 0", id="other"),
        attributes={**dict.fromkeys(names, Kind.INT), "name": Kind.STRING},
    )
    of = [
        customer(
            **{name: (position * prime) % 9 for name, prime in zip(names, (1, 2, 5, 7, 11), strict=True)}
        )
        for position in range(81)
    ]
    of = [replace(each, attributes={**each.attributes, "name": "x" * (n % 7)}) for n, each in enumerate(of)]
    engine = Engine(made)
    check = engine.rules.check_by_id["asked"]

    alone = [engine.decide(CAMPAIGN, each) for each in of]
    among = engine.decide_many(CAMPAIGN, of)

    assert check.reason == "ASKED"
    assert among == alone
    assert any("ASKED" not in each.reasons for each in among)
