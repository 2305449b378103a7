"""Leases that nobody renews: what a worker holds while it works, for tests that own the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from clearance.obligations import Claimed


class HeldLeases:
    """In place of `tasks.leases.Leases`; `held` is what is held just now."""

    def __init__(self, lease: timedelta) -> None:
        self.lease = lease
        self.held: list[Claimed] = []

    @contextmanager
    def holding(self, *claims: Claimed) -> Iterator[None]:
        self.held.extend(claims)
        try:
            yield
        finally:
            for claimed in claims:
                self.held.remove(claimed)
