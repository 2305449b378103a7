"""Where a key stands in a TOML text."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.decisions.toml_lines import Path, TomlLines
from tests.unit.decisions.rules_texts import SAMPLE

TEXT = """\
top = 1 # not = this
"quoted key" . 'x' = "[a]"

[table] # [no.table]
multi = '''
[not.a.table]
not_a_key = 1
'''
folded = \"\"\"a \\
  b\"\"\"
list = [ # ]
  "]", '''
]''', { inner = 1 },
]
after = 1
[[check]]
id = "#"
[check.http]
url = ""
headers = { A = "b" }
[[check]]
http.url = "x"
[[check.more]]
[[check.more]]
last = '''four''''
end = true"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("quoted key", "x"), 2),
        (("table",), 4),
        (("table", "multi"), 5),
        (("table", "folded"), 9),
        (("table", "list"), 11),
        (("table", "list", 2, "inner"), 11),
        (("table", "after"), 15),
        (("check", 0), 16),
        (("check", 0, "id"), 17),
        (("check", 0, "http"), 18),
        (("check", 0, "http", "url"), 19),
        (("check", 0, "http", "headers", "A"), 20),
        (("check", 0, "missing"), 16),
        (("check", 1, "http", "url"), 22),
        (("check", 1, "more", 1, "last"), 25),
        (("check", 1, "more", 1, "end"), 26),
        (("nowhere",), None),
        (("not", "a", "table"), None),
        ((), None),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_key_is_found_on_its_line_or_on_that_of_what_is_around_it(
    path: Path, line: int | None, end: str
) -> None:
    assert TomlLines(TEXT.replace("\n", end)).line(path) == line


@pytest.mark.parametrize(
    ("value", "line_in_value", "line"),
    [
        ("'one line'", 1, 2),
        ("'one line'", 3, 2),
        ('"a\\nb"', 2, 2),
        ("'''\nfirst\nsecond'''", 2, 4),
        ("'''first\nsecond'''", 2, 3),
        ('"""\nfirst\nsecond"""', 2, 4),
        ('"""\nfirst\\\nstill first\nsecond"""', 2, 2),  # joined lines: only the key is certain
    ],
)
def test_a_line_of_a_text_is_a_line_of_the_file_where_that_is_certain(
    value: str, line_in_value: int, line: int
) -> None:
    assert TomlLines(f"\nkey = {value}\n").line(("key",), line_in_value) == line


def test_a_key_that_stands_twice_is_found_twice() -> None:
    (twice,) = TomlLines("a = 1\n[t]\na = 1\nb = 1\na = 2\n").twice

    assert (twice.path, twice.line, twice.twice_of) == (("t", "a"), 5, 3)


_STRING = st.text("ab'\"[]{}#=.\\\n ", max_size=8)
_BASIC = _STRING.map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
)
_LITERAL = _STRING.filter(lambda text: "'" not in text).map(lambda text: f"'''{text}'''")
_SCALAR = st.one_of(_BASIC, _LITERAL, st.sampled_from(["1", "-2.5", "true", "1979-05-27T07:32:00Z"]))
_VALUE = st.recursive(
    _SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: "[ # ]\n" + ",\n".join(each) + "\n]"),
        inner.map(lambda each: "{ k = " + each + " }"),
    ),
    max_leaves=4,
)
_KEYS = st.lists(st.tuples(st.sampled_from(["", "t.", "'q q'.", '"]".']), _VALUE), min_size=1, max_size=4)
_TABLE = st.tuples(st.sampled_from(["[[a]]", "[[ b . c ]]", "[a.s]", "[d]", "[d.'e f']"]), _KEYS)


@given(st.lists(_TABLE, max_size=6))
def test_whatever_the_toml_the_lines_are_those_of_its_keys(tables: list[tuple[str, Any]]) -> None:
    """Every key has a name of its own, so that its line can be looked for in the text."""
    text = ""
    for at, (header, keys) in enumerate(tables):
        text += f"{header} # [no]\n"
        for number, (prefix, value) in enumerate(keys):
            text += f"{prefix}key_{at}_{number} = {value} # no = 1\n"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a table that stands twice
        return
    lines = TomlLines(text)
    for path in _paths(document):
        (line,) = (at for at, each in enumerate(text.split("\n"), 1) if f"{path[-1]} = " in each)
        assert lines.line(path) == line


def _paths(value: object, path: Path = ()) -> list[Path]:
    found: list[Path] = [path] if path and str(path[-1]).startswith("key_") else []
    if not found and isinstance(value, dict):
        for key, each in value.items():
            found += _paths(each, (*path, key))
    if not found and isinstance(value, list):
        for at, each in enumerate(value):
            found += _paths(each, (*path, at))
    return found


@given(st.integers(0, len(SAMPLE)), st.text("[]='\"#\n a.", max_size=4))
def test_where_a_text_breaks_off_the_lines_before_stay_right(at: int, put: str) -> None:
    whole, broken = TomlLines(SAMPLE), TomlLines(SAMPLE[:at] + put)

    for table in (("check", position) for position in range(5)):
        id_line = broken.line((*table, "id"))
        assert id_line in (whole.line((*table, "id")), whole.line(table), None)
        if at > SAMPLE.index("[[policy]]"):
            assert id_line == whole.line((*table, "id"))
