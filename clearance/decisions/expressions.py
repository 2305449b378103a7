"""Can this expression be evaluated, and what does it say? With `columns`, all that knows the CEL engine.

In: text, and the names that it may use with their kinds. Out: a `Condition`, which is true, false or fails, and never
raises; or an `ExpressionError` that says where the text is wrong. The engine bounds size, depth and iterations, and its
regular expressions take linear time.

Source: CEL language definition; cel-expr-python 0.1.3.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from cel_expr_python import cel


class Kind(StrEnum):
    """What a name stands for. All but `STRINGS` may be declared in a rules file."""

    STRING = "string"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    STRINGS = "strings"


# What a check may use besides the declared attributes.
CHECK_VARIABLES: Mapping[str, Kind] = {
    "is_hashed": Kind.BOOL,
    "is_visitor": Kind.BOOL,
    "promo_codes": Kind.STRINGS,
    "is_control": Kind.BOOL,
    "trigger_name": Kind.STRING,
}
# What the `applies` of a policy may use.
POLICY_VARIABLES: Mapping[str, Kind] = {
    "lane": Kind.STRING,
    "channel_id": Kind.STRING,
    "channel_name": Kind.STRING,
    "brand_id": Kind.STRING,
    "template_id": Kind.STRING,
    "template_name": Kind.STRING,
    "tags": Kind.STRINGS,
    "series_id": Kind.STRING,
    "action_id": Kind.STRING,
    "is_control": Kind.BOOL,
    "trigger_name": Kind.STRING,
}

TYPE_BY_KIND = {
    Kind.STRING: cel.Type.STRING,
    Kind.INT: cel.Type.INT,
    Kind.DOUBLE: cel.Type.DOUBLE,
    Kind.BOOL: cel.Type.BOOL,
    Kind.STRINGS: cel.Type.List(cel.Type.STRING),
}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# At the start of a line: what is quoted from the expression begins with a bar.
_PLACE = re.compile(r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)", re.MULTILINE)
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")


class ExpressionError(Exception):
    """An expression that cannot be used.

    Attributes:
        line, column: Where in the expression, from 1; None when the engine does not say.
        undeclared: The name that nobody declared, if that is what is wrong.
        further: What else is wrong with it, in its order. Empty for an expression without syntax: all but the first
            would be guesses.
    """

    def __init__(
        self,
        told: str,
        *,
        line: int | None = None,
        column: int | None = None,
        further: "tuple[ExpressionError, ...]" = (),
    ) -> None:
        super().__init__(told)
        self.further = further
        self.told = told
        self.line = line
        self.column = column
        found = _UNDECLARED.match(told)
        self.undeclared = found[1] if found else None


class Condition:
    """A compiled expression that is true or false."""

    def __init__(self, text: str, kind_by_name: Mapping[str, Kind]) -> None:
        """See `compile_condition`."""
        self.text = text
        self._kind_by_name = kind_by_name
        self._program = _compiled(text, kind_by_name)

    @cached_property
    def names(self) -> frozenset[str]:
        """The declared names that the expression really uses: without one of them it does not compile."""
        found: dict[str, Kind] = {}
        while True:
            missed, is_all = self._missed(found)
            found |= {name: self._kind_by_name[name] for name in missed}
            if is_all:
                return frozenset(found)
            if not missed:  # the engine is at a loss: rather a name too many
                return frozenset(set(_IDENTIFIER.findall(self.text)) & set(self._kind_by_name))

    def judge(self, value_by_name: Mapping[str, object]) -> bool | None:
        """What it says of these values, each of its kind; None when it cannot be evaluated."""
        try:
            found = self._program.eval(data=value_by_name).plain_value()
        except Exception:  # noqa: BLE001 - the engine raises whatever its C++ raises
            return None
        return found if isinstance(found, bool) else None

    def _missed(self, kind_by_name: Mapping[str, Kind]) -> tuple[set[str], bool]:
        """Which names the engine misses when only these are declared, and whether it says so of all."""
        try:
            _compiled(self.text, kind_by_name)
        except ExpressionError as error:
            errors = (error, *error.further)
        else:
            return set(), True
        undeclared = {each.undeclared.partition(".")[0] for each in errors if each.undeclared}
        missed = undeclared & (self._kind_by_name.keys() - kind_by_name.keys())
        # After twenty it says, as one more, that it stops.
        return missed, all(each.undeclared for each in errors)


def compile_condition(text: str, kind_by_name: Mapping[str, Kind]) -> Condition:
    """The condition that `text` states over these names.

    Raises:
        ExpressionError: No syntax, a name that is not declared, kinds that do not fit, or no truth value.
    """
    return Condition(text, kind_by_name)


@lru_cache(maxsize=1024)
def is_usable_name(name: str) -> bool:
    """Whether an expression can use a variable of this name: `true`, `in`, `int` and `package` it cannot.

    Names that begin with `__` belong to the engine.
    """
    if not _IDENTIFIER.fullmatch(name) or name.startswith("__"):
        return False
    try:
        program = cel.NewEnv(variables={name: cel.Type.STRING}).compile(name)
        return bool(program.eval(data={name: "text"}).plain_value() == "text")
    except Exception:  # noqa: BLE001 - the engine raises RuntimeError with all in its text
        return False


def _compiled(text: str, kind_by_name: Mapping[str, Kind]) -> Any:
    env = _env(tuple(sorted(kind_by_name.items())))
    try:
        program = env.compile(text)
    except Exception as error:  # noqa: BLE001 - the engine raises RuntimeError with all in its text
        raise _error(str(error)) from None
    if program.return_type() != cel.Type.BOOL:
        raise ExpressionError(f"must be true or false, and is {program.return_type().name().lower()}")
    return program


# What an environment compiles first takes it five times as long as what follows, and a rules file needs three of them.
@lru_cache(maxsize=16)
def _env(names: tuple[tuple[str, Kind], ...]) -> Any:
    return cel.NewEnv(variables={name: TYPE_BY_KIND[kind] for name, kind in names})


def _error(told: str) -> ExpressionError:
    found = list(_PLACE.finditer(told))
    if not found:
        return ExpressionError(told.rpartition(" [")[0].partition(": ")[2] or told)
    first, *others = found
    is_read = not first[3].startswith("Syntax error")
    return _placed(first, tuple(_placed(other, ()) for other in others) if is_read else ())


def _placed(found: re.Match[str], further: tuple[ExpressionError, ...]) -> ExpressionError:
    line, column = int(found[1]), int(found[2])
    message = found[3].removesuffix(" [INVALID_ARGUMENT]").removesuffix(" (in container '')")
    return ExpressionError(
        message, line=line if line > 0 else None, column=column if column > 0 else None, further=further
    )
