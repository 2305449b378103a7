"""The engine: which policy decides, what a decision says, and that one customer's trouble is nobody else's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from clearance.decisions.columns import ROWS, Columns
from clearance.decisions.decision import APPROVED, Campaign, Customer, Decision, Verdict
from clearance.decisions.engine import Engine
from clearance.decisions.expressions import ExpressionError, Kind, compile_condition
from clearance.decisions.rules import (
    HttpCheck,
    Otherwise,
    Policy,
    PythonCheck,
    Rules,
    SuppressionCheck,
)
from tests.fakes.rules import CAMPAIGN, cel, customer, policy, rules

_ATTRIBUTES = {"age": Kind.INT, "country": Kind.STRING, "excluded": Kind.BOOL, "deposits": Kind.DOUBLE}
_ADULT = cel("age >= 18", id="adult")
_LICENSED = cel('country in ["DE", "AT"]', id="licensed")
_ASKED = HttpCheck(id="asked", reason="NOT_ACTIVE", url="http://x/")
_LISTED = SuppressionCheck(id="listed", reason="SUPPRESSED", list_name="customers")
_GOOD = customer(age=40, country="DE", excluded=False, deposits=50.0)


def _answer(decision: Decision) -> tuple[bool, tuple[str, ...]]:
    return decision.approved, decision.reasons


def test_the_first_policy_that_applies_decides() -> None:
    engine = Engine(
        rules(
            _ADULT,
            _LICENSED,
            attributes=_ATTRIBUTES,
            policies=[
                policy("adult", id="bonus", applies='"bonus" in tags && lane == "send_group"'),
                policy("licensed", id="rest"),
            ],
        )
    )

    of = customer(age=17, country="FR")

    assert engine.decide(CAMPAIGN, of) == Decision(
        approved=False, reasons=("ADULT",), rules_version="v1", policy="bonus"
    )
    assert engine.decide(Campaign(lane="campaign"), of).reasons == ("LICENSED",)


def test_every_check_is_evaluated_and_every_reason_told_once_and_in_order() -> None:
    checks = [_LISTED, _LICENSED, _ADULT, cel("age >= 21", id="older", reason="ADULT"), _ASKED]
    engine = Engine(rules(*checks, attributes=_ATTRIBUTES))
    answers = {
        "asked": Verdict(approved=False, reasons=("NOT_ACTIVE:SOLD_OUT", "ADULT")),
        "listed": Verdict(approved=False, reasons=("SUPPRESSED",)),
    }

    decision = engine.decide(CAMPAIGN, customer(age=5, country="FR"), answers)

    assert _answer(decision) == (False, ("LICENSED", "ADULT", "SUPPRESSED", "NOT_ACTIVE:SOLD_OUT"))


def test_approved_is_whom_all_approve() -> None:
    engine = Engine(rules(_ADULT, _LISTED, _ASKED, attributes=_ATTRIBUTES))
    failed = Verdict(approved=True, reasons=("CHECK_FAILED:asked",))

    assert _answer(engine.decide(CAMPAIGN, _GOOD, {"asked": APPROVED, "listed": APPROVED})) == (True, ())
    assert _answer(engine.decide(CAMPAIGN, _GOOD, {"asked": failed, "listed": APPROVED})) == (
        True,
        ("CHECK_FAILED:asked",),
    )
    assert _answer(engine.decide(CAMPAIGN, _GOOD, {"asked": APPROVED})) == (False, ("NOT_ASKED:listed",))


def test_a_refusal_without_a_reason_gets_that_of_its_check() -> None:
    engine = Engine(rules(_ASKED, attributes=_ATTRIBUTES))

    decision = engine.decide(CAMPAIGN, _GOOD, {"asked": Verdict(approved=False)})

    assert _answer(decision) == (False, ("NOT_ACTIVE",))


def test_answers_of_checks_that_the_policy_does_not_name_count_for_nothing() -> None:
    engine = Engine(rules(_ADULT, attributes=_ATTRIBUTES))

    assert engine.decide(CAMPAIGN, _GOOD, {"asked": Verdict(approved=False, reasons=("X",))}).approved


def test_missing_may_pass_where_a_check_says_so_and_is_noted() -> None:
    engine = Engine(
        rules(cel("age >= 18", id="adult", when_missing=Otherwise.APPROVE), attributes=_ATTRIBUTES)
    )

    assert _answer(engine.decide(CAMPAIGN, customer())) == (True, ("MISSING:age",))
    assert _answer(engine.decide(CAMPAIGN, customer(age=3))) == (False, ("ADULT",))


def test_an_attribute_that_no_check_of_the_policy_refers_to_may_be_missing() -> None:
    assert Engine(rules(_ADULT, attributes=_ATTRIBUTES)).decide(CAMPAIGN, customer(age=20)).approved


def test_customer_and_campaign_are_variables() -> None:
    expression = (
        '!is_hashed && is_visitor && !is_control && trigger_name == "t" && promo_codes.exists(c, c == "P")'
    )
    engine = Engine(rules(cel(expression), attributes=_ATTRIBUTES))
    campaign = Campaign(lane="triggered", trigger_name="t")
    of = Customer(customer_id="c", attributes={}, is_visitor=True, promo_codes=("O", "P"))

    assert engine.decide(campaign, of).approved
    assert not engine.decide(replace(campaign, is_control=True), of).approved
    assert not engine.decide(campaign, replace(of, promo_codes=())).approved
    assert not engine.decide(campaign, replace(of, is_hashed=True)).approved


def test_one_customers_trouble_is_nobody_elses() -> None:
    engine = Engine(rules(cel("100 / age > 1", id="divided"), _LICENSED, _ADULT, attributes=_ATTRIBUTES))
    troubled = {
        7: (customer(age=0, country="FR"), ("ERROR:divided", "LICENSED", "ADULT")),
        40: (customer(country="FR"), ("MISSING:age", "LICENSED")),
        41: (customer(age="x", country="DE"), ("MALFORMED:age",)),
        99: (customer(age=0, country="DE"), ("ERROR:divided", "ADULT")),
    }
    of = [troubled[row][0] if row in troubled else customer(age=20, country="DE") for row in range(100)]

    decisions = engine.decide_many(CAMPAIGN, of)

    assert {row: decision.reasons for row, decision in enumerate(decisions) if not decision.approved} == {
        row: reasons for row, (_, reasons) in troubled.items()
    }


def test_many_who_lack_the_same_value_are_asked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    judge = Columns.judge

    def counted(self: Columns, columns: Mapping[str, Sequence[object]], start: int, stop: int) -> object:
        asked.append(stop - start)
        return judge(self, columns, start, stop)

    monkeypatch.setattr(Columns, "judge", counted)
    # Over two values: an answer about one is remembered, and not asked for again.
    local = cel("country == 'DE' || is_visitor", id="local")
    engine = Engine(rules(_ADULT, local, attributes=_ATTRIBUTES))

    first = engine.decide_many(CAMPAIGN, [customer(country="FR")] * 40)
    second = engine.decide_many(CAMPAIGN, [customer(country="FR")] * 40)

    assert asked == [ROWS, 40 - ROWS]
    assert {decision.reasons for decision in first + second} == {("MISSING:age", "LOCAL")}


def test_no_customers_have_no_decisions() -> None:
    assert Engine(rules(_ADULT, attributes=_ATTRIBUTES)).decide_many(CAMPAIGN, []) == []


def test_a_policy_may_have_more_checks_than_an_integer_has_bits() -> None:
    checks = [cel(f"age != {number}", id=f"c{number}") for number in range(150)]
    engine = Engine(rules(*checks, attributes=_ATTRIBUTES))

    decisions = engine.decide_many(CAMPAIGN, [customer(age=age) for age in range(160)])

    assert [decision.reasons for decision in decisions] == [(f"C{age}",) for age in range(150)] + [()] * 10


def test_what_is_too_deep_to_be_asked_about_many_is_asked_about_each() -> None:
    deep = "age" + " + 1 - 1" * 14 + " >= 18"
    condition = compile_condition(deep, _ATTRIBUTES)
    with pytest.raises(ExpressionError):
        Columns([condition], _ATTRIBUTES)
    engine = Engine(rules(cel(deep, id="deep"), _LICENSED, attributes=_ATTRIBUTES))

    decisions = engine.decide_many(CAMPAIGN, [customer(age=17 + row % 2, country="DE") for row in range(80)])

    assert [decision.reasons for decision in decisions] == [("DEEP",), ()] * 40


def test_rules_that_were_never_loaded_are_refused_at_once() -> None:
    with pytest.raises(ExpressionError):
        Engine(rules(cel("agee >= 18"), attributes=_ATTRIBUTES))


def test_typed_attributes_are_the_declared_ones_that_can_be_read() -> None:
    engine = Engine(rules(attributes=_ATTRIBUTES))

    found = engine.typed_attributes(customer(age="40", country=5, deposits="1.50", excluded=None, name="Ann"))

    assert found == {"age": 40, "deposits": 1.5}


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (cel("deposits > 1.0 && promo_codes.all(country, true) && age > 1", id="one"), ("age", "deposits")),
        (HttpCheck(id="one", reason="R", url="x", attributes=("excluded",)), ("excluded",)),
        (HttpCheck(id="one", reason="R", url="x"), tuple(_ATTRIBUTES)),
        (PythonCheck(id="one", reason="R", entry_point="own"), tuple(_ATTRIBUTES)),
        (SuppressionCheck(id="one", reason="R", list_name="l"), ()),
    ],
)
def test_a_policy_depends_on_what_its_checks_use(
    check: HttpCheck | PythonCheck | SuppressionCheck, expected: tuple[str, ...]
) -> None:
    made: Rules = rules(check, _ADULT, attributes=_ATTRIBUTES, policies=[policy("one")])
    found = Engine(made).policy_for(CAMPAIGN)

    assert isinstance(found, Policy)
    assert Engine(made).attributes_of(found) == expected
