"""What is a promise of a demo? Something that must hold whatever happens, and the numbers that say whether it did."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Something that must hold whatever happens. `measured` says by which numbers."""

    name: str
    held: bool
    measured: str
