"""Whatever a rules file holds, it gives rules or problems: nothing else is raised."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from clearance.decisions.rules import Problem, RulesError
from clearance.decisions.rules_file import load_rules
from tests.unit.decisions.rules_texts import ONE_OF_EACH, SAMPLE

_VALID = st.sampled_from([SAMPLE, ONE_OF_EACH])


def _read(text: str) -> None:
    """Rules, or problems that can be shown."""
    problems: tuple[Problem, ...] = ()
    try:
        problems = load_rules(text, source="f").warnings
    except RulesError as error:
        problems = error.problems
        is_refused = True
    else:
        is_refused = False
    assert problems or not is_refused
    lines = [problem.line for problem in problems if problem.line is not None]
    assert lines == sorted(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)
    assert all(problem.told and "\n" not in problem.told for problem in problems)


@given(st.text())
@example("[attributes]\n'' = 'int'\n")
@example("check = [1]\npolicy = [[]]\nattributes = 3")
@example("_schema = 1\n[[check]]\n_schema = 2\nid = 3")
@example("[check]\nid = 'x'\n[policy]\nid = 'y'")
@example("[[check]]\nhttp = 'x'\n[[check]]\nhttp = []\n[[check]]\nhttp.headers = []\nhttp.attributes = [[1]]")
@example("[[check]]\nid = ''\ncel = \"\\u0000\"\n[[policy]]\nid = []\napplies = ''\nchecks = [1, {}]")
@example("[[check]]\nid = {}\npython.x = 1\n[[check]]\nid = {}\n")
@example("a" + ".a" * 400 + " = 1")
@example("[[check]]\nid = 'a'\nreason = 'A'\npython = 'a'\noptions.a" + ".a" * 100 + " = 1")
def test_any_text_gives_rules_or_problems(text: str) -> None:
    _read(text)


@given(_VALID, st.lists(st.tuples(st.integers(0, 5000), st.characters()), min_size=1, max_size=4))
def test_a_file_with_wrong_characters_gives_rules_or_problems(
    text: str, changes: list[tuple[int, str]]
) -> None:
    for place, character in changes:
        at = place % len(text)
        text = text[:at] + character + text[at + 1 :]
    _read(text)


@given(
    _VALID,
    st.lists(
        st.tuples(st.sampled_from("drs"), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=4
    ),
)
def test_a_file_with_lines_removed_repeated_or_swapped_gives_rules_or_problems(
    text: str, changes: list[tuple[str, int, int]]
) -> None:
    lines = text.split("\n")
    for what, first, second in changes:
        one, other = first % len(lines), second % len(lines)
        if what == "d":
            del lines[one]
        elif what == "r":
            lines.insert(other, lines[one])
        else:
            lines[one], lines[other] = lines[other], lines[one]
    _read("\n".join(lines))


_WORDS = st.sampled_from(
    [
        "id",
        "reason",
        "cel",
        "http",
        "url",
        "headers",
        "attributes",
        "checks",
        "applies",
        "python",
        "options",
        "x",
        "_schema",
    ]
)
_VALUES = st.recursive(
    st.sampled_from(
        ["1", "-1.5", "nan", "true", "''", "'a'", "'age > 1'", "'('", "07:32:00", "'A'", "'env:A'", "'int'"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        st.dictionaries(_WORDS, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {each}" for key, each in table.items()) + "}"
        ),
    ),
    max_leaves=5,
)
_HEADERS = st.sampled_from(
    ["[[check]]", "[[policy]]", "[attributes]", "[defaults]", "[check.http]", "[[check.http.headers]]", "[x]"]
)


@given(st.lists(st.tuples(_HEADERS, st.dictionaries(_WORDS, _VALUES, max_size=4)), max_size=5))
def test_tables_with_any_values_give_rules_or_problems(tables: list[tuple[str, dict[str, Any]]]) -> None:
    lines = []
    for header, table in tables:
        lines += [header, *(f"{key} = {each}" for key, each in table.items())]
    _read("\n".join(lines))
