"""What can be wrong with an expression of a rules file, and what was probably meant by it."""

import pytest

from clearance.decisions.rules import RulesError
from clearance.decisions.rules_file import load_rules
from tests.unit.decisions.rules_texts import ONE_OF_EACH


def _told(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        load_rules(text, source="f")
    return [str(problem) for problem in caught.value.problems]


def _with(old: str, new: str) -> str:
    assert ONE_OF_EACH.count(old) == 1
    return ONE_OF_EACH.replace(old, new)


_CEL = 'cel = "age >= 18"'


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            _CEL,
            "cel = 'aeg >= 18'",
            "f:10: check `grown-up`: cel: `aeg` is not declared (column 1): did you mean `age`?",
        ),
        (
            _CEL,
            "cel = '''\nage > 1\n&& country == 5'''",
            "f:12: check `grown-up`: cel: `==` does not fit string and int (column 12): country is"
            ' string: write "5"',
        ),
        (
            _CEL,
            "cel = 'age >= 5.0'",
            "f:10: check `grown-up`: cel: `>=` does not fit int and double (column 5): age is int:"
            " write 5, or declare it double",
        ),
        (
            _CEL,
            "cel = 'age >= 5.5'",
            "f:10: check `grown-up`: cel: `>=` does not fit int and double (column 5): age is int:"
            " write a whole number, or declare it double",
        ),
        (
            _CEL,
            "cel = '18 <= spent'",
            "f:10: check `grown-up`: cel: `<=` does not fit int and double (column 4): spent is"
            " double: write 18.0",
        ),
        (
            _CEL,
            "cel = 'age == \"18\"'",
            "f:10: check `grown-up`: cel: `==` does not fit int and string (column 5): age is int:"
            " write 18, or declare it string",
        ),
        (
            _CEL,
            "cel = 'is_new == \"true\"'",
            "f:10: check `grown-up`: cel: `==` does not fit bool and string (column 8): is_new is"
            " bool: write is_new or !is_new",
        ),
        (
            _CEL,
            "cel = 'age > spent'",
            "f:10: check `grown-up`: cel: `>` does not fit int and double (column 5): convert the"
            " int: double(...)",
        ),
        (
            _CEL,
            "cel = 'promo_codes == \"X\"'",
            "f:10: check `grown-up`: cel: `==` does not fit list(string) and string (column 13):"
            ' promo_codes is a list: write "X" in promo_codes',
        ),
        (
            _CEL,
            "cel = 'is_new and age > 5'",
            "f:10: check `grown-up`: cel: `and` does not fit here (column 8): write &&",
        ),
        (
            _CEL,
            "cel = 'country = \"DE\"'",
            "f:10: check `grown-up`: cel: `=` does not fit here (column 9): write ==",
        ),
        (
            _CEL,
            "cel = 'is_new == True'",
            "f:10: check `grown-up`: cel: `True` is not declared (column 11): write true",
        ),
        (
            _CEL,
            "cel = 'customer.nation == \"DE\"'",
            "f:10: check `grown-up`: cel: `customer.nation` is not declared (column 9): attributes"
            " are written without a prefix",
        ),
        (
            _CEL,
            "cel = 'country.startswith(\"D\")'",
            "f:10: check `grown-up`: cel: there is no function `startswith` (column 19): did you"
            " mean `startsWith`?",
        ),
        (_CEL, "cel = 'age >'", "f:10: check `grown-up`: cel: the expression ends too early (column 6)"),
        (_CEL, "cel = '(is_new'", "f:10: check `grown-up`: cel: `)` is missing (column 8)"),
        (
            _CEL,
            "cel = 'not is_new'",
            "f:10: check `grown-up`: cel: `is_new` does not fit here (column 5): write !",
        ),
        (_CEL, "cel = 'age <> 5'", "f:10: check `grown-up`: cel: `>` does not fit here (column 6): write !="),
        (_CEL, "cel = 'age + 1'", "f:10: check `grown-up`: cel: must be true or false, and is int"),
        (
            _CEL,
            "cel = '" + "(" * 20_000 + "'",
            "f:10: check `grown-up`: cel: Expression recursion limit exceeded. limit: 32",
        ),
        (
            _CEL,
            "cel = '" + "a" * 100_001 + "'",
            "f:10: check `grown-up`: cel: expression size exceeds codepoint limit. input size:"
            " 100001, limit: 100000",
        ),
        (
            _CEL,
            "cel = '''is_new\n|| country.matches(\"(\")'''",
            "f:11: check `grown-up`: cel: this regular expression (RE2) is not valid (column 20)",
        ),
        (
            _CEL,
            "cel = 'tags == []'",
            "f:10: check `grown-up`: cel: `tags` is known to the `applies` of policies only",
        ),
        (
            'applies = "true"',
            "applies = 'age > 5'",
            "f:30: policy `all`: applies: `age` is known to checks only: a policy is chosen before"
            " there is a customer",
        ),
        (
            'applies = "true"',
            "applies = 'tag == \"x\"'",
            "f:30: policy `all`: applies: `tag` is not declared (column 1): did you mean `tags`?",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_was_meant(old: str, new: str, told: str) -> None:
    assert _told(_with(old, new)) == [told]


def test_every_name_that_is_wrong_in_an_expression_is_told() -> None:
    told = _told(_with(_CEL, "cel = 'aeg > 1 && contry == \"DE\"'"))

    assert [each.split("`")[3] for each in told] == ["aeg", "contry"]


@pytest.mark.parametrize(
    "cel",
    [
        'country.matches("^D")',
        "country.matches('(' + country)",  # some value may close it
        r"country.matches(r'\(')",
        "country == '.matches(\"(\")'",  # only looks like it
        "true // country.matches('(')",
        'country.matches("D") && country.contains("(")',
        'country.matches("[" + country + "]")',
    ],
)
def test_a_regular_expression_that_may_work_is_no_problem(cel: str) -> None:
    load_rules(_with(_CEL, f"cel = '''{cel} '''"), source="f")


@pytest.mark.parametrize("literal", ['"("', "'('", '"""("""', '"a{1001}"', "'\\\\'", '"(?=x)"'])
def test_a_regular_expression_that_can_never_work_is_told(literal: str) -> None:
    (told,) = _told(_with(_CEL, f"cel = '''is_new || country.matches( {literal} ) '''"))

    assert "this regular expression (RE2) is not valid" in told
