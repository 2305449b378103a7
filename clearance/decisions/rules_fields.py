"""Which values may stand in a rules file? One marshmallow field for each kind of value.

Strict: nothing is converted from text. Messages say what was expected and what was probably meant; they follow the name
of the key. They repeat what was written only where it is a word that was to be chosen from a list.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields

from clearance.decisions.did_you_mean import did_you_mean, shown
from clearance.decisions.rules import REASON_PATTERN

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LIST_NAME = re.compile(r"[a-z0-9-]{1,64}")  # as the ledger takes them
_REASON = re.compile(REASON_PATTERN)
_ENVIRONMENT = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_NOT_TO_SAY = frozenset({"content-type", "content-length", "idempotency-key"})  # the protocol's
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # Source: RFC 9110, section 5.6.2
_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]*")
_NO_SPACE = re.compile(r"[\x21-\x7e]+")
_OPTION_LEVELS = 16  # deep enough for any options, and no recursion to speak of
_OPTION_LEAST, _OPTION_MOST = -(2**63), 2**63 - 1  # what TOML promises to carry


class Text(fields.Field[str]):
    """Text of any kind, but not nothing."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if type(value) is not str or not value.strip():
            raise ValidationError("must be text")
        return value


class Name(fields.Field[str]):
    """What an operator calls something: it is shown in tables, and stands in reasons and metrics."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if type(value) is not str or not NAME.fullmatch(value):
            raise ValidationError(
                "must be 1 to 64 letters, digits, '-', '_' or '.', and begin with a letter or digit"
            )
        return value


class ListName(fields.Field[str]):
    """What a suppression list of the ledger is called."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        expected = "must be 1 to 64 small letters, digits or '-'"
        if type(value) is not str:
            raise ValidationError(expected)
        if not _LIST_NAME.fullmatch(value):
            meant = re.sub(r"[\s_.]+", "-", value.strip()).lower()
            raise ValidationError(
                expected + (f": did you mean `{meant}`?" if _LIST_NAME.fullmatch(meant) else "")
            )
        return value


class Reason(fields.Field[str]):
    """A reason code."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        expected = "must be 1 to 64 capitals, digits or '_', and begin with a capital"
        if type(value) is not str:
            raise ValidationError(expected)
        if value == "NO_POLICY":
            raise ValidationError("must not be `NO_POLICY`, which says that no policy applied")
        if not _REASON.fullmatch(value):
            meant = re.sub(r"[\s-]+", "_", value.strip()).upper()
            raise ValidationError(
                expected + (f": did you mean `{meant}`?" if _REASON.fullmatch(meant) else "")
            )
        return value


class Choice(fields.Field[StrEnum]):
    """One word of a list."""

    def __init__(self, choices: type[StrEnum], **settings: Any) -> None:
        super().__init__(**settings)
        self._choices = choices

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> StrEnum:
        words = [str(each) for each in self._choices]
        if type(value) is str and value in words:
            return self._choices(value)
        expected = "must be " + " or ".join(f'"{word}"' for word in words)
        raise ValidationError(expected + (did_you_mean(value, words) if type(value) is str else ""))


class Whole(fields.Field[int]):
    """A whole number within bounds."""

    def __init__(self, least: int, most: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._least, self._most = least, most

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if type(value) is not int or not self._least <= value <= self._most:
            raise ValidationError(f"must be a whole number from {self._least:,} to {self._most:,}")
        return value


class Seconds(fields.Field[float]):
    """A time in seconds, more than none."""

    def __init__(self, most: float, **settings: Any) -> None:
        super().__init__(**settings)
        self._most = most

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float:
        if type(value) not in (int, float) or not 0 < value <= self._most:
            raise ValidationError(f"must be seconds, more than 0 and at most {self._most:g}")
        return float(value)


class Flag(fields.Field[bool]):
    """True or false; not 0, not "true"."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if type(value) is not bool:
            raise ValidationError("must be true or false, without quotes")
        return value


class Names(fields.Field[tuple[str, ...]]):
    """A list of names, each once."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        if type(value) is not list or not all(type(each) is str for each in value):
            raise ValidationError("must be a list of names")
        twice = [each for each, count in Counter(value).items() if count > 1]
        if twice:
            raise ValidationError([f"names {shown(each)} twice" for each in twice])
        return tuple(value)


class Tables(fields.Field[list[dict[str, Any]]]):
    """Tables that may stand any number of times. What they hold is checked by itself."""

    def _deserialize(self, value: Any, attr: str | None, *_: Any, **__: Any) -> list[dict[str, Any]]:
        if type(value) is not list or not all(type(each) is dict for each in value):
            raise ValidationError(f"must be tables: write [[{attr}]]")
        return value


class Url(fields.Field[str]):
    """Where to ask: a URL, or the environment variable that holds it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if type(value) is not str or not (_ENVIRONMENT.fullmatch(value) or _is_url(value)):
            raise ValidationError(
                'must be "http(s)://host[:port][/path][?query]" or "env:NAME"; credentials belong in headers'
            )
        return value


class Headers(fields.Field[Mapping[str, str]]):
    """HTTP headers: values are text, or the environment variable that holds it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Mapping[str, str]:
        if type(value) is not dict:
            raise ValidationError('must be a table of headers: { Authorization = "env:NAME" }')
        problems = {name: list(_header_problems(name, value)) for name in value}
        if any(problems.values()):
            raise ValidationError({name: told for name, told in problems.items() if told})
        return dict(value)


class Options(fields.Field[Mapping[str, object]]):
    """What a function of the operator's is given: what JSON can carry."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Mapping[str, object]:
        if type(value) is not dict:
            raise ValidationError("must be a table of options: { list = 3 }")
        if not _is_plain(value, _OPTION_LEVELS):
            raise ValidationError(
                "must hold text, numbers of 64 bits, true or false, lists and tables,"
                f" at most {_OPTION_LEVELS} levels deep"
            )
        return dict(value)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        has_right_port = parts.port != 0
    except ValueError:  # a port that is none, brackets that do not match
        return False
    is_http = parts.scheme in ("http", "https") and bool(parts.hostname)
    has_more = "@" in parts.netloc or "#" in text
    return is_http and has_right_port and not has_more and _NO_SPACE.fullmatch(text) is not None


def _header_problems(name: str, value_by_name: Mapping[str, Any]) -> Iterable[str]:
    value = value_by_name[name]
    if not _HEADER_NAME.fullmatch(name):
        yield "must be named by letters, digits and '-'"
    if name.lower() in _NOT_TO_SAY:
        yield "is not for a check to say: the protocol sets it"
    if any(other.lower() == name.lower() for other in value_by_name if other < name):
        yield "stands twice: capitals do not count in the names of headers"
    if type(value) is not str or not _PRINTABLE_ASCII.fullmatch(value):
        yield "must be printable ASCII text"
    elif value.startswith("env:") and not _ENVIRONMENT.fullmatch(value):
        yield "must name an environment variable after \"env:\": letters, digits, '_'"


def _is_plain(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels > 0 and all(_is_plain(each, levels - 1) for each in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_is_plain(each, levels - 1) for each in value)
    if type(value) is int:
        return _OPTION_LEAST <= value <= _OPTION_MOST
    if type(value) is float:
        return math.isfinite(value)
    return type(value) in (str, bool)
