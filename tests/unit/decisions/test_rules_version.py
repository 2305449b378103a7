"""Which files are the same version of the rules, and which are not."""

import re
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.decisions.rules_file import load_rules

FULL = """\
record_inputs = false
[defaults]
no_policy = "reject"
missing_attribute = "reject"
[attributes]
age = "int"
spent = "double"
[[check]]
id = "grown-up"
reason = "TOO_YOUNG"
cel = "age >= 18"
when_missing = "reject"
[[check]]
id = "asked"
reason = "SAID_NO"
[check.http]
url = "https://internal.example/ask"
batch = 200
timeout_s = 2.0
on_error = "reject"
headers = { Accept = "text/plain" }
attributes = ["age", "spent"]
ask_when = "always"
[[check]]
id = "listed"
reason = "LISTED"
suppression = "customers"
[[check]]
id = "scored"
reason = "LOW_SCORE"
python = "score"
options = { least = 3 }
on_error = "reject"
[[policy]]
id = "new"
applies = "is_control"
checks = ["grown-up", "asked"]
[[policy]]
id = "all"
applies = "true"
checks = ["grown-up", "listed", "scored"]
"""


def _version(text: str) -> str:
    return load_rules(text, source="f").version


def test_a_version_is_sixteen_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", _version(FULL))


def test_the_same_rules_have_the_same_version_in_every_release() -> None:
    """Recorded decisions name it: a change here makes one set of rules look like two."""
    assert _version(FULL) == "06efd3a47816b15c"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("record_inputs = false", "record_inputs = true"),
        ('no_policy = "reject"', 'no_policy = "approve"'),
        ('spent = "double"', 'spent = "int"'),
        ('spent = "double"', 'spent = "double"\nmore = "bool"'),
        ('id = "grown-up"', 'id = "grownup"'),
        ('"TOO_YOUNG"', '"YOUNG"'),
        ("age >= 18", "age >= 21"),
        ('when_missing = "reject"', 'when_missing = "approve"'),
        ("https:", "http:"),
        ("batch = 200", "batch = 201"),
        ("timeout_s = 2.0", "timeout_s = 2.1"),
        ('ask"\nbatch = 200\ntimeout_s = 2.0\non_error = "reject"', 'ask"\non_error = "approve"'),
        ("text/plain", "text/html"),
        ("Accept =", "Accept-Language ="),
        ('attributes = ["age", "spent"]', 'attributes = ["age"]'),
        ('attributes = ["age", "spent"]', ""),
        ('ask_when = "always"', 'ask_when = "others_approve"'),
        ('suppression = "customers"', 'suppression = "others"'),
        ('suppression = "customers"', 'python = "customers"'),
        ('python = "score"', 'python = "rank"'),
        ("least = 3", "least = 4"),
        ("least = 3", "most = 3"),
        ('on_error = "reject"\n[[policy]]', 'on_error = "approve"\n[[policy]]'),
        ('id = "new"', 'id = "fresh"'),
        ('applies = "is_control"', 'applies = "!is_control"'),
        ('checks = ["grown-up", "asked"]', 'checks = ["asked", "grown-up"]'),
        ('checks = ["grown-up", "asked"]', 'checks = ["asked"]'),
    ],
)
def test_what_changes_the_meaning_changes_the_version(old: str, new: str) -> None:
    changed = FULL.replace(old, new)
    if old.startswith("id ="):  # its policies follow
        changed = changed.replace('["grown-up"', '["grownup"') if "grown" in old else changed

    assert changed != FULL
    assert _version(changed) != _version(FULL)


def test_the_order_of_policies_changes_the_version() -> None:
    head, first, second = FULL.split("[[policy]]\n")

    assert _version(f"{head}[[policy]]\n{second}[[policy]]\n{first}") != _version(FULL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("record_inputs = false\n", ""),
        ('no_policy = "reject"\n', ""),
        ('[defaults]\nno_policy = "reject"\nmissing_attribute = "reject"\n', ""),
        ('missing_attribute = "reject"', 'missing_attribute = "approve"'),  # no check leaves it open
        ('when_missing = "reject"\n', ""),
        ("batch = 200\n", ""),
        ("timeout_s = 2.0", "timeout_s = 2"),
        ("timeout_s = 2.0\n", ""),
        ('ask_when = "always"\n', ""),
        ('["age", "spent"]', '["spent", "age"]'),
        ('age = "int"\nspent = "double"', 'spent = "double"\nage = "int"'),
        ('cel = "age >= 18"', "cel = '''\nage >= 18'''"),
        ("[[policy]]", "\n\n# A policy\n[[ policy ]] # here"),
        ("[check.http]\nurl =", "http.url ="),
    ],
)
def test_defaults_comments_and_ways_of_writing_do_not(old: str, new: str) -> None:
    changed = FULL.replace(old, new)
    if "http.url" in new:
        names = ("batch", "timeout_s", "headers", "attributes =", "ask_when")
        for name in names:
            changed = changed.replace(f"\n{name}", f"\nhttp.{name}")
        changed = changed.replace("2.0\non_error", "2.0\nhttp.on_error")

    assert changed != FULL
    assert _version(changed) == _version(FULL)


def _written(value: Any) -> str:
    """A value of the file as TOML, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_written(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, str):
        return f"'{value}'"
    return str(value).lower()


@given(st.data())
def test_the_order_of_tables_and_keys_plays_no_role(data: st.DataObject) -> None:
    """All but policies, among themselves: written anew, as inline tables or not, in any order."""
    document = tomllib.loads(FULL)
    document["check"] = data.draw(st.permutations(document["check"]))

    def shuffled(table: dict[str, Any]) -> dict[str, Any]:
        items = data.draw(st.permutations(list(table.items())))
        return {key: shuffled(each) if isinstance(each, dict) else each for key, each in items}

    lines = []
    for key, value in shuffled({"top": document})["top"].items():
        written = [shuffled(each) for each in value] if isinstance(value, list) else value
        lines.append(f"{key} = {_written(written)}")

    assert _version("\n".join(lines)) == _version(FULL)
