"""A Bloomreach that answers calls as a test says, and remembers what it has taken."""

from collections import deque
from collections.abc import Callable, Sequence

from clearance.bloomreach.commands import Command
from clearance.bloomreach.replies import Result
from tests.fakes.clock import ManualClock

TAKEN = Result(is_taken=True)


class FakeBloomreach:
    """Gives `answers` in turn: an error is raised, a list of results returned; when they are used up, all is taken.

    `verdict` is asked instead, if there is one: the error for these commands, or None.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.answers: deque[Exception | list[Result]] = deque()
        self.verdict: Callable[[Sequence[Command]], Exception | None] | None = None
        self.calls: list[list[Command]] = []
        self.taken: list[Command] = []

    def send(self, commands: Sequence[Command]) -> list[Result]:
        self.calls.append(list(commands))
        self._clock.advance(0.01)
        answer = self.answers.popleft() if self.answers else [TAKEN] * len(commands)
        if self.verdict is not None:
            answer = self.verdict(commands) or answer
        if isinstance(answer, Exception):
            raise answer
        self.taken += [command for command, result in zip(commands, answer, strict=True) if result.is_taken]
        return answer
