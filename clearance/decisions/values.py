"""What does this value say, read as the kind that was declared for it?

In: whatever a vendor's payload held. Out: a value of exactly that kind, or why there is none. Nothing raises, and
nothing is guessed: what is not plainly a value of the kind is malformed, so that no check is decided by it.

| kind | taken | malformed, among others |
|---|---|---|
| string | text | numbers; text that is no UTF-8 (lone surrogates) |
| int | whole numbers of 64 bits, `-?[0-9]+` of up to 19 digits as text | true, 5.0, "+5", "5 ", "1_000", "٥" |
| double | finite numbers, `-12.50`, `1e3` as text | NaN, Infinity, whole numbers that a double would round, ".5" |
| bool | true, false, "true", "false" | 0, 1, "True", "yes" |
| strings | a list of text | text |
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from clearance.decisions.expressions import Kind


class Unusable(StrEnum):
    """Why there is no value. The name is the first part of a reason code."""

    MISSING = "MISSING"
    MALFORMED = "MALFORMED"

    @classmethod
    def why(cls, value: object) -> "Unusable":
        """Why `value`, which is of no use, is not."""
        return cls.MISSING if value is None else cls.MALFORMED


_INT_TEXT = re.compile(r"-?[0-9]{1,19}")
_DOUBLE_TEXT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_BOOL_BY_TEXT = {"true": True, "false": False}


def convert(value: object, kind: Kind) -> object:
    """`value` as `kind`, or `Unusable`. Absent is None, as in JSON."""
    return _CONVERT_BY_KIND[kind](value)


def convert_all(values: Sequence[object], kind: Kind) -> list[object]:
    """Each of `values` as `convert` has it, quickly where a value already is what it should be."""
    slowly = _CONVERT_BY_KIND[kind]
    match kind:
        case Kind.STRING:
            return [v if type(v) is str and v.isascii() else slowly(v) for v in values]
        case Kind.INT:
            return [v if type(v) is int and _INT_MIN <= v <= _INT_MAX else slowly(v) for v in values]
        case Kind.DOUBLE:
            return [v if type(v) is float and v - v == 0.0 else slowly(v) for v in values]
        case Kind.BOOL:
            return [v if v is True or v is False else slowly(v) for v in values]
        case Kind.STRINGS:
            return [slowly(v) for v in values]


def _string(value: object) -> object:
    return value if type(value) is str and _is_unicode(value) else Unusable.why(value)


def _int(value: object) -> object:
    if type(value) is str and _INT_TEXT.fullmatch(value):
        value = int(value)
    return value if type(value) is int and _INT_MIN <= value <= _INT_MAX else Unusable.why(value)


def _double(value: object) -> object:
    number = math.nan
    if type(value) is float:
        number = value
    elif type(value) is int:
        number = _exactly(value)
    elif type(value) is str and _DOUBLE_TEXT.fullmatch(value):
        number = float(value)
    return number if math.isfinite(number) else Unusable.why(value)


def _bool(value: object) -> object:
    if type(value) is str:
        return _BOOL_BY_TEXT.get(value, Unusable.MALFORMED)
    return value if type(value) is bool else Unusable.why(value)


def _strings(value: object) -> object:
    if type(value) not in (list, tuple):
        return Unusable.why(value)
    texts = list(value)  # type: ignore[call-overload]  # just seen to be a list or a tuple
    return texts if all(type(text) is str and _is_unicode(text) for text in texts) else Unusable.MALFORMED


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _exactly(whole: int) -> float:
    try:
        number = float(whole)
    except OverflowError:
        return math.nan
    return number if int(number) == whole else math.nan


# The exact type is asked for: a subclass may answer anything.
_CONVERT_BY_KIND: Mapping[Kind, Callable[[object], object]] = {
    Kind.STRING: _string,
    Kind.INT: _int,
    Kind.DOUBLE: _double,
    Kind.BOOL: _bool,
    Kind.STRINGS: _strings,
}
