"""Conditions asked about many records at once: every answer in its place, or none at all."""

import pytest

from clearance.decisions.columns import ROWS, Columns
from clearance.decisions.expressions import Kind, compile_condition

_KINDS = {"age": Kind.INT, "r": Kind.STRING, "rs": Kind.INT, "codes": Kind.STRINGS}
_VALUES = {
    "age": [3, 40, 0, 18],
    "r": ["age", "", "x", "r"],
    "rs": [0, 1, 2, 3],
    "codes": [["A"], [], ["A", "r"], ["r"]],
}


def _columns(*expressions: str) -> Columns:
    return Columns([compile_condition(each, _KINDS) for each in expressions], _KINDS)


def test_answers_stand_by_row_and_by_condition() -> None:
    columns = _columns("age >= 18 // && false", 'r == "age"', "codes.exists(rs, rs == r)", "rs > 1")

    assert columns.judge(_VALUES, 0, 4) == [
        [False, True, False, False],
        [True, False, False, False],
        [False, False, False, True],
        [True, False, True, True],
    ]


def test_only_the_rows_that_are_meant_are_looked_at() -> None:
    # Nothing divides by row 2.
    assert _columns("36 / age > 1").judge(_VALUES, 0, 2) == [[True], [False]]


@pytest.mark.parametrize("expression", ["36 / age > 1", 'codes[0] == "A"'])
def test_one_failure_leaves_no_answers(expression: str) -> None:
    assert _columns("true", expression).judge(_VALUES, 0, 4) is None


def test_values_of_another_kind_leave_no_answers() -> None:
    assert _columns("age >= 18").judge({"age": [40, "40", object()]}, 0, 3) is None


def test_no_conditions_have_an_empty_answer_for_each_row() -> None:
    assert _columns().judge({}, 0, 2) == [[], []]


def test_ordinary_loops_of_as_many_rows_as_are_asked_stay_within_what_the_engine_allows() -> None:
    columns = _columns(*["codes.all(code, code.size() > 0)"] * 10)

    found = columns.judge({"codes": [["A"] * 20] * ROWS}, 0, ROWS)

    assert found == [[True] * 10] * ROWS
