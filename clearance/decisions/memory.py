"""What did a condition over one value say of that value before?

In: a condition that refers to one name, and a column of its values. Out: an answer a row. For values that come again
and again (countries, tiers, flags, ages): to look up what was said costs a fraction of asking again. A condition whose
values turn out to be many (names, ids) is remembered no more.
"""

from collections.abc import Mapping, Sequence

from clearance.decisions.expressions import Condition, Kind

# Whoever has more different values is asked together with the others: each new one costs an evaluation of its own.
VALUES_MAX = 2048
# The values of a column are of one kind, so that none is taken for another that is equal. Not doubles: few are equal.
KINDS = frozenset({Kind.STRING, Kind.INT, Kind.BOOL})


class Memory:
    """The answers of one condition. Threads share it: at worst one of them asks once more."""

    def __init__(self, condition: Condition, name: str) -> None:
        self._condition = condition
        self._name = name
        self._answer_by_value: dict[object, bool | None] = {}
        self.is_full = False

    def answers(self, column: Sequence[object]) -> list[bool | None] | None:
        """What the condition says of each value, None where it fails; nothing at all when there are too many."""
        known = self._answer_by_value
        try:
            return [known[value] for value in column]
        except KeyError:
            new = set(column).difference(known)
        if self.is_full or len(known) + len(new) > VALUES_MAX:
            self.is_full = True
            return None
        known.update((value, self._condition.judge({self._name: value})) for value in new)
        return [known[value] for value in column]


def memory_of(condition: Condition, kind_by_name: Mapping[str, Kind]) -> Memory | None:
    """A memory for this condition; None when its answer does not depend on one value that may come again."""
    if len(condition.names) != 1:
        return None
    (name,) = condition.names
    return Memory(condition, name) if kind_by_name[name] in KINDS else None
