"""On which line of a TOML text does this key stand? The parser of the standard library does not say.

In: text that may be valid TOML or not. Out: the line of every table header and of every key that stands for itself, by
its path: `("check", 2, "http", "url")` is the key `url` of `[check.http]` after the third `[[check]]`.

What is inside of an inline table or an array has the line of the nearest key around it. Where the text stops making
sense, the search ends: a line is right or missing, never wrong.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

Path = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*+"
_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*+")
_HEADER = re.compile(rf"(?P<open>\[\[?)[ \t]*(?P<key>{_DOTTED})[ \t]*\]\]?")
_ASSIGNED = re.compile(rf"(?P<key>{_DOTTED})[ \t]*=[ \t]*")
_COMMENT = re.compile(r"#[^\n]*")
_PART = re.compile(_KEY)
# Strings first, so that what looks like a bracket or a comment inside of one is none.
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}(?!")|\'{3}.*?'{3,5}(?!')|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''', re.DOTALL
)
_PLAIN = re.compile(r"[^\"'\[\]{}#\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a key stands. `value` is its value as written, empty for a table header; `twice_of` the line of the same
    key before it.
    """

    path: Path
    line: int
    value: str = ""
    twice_of: int | None = None

    def line_of(self, line_in_value: int) -> int:
        """The line of the file for a line of the text that the value means."""
        is_multi_line = self.value.startswith(("'''", '"""'))
        is_folded = self.value.startswith('"') and "\\" in self.value  # escapes may make lines, or join them
        if not is_multi_line or is_folded:
            return self.line
        starts_below = self.value[3:4] == "\n"
        return self.line + line_in_value - 1 + starts_below


class TomlLines:
    """The lines of one text."""

    def __init__(self, text: str) -> None:
        self._spot_by_path: dict[Path, Spot] = {}
        self.twice: list[Spot] = []
        for spot in _spots(text.replace("\r\n", "\n")):
            first = self._spot_by_path.setdefault(spot.path, spot)
            if first is not spot:
                self.twice.append(Spot(path=spot.path, line=spot.line, value=spot.value, twice_of=first.line))

    def line(self, path: Path, line_in_value: int | None = None) -> int | None:
        """The line of the key, or else of the nearest around it; None when there is none.

        With `line_in_value`, from 1, that line of its text where it is certain.
        """
        for length in range(len(path), 0, -1):
            spot = self._spot_by_path.get(path[:length])
            if spot is not None:
                is_itself = length == len(path) and line_in_value is not None
                return spot.line_of(line_in_value or 1) if is_itself else spot.line
        return None


def _spots(text: str) -> Iterator[Spot]:
    """Every header and key, in order. Ends early where the text is no TOML."""
    table: Path = ()
    last_by_array: dict[Path, int] = {}
    at, line = 0, 1
    while True:
        start = _match_end(_BLANK, text, at)
        line += text.count("\n", at, start)
        header = _HEADER.match(text, start)
        assigned = None if header else _ASSIGNED.match(text, start)
        if header:
            table = _path((), _parts(header["key"]), last_by_array)
            if header["open"] == "[[":
                last_by_array[table] = last_by_array.get(table, -1) + 1
                table = (*table, last_by_array[table])
            yield Spot(path=table, line=line)
            at = header.end()
        elif assigned:
            end = _value_end(text, assigned.end())
            path = _path(table, _parts(assigned["key"]), last_by_array)
            yield Spot(path=path, line=line, value=text[assigned.end() : end])
            line += text.count("\n", assigned.end(), end)
            at = end
        else:
            return


def _path(table: Path, parts: list[str], last_by_array: dict[Path, int]) -> Path:
    """The path of a key below a table. A part that names an array of tables means its last one."""
    path = table
    for position, part in enumerate(parts):
        path = (*path, part)
        if path in last_by_array and position < len(parts) - 1:
            path = (*path, last_by_array[path])
    return path


def _parts(dotted: str) -> list[str]:
    return [_unquoted(part) for part in _PART.findall(dotted)]


def _unquoted(part: str) -> str:
    if part[0] == "'":
        return part[1:-1]
    if part[0] != '"':
        return part
    try:
        return str(tomllib.loads(f"key = {part}")["key"])
    except tomllib.TOMLDecodeError:
        return part


def _value_end(text: str, start: int) -> int:
    """Where the value that begins here ends: at the end of its line, unless brackets or a string go on."""
    at, depth = start, 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            end = _match_end(_STRING, text, at)
            if end == at:
                return len(text)
            at = end
        elif character == "#":
            at = _match_end(_COMMENT, text, at)
        elif character == "\n" and depth <= 0:
            return at
        elif character in "[]{}\n":
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0)
            at += 1
        else:
            at = _match_end(_PLAIN, text, at)
    return len(text)


def _match_end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
