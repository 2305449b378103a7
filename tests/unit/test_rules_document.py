"""docs/rules.md is the reference of the format: its examples load, and its tables are what the code does."""

import json
import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from clearance.checks.http_protocol import load_answers
from clearance.decisions.expressions import CHECK_VARIABLES, POLICY_VARIABLES, Kind, compile_condition
from clearance.decisions.rules import HttpCheck
from clearance.decisions.rules_file import load_rules
from clearance.decisions.values import Unusable, convert

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
_SOURCES = {"docs/rules.md": TEXT, "README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
_EXAMPLES = [
    pytest.param(block, id=f"{name}-{position}")
    for name, text in _SOURCES.items()
    for position, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL), 1)
]
_JSON = re.findall(r"^```json\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def _rows(header: str) -> list[list[str]]:
    """The cells of the table that begins with this line."""
    _, found, rest = TEXT.partition(f"\n{header}\n")
    assert found, f"there is no table {header!r}"
    lines = rest.splitlines()[1:]
    end = next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[:end]]


def _spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _values(header_cell: int) -> list[tuple[Kind, object]]:
    rows = _rows("| kind | taken | not taken: `MALFORMED:<attribute>` |")
    return [(Kind(_spans(row[0])[0]), json.loads(span)) for row in rows for span in _spans(row[header_cell])]


@pytest.mark.parametrize("example", _EXAMPLES)
def test_an_example_is_a_rules_file_or_a_part_of_one(example: str) -> None:
    text, told = example, tomllib.loads(example)
    if "policy" not in told:
        checks = json.dumps([check["id"] for check in told["check"]])
        policy = f'[[policy]]\nid = "all"\napplies = "true"\nchecks = {checks}'
        text = f'[attributes]\ncountry = "string"\n{example}\n{policy}\n'

    assert load_rules(text, source="an example").policies


def test_the_examples_show_every_kind_of_check() -> None:
    shown = [check for example in _EXAMPLES for check in tomllib.loads(str(example.values[0]))["check"]]

    assert {kind for check in shown for kind in check} >= {"cel", "http", "suppression", "python"}


@pytest.mark.parametrize(("kind", "value"), _values(1))
def test_what_the_document_says_is_taken_is_taken(kind: Kind, value: object) -> None:
    assert not isinstance(convert(value, kind), Unusable)


@pytest.mark.parametrize(("kind", "value"), _values(2))
def test_what_the_document_says_is_malformed_is_malformed(kind: Kind, value: object) -> None:
    assert convert(value, kind) is Unusable.MALFORMED


def test_the_document_names_every_variable_of_expressions() -> None:
    of_checks = {span for row in _rows("| in a check's `cel` | kind | |") for span in _spans(row[0])}
    of_policies = {span for row in _rows("| in a policy's `applies` | kind | |") for span in _spans(row[0])}

    assert of_checks == set(CHECK_VARIABLES)
    assert of_policies == set(POLICY_VARIABLES)


def test_the_expressions_that_the_document_recommends_can_be_used() -> None:
    kinds = {"country": Kind.STRING, "age": Kind.INT, "loyalty_tier": Kind.STRING, **CHECK_VARIABLES}
    written = [_spans(row[1])[0].replace(r"\|", "|") for row in _rows("| to say | write |")]

    for text in written:
        if text.startswith("applies = "):
            compile_condition(tomllib.loads(text)["applies"], POLICY_VARIABLES)
        else:
            compile_condition(text, kinds)
    assert len(written) > 3


def test_the_document_states_the_defaults_of_http_checks() -> None:
    default_by_key = {_spans(row[0])[0]: row[2] for row in _rows("| key | meaning | default |")}
    default_by_field = {item.name: item.default for item in fields(HttpCheck) if item.default is not MISSING}

    assert default_by_field.pop("attributes") is None
    shown = {
        key: json.dumps(value if isinstance(value, int | float) else str(value))
        for key, value in default_by_field.items()
    }
    assert {key: default_by_key[key].strip("`") for key in shown} == shown


def test_the_document_shows_a_request_and_its_answer() -> None:
    request, answer = map(json.loads, _JSON)
    asked = frozenset(customer["customer_id"] for customer in request["customers"])

    answers = load_answers(json.dumps(answer).encode(), asked)

    assert answers.ignored == 0
    assert {each: row.approved for each, row in answers.row_by_customer.items()} == {
        "C12345": True,
        "C12346": False,
    }
