"""Which regular expressions of this expression can never work? The engine only finds out when it evaluates them.

In: an expression that compiles. Out: the patterns, written out as the one literal that `matches` is given, that the
engine refuses. A pattern that is put together or comes from an attribute is not looked at: whether it works depends on
the customer.
"""

import re
from collections.abc import Iterator

from clearance.decisions.expressions import ExpressionError, compile_condition

_RAW = r"""[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"]*"|'[^']*')"""
_ESCAPED = r"""\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_TOKEN = re.compile(rf"(?P<text>{_RAW}|{_ESCAPED})|//[^\n]*|[A-Za-z_]\w*|\S", re.DOTALL)


def broken_patterns(text: str) -> Iterator[ExpressionError]:
    """What is wrong with each pattern that no value could match, in the expression's order."""
    if "matches" not in text:
        return
    tokens = list(_TOKEN.finditer(text))
    for position, token in enumerate(tokens):
        around = [each[0] for each in tokens[max(position - 2, 0) : position + 2]]
        is_pattern = token["text"] is not None and around[:2] == ["matches", "("] and around[3:] == [")"]
        if is_pattern and _is_broken(token[0]):
            before = text[: token.start()]
            yield ExpressionError(
                "this regular expression (RE2) is not valid",
                line=before.count("\n") + 1,
                column=token.start() - before.rfind("\n"),
            )


def _is_broken(literal: str) -> bool:
    """Asks the engine: nothing else in this expression can fail."""
    try:
        return compile_condition(f'"".matches({literal})', {}).judge({}) is None
    except ExpressionError:
        return False  # not what it looked like
