"""What a rules file may say, and everything that is wrong with one, told at once."""

import pytest

from clearance.decisions.expressions import Kind
from clearance.decisions.rules import (
    AskWhen,
    CelCheck,
    HttpCheck,
    Otherwise,
    Policy,
    PythonCheck,
    Rules,
    RulesError,
    SuppressionCheck,
)
from clearance.decisions.rules_file import MAX_BYTES, load_rules
from tests.unit.decisions.rules_texts import HEAD, SAMPLE, SMALLEST


def _told(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        load_rules(text, source="rules.toml")
    return [str(problem) for problem in caught.value.problems]


def _load(text: str) -> Rules:
    return load_rules(text, source="rules.toml")


def test_the_sample_loads_without_a_warning() -> None:
    rules = _load(SAMPLE)

    assert rules.warnings == ()
    assert list(rules.check_by_id) == [
        "not-self-excluded", "licensed-country", "minimum-deposit", "promotion-active", "not-suppressed"
    ]  # fmt: skip
    assert rules.kind_by_attribute == {
        "country": Kind.STRING,
        "age": Kind.INT,
        "total_deposits": Kind.DOUBLE,
        "self_excluded": Kind.BOOL,
        "loyalty_tier": Kind.STRING,
    }
    assert rules.check_by_id["promotion-active"] == HttpCheck(
        id="promotion-active",
        reason="PROMOTION_NOT_ACTIVE",
        url="http://127.0.0.1:9000/promotions/activate",
        batch=200,
        timeout_s=2.0,
        on_error=Otherwise.REJECT,
        header_by_name={"Authorization": "env:PROMO_AUTHORIZATION"},
    )
    assert rules.policies[1] == Policy(
        id="everything-else",
        applies="true",
        checks=("not-self-excluded", "licensed-country", "not-suppressed"),
    )
    assert rules.text == SAMPLE


def test_what_is_left_out_rejects() -> None:
    rules = _load(SMALLEST)

    assert rules.no_policy is Otherwise.REJECT
    assert rules.record_inputs is False
    assert rules.check_by_id == {
        "grown-up": CelCheck(
            id="grown-up", reason="TOO_YOUNG", expression="age >= 18", when_missing=Otherwise.REJECT
        )
    }


def test_every_kind_of_check_takes_all_of_its_settings() -> None:
    rules = _load(
        HEAD
        + """
        record_inputs = true
        [defaults]
        no_policy = "approve"
        missing_attribute = "approve"
        [attributes]
        age = "int"
        [[check]]
        id = "a"
        reason = "A"
        cel = "age > 1"
        [[check]]
        id = "b"
        reason = "B"
        cel = "age > 2"
        when_missing = "reject"
        [[check]]
        id = "c"
        reason = "C"
        http.url = "env:WHERE"
        http.batch = 10000
        http.timeout_s = 60
        http.on_error = "approve"
        http.ask_when = "others_approve"
        http.attributes = ["age"]
        [[check]]
        id = "d"
        reason = "D"
        suppression = "vip"
        [[check]]
        id = "e"
        reason = "E"
        python = "scores"
        on_error = "approve"
        options = { least = 3, of = ["x", { y = 1.5 }] }
        [[policy]]
        id = "all"
        applies = "true"
        checks = ["a", "b", "c", "d", "e"]
        """
    )

    assert (rules.record_inputs, rules.no_policy) == (True, Otherwise.APPROVE)
    assert [check.when_missing for check in rules.check_by_id.values() if isinstance(check, CelCheck)] == [
        Otherwise.APPROVE,
        Otherwise.REJECT,
    ]
    assert rules.check_by_id["c"] == HttpCheck(
        id="c",
        reason="C",
        url="env:WHERE",
        batch=10_000,
        timeout_s=60.0,
        on_error=Otherwise.APPROVE,
        attributes=("age",),
        ask_when=AskWhen.OTHERS_APPROVE,
    )
    assert rules.check_by_id["d"] == SuppressionCheck(id="d", reason="D", list_name="vip")
    assert rules.check_by_id["e"] == PythonCheck(
        id="e",
        reason="E",
        entry_point="scores",
        options={"least": 3, "of": ["x", {"y": 1.5}]},
        on_error=Otherwise.APPROVE,
    )


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        SAMPLE.replace("missing_attribute", "mising_attribute")
        .replace('reason = "SELF_EXCLUDED"', 'reason = "self excluded"')
        .replace("country in", "cuntry in")
        .replace(">= 50.0", ">= 50")
        .replace("= 200", "= 0")
        .replace('"not-suppressed"]', '"not-supressed"]')
    )

    assert _told(text) == [
        "rules.toml:7: defaults.mising_attribute: unknown key: did you mean `missing_attribute`?",
        "rules.toml:19: check `not-self-excluded`: reason: must be 1 to 64 capitals, digits or '_', and begin"
        " with a capital: did you mean `SELF_EXCLUDED`?",
        "rules.toml:23: check `licensed-country`: cel: `cuntry` is not declared (column 1):"
        " did you mean `country`?",
        "rules.toml:28: check `minimum-deposit`: cel: `>=` does not fit double and int (column 16):"
        " total_deposits is double: write 50.0",
        "rules.toml:36: check `promotion-active`: http.batch: must be a whole number from 1 to 10,000",
        "rules.toml:49: policy `bonus-campaigns`: checks: there is no check `not-supressed`:"
        " did you mean `not-suppressed`?",
        "rules.toml:54: policy `everything-else`: checks: there is no check `not-supressed`:"
        " did you mean `not-suppressed`?",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "rules.toml: is empty: there is nothing to decide by"),
        ("# nothing\n", "rules.toml: is empty: there is nothing to decide by"),
        ("a = 1\nb = 2\na = 3\n", "rules.toml:3: `a` stands twice, first on line 1"),
        ("[a]\nb = 2\n[c]\n[a]\n", "rules.toml:4: `a` stands twice, first on line 1"),
        ("a = '\ud800'", "rules.toml: is no Unicode text"),
        ("a = " + "9" * 5000, "rules.toml: holds a number that is too long"),
        ("a = " + "[" * 5000, "rules.toml: is nested too deeply"),
        ("#" * (MAX_BYTES + 1), "rules.toml: is too large: 1,048,577 bytes of at most 1,048,576"),
    ],
)
def test_text_that_cannot_be_read_is_one_plain_problem(text: str, told: str) -> None:
    assert _told(text) == [told]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1\n\nb = \nc = 2", "rules.toml:3: no TOML: "),
        ("a = 1\nb = 'x", "rules.toml:2: no TOML: "),
        ("a = 1\n\nb = [1,\n\n", "rules.toml:3: no TOML: "),
        ("a = 1\r\nb = 'x\0'\r\n", "rules.toml:2: no TOML: "),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, place: str) -> None:
    (told,) = _told(text)

    assert told.startswith(place)


def test_a_byte_order_mark_and_the_line_ends_of_windows_change_nothing() -> None:
    windows = "\ufeff" + SAMPLE.replace("\n", "\r\n")

    assert _load(windows).version == _load(SAMPLE).version
    assert _load(windows).text == windows
    assert _told(windows.replace("country in", "cuntry in"))[0].startswith("rules.toml:23: ")
