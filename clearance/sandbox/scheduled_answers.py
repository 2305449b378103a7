"""What was answered for each customer of a group? One byte a customer, whatever happens to it.

An answer turns a byte into another by a table, and the counts of the 256 possible bytes are kept as they change, so a
million customers are one megabyte and a summary is read at once. The last answer in time counts; one that comes late
changes no answer, but is remembered. Within a revision (the time between two heads-ups) a repeated answer is `twice`
or `reversed`; over revisions it is `again` or `changed`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_APPROVED, _REJECTED, _ANSWER = 1, 2, 3
# This revision has answered.
_FRESH, _TWICE, _REVERSED, _LATE, _AGAIN, _CHANGED = 4, 8, 16, 32, 64, 128


class Answer(StrEnum):
    """What is known of a customer; each has exactly one. LATE: all that came, came after the deadline."""

    APPROVED = "approved"
    REJECTED = "rejected"
    LATE = "late"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Customers by answer, which add up to all of them, and by what else happened to them."""

    approved: int
    rejected: int
    unanswered: int
    late: int
    twice: int
    reversed: int
    again: int
    changed: int


def _after(state: int, answer: int) -> int:
    former, mark = state & _ANSWER, 0
    if former and state & _FRESH:
        mark = _TWICE if former == answer else _REVERSED
    elif former:
        mark = _AGAIN if former == answer else _CHANGED
    return state & ~_ANSWER | answer | _FRESH | mark


_ON_APPROVED = bytes(_after(state, _APPROVED) for state in range(256))
_ON_REJECTED = bytes(_after(state, _REJECTED) for state in range(256))
_ON_LATE = bytes(state | _LATE for state in range(256))
_ON_REVISION = bytes(state & ~_FRESH for state in range(256))


class Answers:
    """The answers for `count` customers, by place in the group."""

    def __init__(self, count: int) -> None:
        self._states = bytearray(count)
        self._count_by_state = [count] + [0] * 255

    def take(self, given: Iterable[tuple[int, bool]], *, is_late: bool) -> None:
        """Note answers: places of customers, and whether each is approved."""
        states, counts = self._states, self._count_by_state
        after_by_answer = (_ON_LATE, _ON_LATE) if is_late else (_ON_REJECTED, _ON_APPROVED)
        for index, is_approved in given:
            before = states[index]
            after = after_by_answer[is_approved][before]
            states[index] = after
            counts[before] -= 1
            counts[after] += 1

    def revise(self) -> None:
        """A new revision begins: what is answered now is not answered twice."""
        self._states = self._states.translate(_ON_REVISION)
        counts = [0] * 256
        for state, count in enumerate(self._count_by_state):
            counts[_ON_REVISION[state]] += count
        self._count_by_state = counts

    def counts(self) -> Counts:
        """The summary."""
        by_answer = dict.fromkeys(Answer, 0)
        for state, count in enumerate(self._count_by_state):
            by_answer[_answer(state)] += count
        return Counts(
            approved=by_answer[Answer.APPROVED],
            rejected=by_answer[Answer.REJECTED],
            unanswered=by_answer[Answer.UNANSWERED],
            late=by_answer[Answer.LATE],
            twice=self._count_marked(_TWICE),
            reversed=self._count_marked(_REVERSED),
            again=self._count_marked(_AGAIN),
            changed=self._count_marked(_CHANGED),
        )

    def answer(self, index: int) -> Answer:
        """What counts for one customer."""
        return _answer(self._states[index])

    def marks(self, index: int) -> dict[str, bool]:
        """What else happened to one customer; `late`: also something late came for it."""
        state = self._states[index]
        return {
            "twice": bool(state & _TWICE),
            "reversed": bool(state & _REVERSED),
            "again": bool(state & _AGAIN),
            "changed": bool(state & _CHANGED),
            "late": bool(state & _LATE),
        }

    def _count_marked(self, mark: int) -> int:
        return sum(count for state, count in enumerate(self._count_by_state) if state & mark)


def _answer(state: int) -> Answer:
    if state & _ANSWER:
        return Answer.APPROVED if state & _ANSWER == _APPROVED else Answer.REJECTED
    return Answer.LATE if state & _LATE else Answer.UNANSWERED
