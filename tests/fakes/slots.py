"""Slots without a server: `clearance.limits.slots.Slots` by a clock that the test moves.

What `slots.lua` does, as functions of a value: a test that goes through every order of events can put it back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from clearance.limits.slots import NoSlot, Slot, SlotsUnavailable
from tests.fakes.clock import START, ManualClock


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the server knows. `name` is 0 while it knows nothing; `held` has tokens and the moments of their ends."""

    name: int = 0
    opens_at_s: float | None = None
    fence: int = 0
    held: tuple[tuple[int, float], ...] = ()

    def alive(self, now_s: float) -> "Remembered":
        """Without those whose lease is over."""
        return replace(self, held=tuple(each for each in self.held if each[1] > now_s))

    def acquired(
        self, now_s: float, *, most: int, lease_s: float, name: int
    ) -> tuple["Remembered", int | float | None]:
        """What it knows then, and the token (an int), the wait (a float), or None: it begins anew."""
        here = self.alive(now_s) if self.name else Remembered(name=name)
        if here.opens_at_s is None:
            return here, None
        if here.opens_at_s > now_s:
            return here, here.opens_at_s - now_s
        if len(here.held) >= most:
            return here, min(until_s for _, until_s in here.held) - now_s
        fence = here.fence + 1
        return replace(here, fence=fence, held=(*here.held, (fence, now_s + lease_s))), fence

    def opened(self, now_s: float, name: int, quiet_in_s: float) -> "Remembered":
        """Slots are given after so long, if it is still this memory and nobody has said so before."""
        if self.name != name or self.opens_at_s is not None:
            return self
        return replace(self, opens_at_s=now_s + quiet_in_s)

    def renewed(self, now_s: float, name: int, fence: int, lease_s: float) -> tuple["Remembered", bool]:
        """Held for as long from now; False: not held any more."""
        here = self.alive(now_s)
        if self.name != name or fence not in dict(here.held):
            return self, False
        held = tuple((each, now_s + lease_s if each == fence else until_s) for each, until_s in here.held)
        return replace(here, held=held), True

    def released(self, name: int, fence: int) -> "Remembered":
        """Without this holder."""
        if self.name != name:
            return self
        return replace(self, held=tuple(each for each in self.held if each[0] != fence))


class FakeSlots:
    """One group. `is_away`: the server does not answer; `wipe` makes it forget."""

    def __init__(
        self,
        clock: ManualClock,
        *,
        most: int = 2,
        lease_s: float = 25.0,
        quiet_in_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._clock = clock
        self._most = most
        self._lease_s = lease_s
        self._quiet_in_s = quiet_in_s
        self._wipes = 1
        self.memory = Remembered()
        self.is_away = False

    def acquire(self) -> Slot | NoSlot:
        self._require()
        for _ in range(2):
            self.memory, found = self.memory.acquired(
                self._now_s(), most=self._most, lease_s=self._lease_s, name=self._wipes
            )
            if isinstance(found, float):
                return NoSlot(wait_s=found)
            if found is not None:
                return Slot(fence=found, memory=str(self._wipes), valid_until_s=self._now_s() + self._lease_s)
            quiet_in_s = self._quiet_in_s()
            self.memory = self.memory.opened(self._now_s(), self.memory.name, quiet_in_s)
            if quiet_in_s:
                return NoSlot(wait_s=quiet_in_s)
        raise AssertionError("a memory that is open gives slots or waits")

    def renew(self, slot: Slot) -> bool:
        self._require()
        self.memory, is_held = self.memory.renewed(self._now_s(), int(slot.memory), slot.fence, self._lease_s)
        if is_held:
            slot.valid_until_s = self._now_s() + self._lease_s
        return is_held

    def release(self, slot: Slot) -> None:
        if not self.is_away:
            self.memory = self.memory.released(int(slot.memory), slot.fence)

    def left_s(self, slot: Slot) -> float:
        return slot.valid_until_s - self._now_s()

    @property
    def held(self) -> int:
        """How many slots are held."""
        return len(self.memory.alive(self._now_s()).held)

    def wipe(self) -> None:
        self._wipes += 1
        self.memory = Remembered()

    def _require(self) -> None:
        if self.is_away:
            raise SlotsUnavailable("slots: away")

    def _now_s(self) -> float:
        return (self._clock() - START).total_seconds()
