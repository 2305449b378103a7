"""Several workers in one process by a clock of the test: each runs until it waits, then whoever is next.

Every run of a task has a thread, and one baton goes round: nothing ever happens at once, so that a seed says what
happens. `pause` gives the baton away until the clock has come far enough; hours pass in milliseconds. A run may be
killed wherever it touches the world: from then on it can write, call and wait for nothing, as a process that is gone.
"""

import heapq
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import NoReturn

from tests.fakes.clock import START, ManualClock

# A schedule that needs more than this goes round in a circle.
_MOST_STEPS = 60_000
_BATON_S = 60.0
# Who looks every so often may look less often: nothing differs in between, and the test is quicker for it.
_SHORT_PAUSE_S = 1.0


class Killed(BaseException):
    """The worker is gone. Not an `Exception`: no task can take it for an error of its own."""


class Run:
    """One message as a worker works on it."""

    def __init__(self, name: str, work: Callable[[], object], ended: Callable[["Run"], None]) -> None:
        self.name = name
        self.is_dead = False
        self.error: BaseException | None = None
        self.baton = _passed_on()
        self._work = work
        self._ended = ended
        self.thread = threading.Thread(target=self._main, name=name, daemon=True)

    def _main(self) -> None:
        self.baton.acquire()
        try:
            self._work()
        except Killed:
            self.is_dead = True
        except BaseException as error:  # noqa: BLE001 - the world looks at it: a task that raises is a finding
            self.error = error
        self._ended(self)


class World:
    """The clock, what is to happen next, and who is at work.

    Attributes:
        kill_chance: Of a run, at each moment where it touches the world.
        kills_left: How many more there may be.
        oversleep: How much longer than asked the short pauses last.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.clock = ManualClock()
        self.current: Run | None = None
        self.kill_chance = 0.0
        self.kills_left = 0
        self.oversleep = 1.0
        self.story: list[str] = []
        self.alive: set[Run] = set()
        self.errors: list[BaseException] = []
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = count()
        self._baton = _passed_on()

    def tell(self, what: str) -> None:
        """Note what happens, for whoever has to understand a failure."""
        who = f" [{self.current.name}]" if self.current else ""
        self.story.append(f"{(self.clock() - START).total_seconds():+12.3f}{who} {what}")

    def at(self, when: datetime, act: Callable[[], None]) -> None:
        """Have this happen then, or now if that is over."""
        heapq.heappush(self._events, (max(when, self.clock()), next(self._order), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Have this happen so much later."""
        self.at(self.clock() + timedelta(seconds=seconds), act)

    def start(self, name: str, work: Callable[[], object], ended: Callable[[], None]) -> None:
        """Begin to work now; `ended` is called when it is over, however."""

        def over(run: Run) -> None:
            self.alive.discard(run)
            if run.error is not None:
                self.errors.append(run.error)
            self.current = None
            ended()
            self._baton.release()

        run = Run(name, work, over)
        self.alive.add(run)
        run.thread.start()
        self._give(run)

    def pause(self, seconds: float) -> None:
        """Wait, as a task does between two looks."""
        self.sleep(seconds * self.oversleep if seconds < _SHORT_PAUSE_S else seconds)

    def sleep(self, seconds: float) -> None:
        """Let others work until then. Outside of a run nobody waits."""
        run = self.current
        if run is None:
            return
        self.may_die()
        self.after(max(0.0, seconds), lambda: self._give(run))
        self.current = None
        self._baton.release()
        run.baton.acquire()
        self.may_die()

    def may_die(self) -> None:
        """A moment at which whoever is at work may be killed, and who was killed goes no further."""
        run = self.current
        if run is None:
            return
        if run.is_dead:
            raise Killed
        if self.kills_left and self.chance.random() < self.kill_chance:
            self.kills_left -= 1
            self.die()

    def die(self) -> NoReturn:
        """Kill who is at work."""
        assert self.current is not None
        self.tell("killed")
        self.current.is_dead = True
        raise Killed

    def happen(self, until: datetime, before_step: Callable[[], None]) -> None:
        """Let everything happen, the earliest first, until nothing is left that is planned for `until` or before."""
        for _ in range(_MOST_STEPS):
            before_step()
            if not self._events or self._events[0][0] > until:
                return
            when, _order, act = heapq.heappop(self._events)
            self.clock.now = max(when, self.clock.now)
            act()
        raise AssertionError(f"still at it after {_MOST_STEPS} steps")

    def stop(self) -> None:
        """Kill whoever is still waiting: threads must not outlive their test."""
        for run in list(self.alive):
            run.is_dead = True
            self._give(run)

    def _give(self, run: Run) -> None:
        if run not in self.alive:
            return
        self.current = run
        run.baton.release()
        assert self._baton.acquire(timeout=_BATON_S), f"{run.name} waits for something outside of this world"
        self.current = None


def _passed_on() -> threading.Lock:
    """A baton that somebody else has: taken until it is released to us. A lock, because a semaphore is much slower."""
    baton = threading.Lock()
    baton.acquire()
    return baton
