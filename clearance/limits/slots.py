"""Who in the fleet may have a request under way: at most so many at once, by leases that Redis keeps.

In: who wants to send. Out: a slot with a fencing token, held until a moment; or how long to wait. Waiting is no
attempt. A slot is renewed while its request runs and given back after it; one whose holder died is free when its lease
is over.

What a change must keep. Never is a slot given that somebody may still use:
- A lease is longer than a request can last, and a request begins only while enough of it is left (`Slot.left_s`), by
  the holder's monotonic clock and from before Redis was asked. Redis counts it by its own clock alone.
- What Redis has forgotten the ledger knows. Whoever is about to send says so there first, and asks here after that
  whether the slot is still its own. So when nothing is remembered (`slots.lua`: wiped, restarted, failed over), every
  request that may be under way is in the ledger: no slot is given until `quiet_in_s` is over.
- Redis that is away gives nothing and confirms nothing: nothing new is sent, what is under way ends as it would.

docs/adr/0012-mail-slots.md has the reasoning, and what is not covered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

import structlog
from redis import Redis, RedisError

from clearance.errors import RetryLater

log = structlog.get_logger()

_SCRIPT = Path(__file__).with_name("slots.lua").read_text(encoding="utf-8")
_US = 1_000_000


class SlotsUnavailable(RetryLater):
    """Redis does not answer: whether a slot is free, or still held, is not known."""


@dataclass(slots=True, kw_only=True)
class Slot:
    """Leave to have one request under way.

    Attributes:
        fence: The token: it grows from one holder to the next.
        memory: Which memory of Redis has it.
        valid_until_s: Until when it is surely held, by the clock of the `Slots` that gave it.
        is_spent: Its holder must neither use it again nor give it back: a request may still be using it, or it is
            another's. It runs out.
    """

    fence: int
    memory: str
    valid_until_s: float
    is_spent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSlot:
    """None is free. The longest wait until one is, if those who hold them die: add jitter to it."""

    wait_s: float


class Slots(Protocol):
    """The fleet's slots. Safe from any thread; never waits itself."""

    def acquire(self) -> Slot | NoSlot:
        """Take a slot. Raises `SlotsUnavailable`, `LedgerUnavailable`: nothing was taken, or it runs out by itself."""

    def renew(self, slot: Slot) -> bool:
        """Hold it for a whole lease from now; False: it is lost. Raises `SlotsUnavailable`: that is not known."""

    def release(self, slot: Slot) -> None:
        """Give it back. Never fails: what cannot be given back runs out."""

    def left_s(self, slot: Slot) -> float:
        """For how long it is surely held; negative when it may be another's."""


class RedisSlots:
    """`Slots` for the fleet. All who share a group give the same numbers.

    Args:
        redis: With short timeouts and without retries: a request that is asked twice may take two slots.
        group: Whom the requests go to; the key is `clearance:slots:<group>`.
        most: How many at once.
        lease_s: Longer than a request can last.
        quiet_in_s: In how many seconds no request can be under way of which Redis does not know; asks the ledger.
        time: Seconds that only grow.
    """

    def __init__(
        self,
        redis: "Redis",
        group: str,
        *,
        most: int,
        lease_s: float,
        quiet_in_s: Callable[[], float],
        time: Callable[[], float] = monotonic,
    ) -> None:
        self._ask = redis.register_script(_SCRIPT)
        self._keys = [f"clearance:slots:{group}"]
        self._group = group
        self._most = most
        self._lease_s = lease_s
        self._quiet_in_s = quiet_in_s
        self._time = time

    def acquire(self) -> Slot | NoSlot:
        """See `Slots.acquire`."""
        found = self._acquired()
        if isinstance(found, NoSlot) and found.wait_s == 0:
            return self._acquired()  # begun anew, and nothing is under way
        return found

    def renew(self, slot: Slot) -> bool:
        """See `Slots.renew`."""
        began_s = self._time()
        if not self._asked("renew", slot.memory, slot.fence, round(self._lease_s * _US)):
            return False
        slot.valid_until_s = max(slot.valid_until_s, self._valid_from(began_s))
        return True

    def release(self, slot: Slot) -> None:
        """See `Slots.release`."""
        try:
            self._asked("release", slot.memory, slot.fence)
        except SlotsUnavailable as error:
            log.warning("slot.not_given_back", group=self._group, error=str(error))

    def left_s(self, slot: Slot) -> float:
        """See `Slots.left_s`."""
        return slot.valid_until_s - self._time()

    def _acquired(self) -> Slot | NoSlot:
        began_s = self._time()
        what, memory, number = self._asked("acquire", self._most, round(self._lease_s * _US), uuid4().hex)
        if what == b"held":
            return Slot(fence=int(number), memory=memory.decode(), valid_until_s=self._valid_from(began_s))
        if what == b"wait":
            return NoSlot(wait_s=int(number) / _US)
        # Asked after Redis has said that it begins anew: what it forgot was in the ledger before that.
        quiet_in_s = self._quiet_in_s()
        self._asked("open", memory, round(quiet_in_s * _US))
        log.warning("slots.begun_anew", group=self._group, quiet_in_s=round(quiet_in_s, 3))
        return NoSlot(wait_s=quiet_in_s)

    def _valid_from(self, began_s: float) -> float:
        return began_s + self._lease_s

    def _asked(self, *arguments: str | bytes | int) -> Any:
        try:
            return self._ask(keys=self._keys, args=list(arguments))
        except RedisError as error:
            raise SlotsUnavailable(f"slots: {type(error).__name__}") from None
