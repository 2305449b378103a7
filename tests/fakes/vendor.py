"""An Optimove that answers approvals as a test says, and takes as long over it as the test says."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tests.fakes.clock import ManualClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One approval as it was sent."""

    request_uid: str
    approved: bool
    at: datetime
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """A 2xx."""

    status: int = 202


class FakeVendor:
    """Gives `answers` in turn: an error is raised, anything else returned; when they are used up, 202.

    `takes_s` is how far the clock moves with every call; `on_call` is called with each.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.answers: deque[object] = deque()
        self.takes_s = 0.0
        self.on_call: Callable[[], object] = lambda: None
        self.calls: list[Call] = []

    def submit_triggered_approval(
        self, *, request_uid: str, approved: bool, at: datetime, timeout_s: float
    ) -> Taken:
        self.calls.append(Call(request_uid=request_uid, approved=approved, at=at, timeout_s=timeout_s))
        self.on_call()
        self._clock.advance(self.takes_s)
        answer = self.answers.popleft() if self.answers else Taken()
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Taken)
        return answer
