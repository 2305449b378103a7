"""Which names an expression uses, and which names one can use."""

import pytest

from clearance.decisions.expressions import Kind, compile_condition, is_usable_name

_NAMES = {
    "age": Kind.INT,
    "country": Kind.STRING,
    "city": Kind.STRING,
    "spent": Kind.DOUBLE,
    "is_new": Kind.BOOL,
    "codes": Kind.STRINGS,
    **{f"n{number}": Kind.INT for number in range(50)},
}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("true", set()),
        ("is_new", {"is_new"}),
        ("age > 18 || age < 3", {"age"}),
        ('country.startsWith("age") && city.size() > 2', {"country", "city"}),
        ("country.matches(city)", {"country", "city"}),
        ('codes.exists(age, age == "X")', {"codes"}),
        ('codes.exists(age, age == "X") && age > 2', {"codes", "age"}),
        ("codes.exists(code, code == country)", {"codes", "country"}),
        ("is_new ? age > 2 : spent > 2.0", {"is_new", "age", "spent"}),
        ("country in codes", {"country", "codes"}),
        ('{country: age}["x"] == 2', {"country", "age"}),
        ("dyn(country).city == 1", {"country"}),
        ("// age\ncountry == 'spent'", {"country"}),
        # More than the engine tells at once.
        (" && ".join(f"n{number} > 1" for number in range(30)), {f"n{number}" for number in range(30)}),
        ("n1 > 1 && " * 25 + "age > 1", {"n1", "age"}),
    ],
)
def test_the_names_of_an_expression_are_those_it_cannot_do_without(text: str, names: set[str]) -> None:
    assert compile_condition(text, _NAMES).names == names


@pytest.mark.parametrize("name", ["age", "_age", "Age2", "size", "for_", "lane", "__"[:1]])
def test_a_plain_word_can_name_an_attribute(name: str) -> None:
    assert is_usable_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "2nd",
        "first-name",
        "a.b",
        "a b",
        "größe",
        "__x",
        "true",
        "null",
        "in",
        "package",
        "for",
        "int",
        "string",
    ],
)
def test_what_the_language_keeps_for_itself_can_name_no_attribute(name: str) -> None:
    assert not is_usable_name(name)
