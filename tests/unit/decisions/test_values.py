"""A value is taken only when it plainly is of its kind."""

from enum import IntEnum, StrEnum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.decisions.expressions import Kind
from clearance.decisions.values import Unusable, convert, convert_all


class _Word(StrEnum):
    YES = "true"


class _Number(IntEnum):
    ONE = 1


_TAKEN: list[tuple[Kind, object, object]] = [
    (Kind.STRING, "", ""),
    (Kind.STRING, "né\x00\n", "né\x00\n"),
    (Kind.STRING, "\U0001f600", "\U0001f600"),
    (Kind.INT, -(2**63), -(2**63)),
    (Kind.INT, "9223372036854775807", 2**63 - 1),
    (Kind.INT, "-007", -7),
    (Kind.DOUBLE, 12, 12.0),
    (Kind.DOUBLE, 2**60, 2.0**60),
    (Kind.DOUBLE, "12.50", 12.5),
    (Kind.DOUBLE, "-1e3", -1000.0),
    (Kind.DOUBLE, "1E+3", 1000.0),
    (Kind.BOOL, "true", True),
    (Kind.BOOL, "false", False),
    (Kind.BOOL, False, False),
    (Kind.STRINGS, ("a", "b"), ["a", "b"]),
    (Kind.STRINGS, [], []),
]
_MALFORMED: list[tuple[Kind, object]] = [
    (Kind.STRING, 5),
    (Kind.STRING, b"x"),
    (Kind.STRING, "a\ud800"),
    (Kind.STRING, _Word.YES),
    (Kind.INT, 2**63),
    (Kind.INT, -(2**63) - 1),
    (Kind.INT, True),
    (Kind.INT, 5.0),
    (Kind.INT, _Number.ONE),
    *[
        (Kind.INT, text)
        for text in ("", " 5", "5\n", "+5", "1_0", "٣", "5.0", "0x5", "--5", "9" * 19, "9" * 5000)
    ],
    (Kind.DOUBLE, float("nan")),
    (Kind.DOUBLE, float("-inf")),
    (Kind.DOUBLE, True),
    (Kind.DOUBLE, 2**53 + 1),
    (Kind.DOUBLE, 10**400),
    (Kind.DOUBLE, Fraction(1, 2)),
    *[(Kind.DOUBLE, text) for text in ("", "nan", "inf", ".5", "5.", "1_0.0", " 1.0", "1,5", "1e999", "٣.٣")],
    *[(Kind.BOOL, value) for value in (0, 1, "", "True", "FALSE", "yes", "1", " true", 1.0)],
    (Kind.STRINGS, "ab"),
    (Kind.STRINGS, ["a", 1]),
    (Kind.STRINGS, ["a", "\ud800"]),
    (Kind.STRINGS, {"a"}),
]


@pytest.mark.parametrize(("kind", "value", "expected"), _TAKEN)
def test_what_is_plainly_of_the_kind_is_taken(kind: Kind, value: object, expected: object) -> None:
    found = convert(value, kind)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("kind", "value"), _MALFORMED)
def test_what_is_not_is_malformed(kind: Kind, value: object) -> None:
    assert convert(value, kind) is Unusable.MALFORMED


@pytest.mark.parametrize("kind", Kind)
def test_null_is_missing(kind: Kind) -> None:
    assert convert(None, kind) is Unusable.MISSING


@given(
    st.sampled_from(Kind),
    st.lists(
        st.sampled_from([None, *(value for _, value, _ in _TAKEN), *(value for _, value in _MALFORMED)])
        | st.integers()
        | st.floats()
        | st.text(st.characters(exclude_categories=()))
    ),
)
def test_a_column_is_converted_as_each_of_its_values(kind: Kind, values: list[object]) -> None:
    alone = [convert(value, kind) for value in values]

    # By their text: NaN would be no trouble, but True equals 1.
    assert list(map(repr, convert_all(values, kind))) == list(map(repr, alone))
