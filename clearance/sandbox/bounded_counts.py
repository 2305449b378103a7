"""How does a count by names that the sender chooses stay small? Names beyond the first few hundred count as one."""

from collections import Counter

NAMES_MAX = 500
OTHERS = "others"


class BoundedCounts(Counter[str]):
    """A counter of texts; `add` is the way to count."""

    def add(self, name: str) -> None:
        """Count one."""
        self[name if name in self or len(self) < NAMES_MAX else OTHERS] += 1
