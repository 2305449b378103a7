"""How a slot is kept while its request runs: renewed in the background, so that a slow exchange does not outlive it.

Whoever is about to send renews its slot itself and looks at the answer; what is renewed here is for the time after
that. A slot that turns out to be lost is let go: its holder hears of it when it asks the next time.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from clearance.limits.slots import Slot, Slots, SlotsUnavailable

log = structlog.get_logger()


class SlotKeeper:
    """What this process holds; its thread renews three times in a lease."""

    def __init__(self, slots: Slots, *, lease_s: float) -> None:
        self._slots = slots
        self._held: dict[int, Slot] = {}
        self._every_s = lease_s / 3
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slots", daemon=True)
        self._thread.start()

    @contextmanager
    def keeping(self, slot: Slot) -> Iterator[None]:
        """Renew it for as long as the block runs."""
        self._held[slot.fence] = slot
        try:
            yield
        finally:
            self._held.pop(slot.fence, None)

    def close(self) -> None:
        """Stop renewing."""
        self._stopping.set()
        self._thread.join()

    def renew(self) -> None:
        """Renew every slot that is held."""
        for slot in list(self._held.values()):
            try:
                if not self._slots.renew(slot) and self._held.pop(slot.fence, None) is not None:
                    log.warning("slot.lost", fence=slot.fence)
            except SlotsUnavailable as error:
                log.warning("slot.not_renewed", fence=slot.fence, error=str(error))

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self.renew()
            except Exception:
                # The thread must live: what runs longer than a lease would be joined by another.
                log.exception("slot.failed_on_a_bug")
