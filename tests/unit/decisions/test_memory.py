"""Answers about one value are remembered, and only where that pays and changes nothing."""

import pytest

from clearance.decisions.decision import Campaign, Customer
from clearance.decisions.engine import Engine
from clearance.decisions.expressions import Condition, Kind, compile_condition
from clearance.decisions.memory import VALUES_MAX, Memory, memory_of
from tests.fakes.rules import cel, rules

_KINDS = {"age": Kind.INT, "country": Kind.STRING, "deposits": Kind.DOUBLE, "vip": Kind.BOOL}
_CAMPAIGN = Campaign(lane="send_group")


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The values that conditions are asked about, one by one."""
    asked: list[object] = []
    judge = Condition.judge

    def counted(self: Condition, values: dict[str, object]) -> bool | None:
        asked.extend(values.values())
        return judge(self, values)

    monkeypatch.setattr(Condition, "judge", counted)
    return asked


def test_a_value_is_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(compile_condition("age >= 18", _KINDS), "age")
    asked = _counted(monkeypatch)

    assert memory.answers([17, 18, 17]) == [False, True, False]
    assert memory.answers([18, 40]) == [True, True]

    assert sorted(map(str, asked)) == ["17", "18", "40"]


def test_a_value_that_the_condition_fails_on_is_remembered_as_that() -> None:
    memory = Memory(compile_condition("100 / age > 1", _KINDS), "age")

    assert memory.answers([0, 50, 0]) == [None, True, None]


def test_values_that_are_too_many_are_remembered_no_more() -> None:
    memory = Memory(compile_condition("age >= 18", _KINDS), "age")

    assert memory.answers(range(VALUES_MAX)) is not None
    assert memory.answers([VALUES_MAX]) is None
    assert memory.is_full


@pytest.mark.parametrize(
    ("expression", "is_remembered"),
    [
        ("age >= 18", True),
        ("country == 'DE'", True),
        ("!vip", True),
        ("deposits > 5.0", False),
        ("age >= 18 || vip", False),
        ("true", False),
    ],
)
def test_what_depends_on_one_value_that_may_come_again_is_remembered(
    expression: str, is_remembered: bool
) -> None:
    condition = compile_condition(expression, _KINDS)

    assert (memory_of(condition, _KINDS) is not None) is is_remembered


def test_a_check_whose_values_turn_out_to_be_many_decides_as_before() -> None:
    engine = Engine(rules(cel("age >= 18", id="adult"), cel("deposits > 5.0", id="rich"), attributes=_KINDS))
    customers = [
        Customer(customer_id=f"C{age}", attributes={"age": age, "deposits": float(age % 9)})
        for age in range(VALUES_MAX + 500)
    ]

    decisions = [
        decision
        for start in range(0, len(customers), 500)
        for decision in engine.decide_many(_CAMPAIGN, customers[start : start + 500])
    ]

    assert [each.reasons for each in decisions] == [
        (*(["ADULT"] if age < 18 else []), *(["RICH"] if age % 9 <= 5 else []))
        for age in range(VALUES_MAX + 500)
    ]
