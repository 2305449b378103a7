"""What is allowed in a rules file, but hardly meant."""

import pytest

from clearance.decisions.rules_file import load_rules

BASE = """\
[attributes]
age = "int"
[[check]]
id = "grown-up"
reason = "TOO_YOUNG"
cel = "age >= 18"
"""


def _warned(text: str) -> list[str]:
    return [str(warning) for warning in load_rules(text, source="f").warnings]


def _policies(*all_applies: str) -> str:
    return BASE + "".join(
        f"[[policy]]\nid = 'p{number}'\napplies = '''{applies}'''\nchecks = ['grown-up']\n"
        for number, applies in enumerate(all_applies)
    )


@pytest.mark.parametrize(
    ("all_applies", "warnings"),
    [
        (["is_control", "true"], []),
        (
            ["true", "is_control"],
            ["f:11: policy `p1`: is never reached: policy `p0` applies to every campaign"],
        ),
        (
            ["1 < 2 || false", "is_control"],
            ["f:11: policy `p1`: is never reached: policy `p0` applies to every campaign"],
        ),
        (
            ["is_control", "lane == 'x'", "is_control"],
            ["f:15: policy `p2`: is never reached: policy `p0` applies to the same campaigns"],
        ),
        (["false", "is_control"], ["f:7: policy `p0`: never applies: `applies` is always false"]),
        (["1 / 0 == 1", "is_control"], []),  # neither true nor false
    ],
)
def test_a_policy_that_no_campaign_gets_to_is_warned_of(all_applies: list[str], warnings: list[str]) -> None:
    assert _warned(_policies(*all_applies)) == warnings


def test_a_file_without_policies_is_warned_of() -> None:
    assert _warned(BASE) == [
        "f:3: check `grown-up`: no policy uses it",
        'f: there is no [[policy]]: [defaults] no_policy = "reject" decides',
    ]


def test_a_check_that_one_absent_value_switches_off_is_warned_of() -> None:
    text = (
        "[attributes]\nage = 'int'\nvip = 'bool'\n"
        "[[check]]\nid = 'a'\nreason = 'A'\ncel = 'age >= 18 && !vip && !is_hashed'\nwhen_missing = 'approve'\n"
        "[[check]]\nid = 'b'\nreason = 'B'\ncel = '!vip && !is_hashed'\nwhen_missing = 'approve'\n"
        "[[policy]]\nid = 'p'\napplies = 'true'\nchecks = ['a', 'b']\n"
    )

    assert _warned(text) == [
        "f:4: check `a`: approves when one of `age`, `vip` is absent, whatever the others say"
    ]


def test_a_check_that_no_policy_uses_is_warned_of() -> None:
    more = "[[check]]\nid = 'b'\nreason = 'B'\nsuppression = 'x'\n"

    assert _warned(_policies("true") + more) == ["f:11: check `b`: no policy uses it"]


@pytest.mark.parametrize(
    ("check", "is_used"),
    [
        ("cel = 'country == \"DE\"'", True),
        ("cel = 'promo_codes.exists(country, country == \"DE\")'", False),
        ("http.url = 'http://internal.example'", True),  # told all of them
        ("http.url = 'http://internal.example'\nhttp.attributes = ['country']", True),
        ("http.url = 'http://internal.example'\nhttp.attributes = ['age']", False),
        ("python = 'score'", True),
        ("suppression = 'list'", False),
    ],
)
def test_an_attribute_that_nothing_uses_is_warned_of(check: str, is_used: bool) -> None:
    text = _policies("is_control").replace("[attributes]", "[attributes]\ncountry = 'string'")
    text += f"[[check]]\nid = 'b'\nreason = 'B'\n{check}\n[[policy]]\nid = 'p'\napplies = 'true'\nchecks = ['b']\n"

    assert _warned(text) == ([] if is_used else ["f:2: attributes.country: nothing uses it"])
