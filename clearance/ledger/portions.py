"""How many values go into one statement: a long list is asked in portions that both databases take."""

from collections.abc import Iterable, Iterator

# SQLite takes 32,766 values in a statement, PostgreSQL 65,535.
MOST_AT_ONCE = 5_000


def portions(values: Iterable[str], most: int = MOST_AT_ONCE) -> Iterator[list[str]]:
    """Each value once, in order: two transactions that write the same rows wait in turn, not in a ring."""
    in_order = sorted(set(values))
    for first in range(0, len(in_order), most):
        yield in_order[first : first + most]
