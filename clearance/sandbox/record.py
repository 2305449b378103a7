"""What was sent, and what came back? One row a request, in columns.

Columns of numbers instead of objects: two million rows fit in memory and give the garbage collector nothing to walk,
which would show as latency of the system under test. A row's number is the last part of its `request_uid`, so an
approval finds its row without an index; the first part differs in every record, so one from before a reset is unknown.
"""

import uuid
from array import array
from collections import Counter
from enum import IntEnum

_ROW_DIGITS = 12
_ROW_HEX = frozenset("0123456789abcdef")


class Kind(IntEnum):
    """What kind of notification was sent."""

    VALID = 0
    DUPLICATE = 1
    BAD_SIGNATURE = 2
    MALFORMED = 3
    EXPIRED = 4


class State(IntEnum):
    """What is known of the answer. Only a valid notification starts OPEN; the others owe none."""

    UNASKED = 0
    OPEN = 1
    APPROVED = 2
    REJECTED = 3
    MISSED = 4
    LATE = 5


class Record:
    """Rows of requests, and counts that are kept as they change."""

    def __init__(self) -> None:
        identity = str(uuid.uuid4())
        self.prefix = identity[:-_ROW_DIGITS]
        self.kinds = bytearray()
        self.states = bytearray()
        self.statuses = array("H")
        self.sent_at_s = array("d")
        self.deadline_at_ms = array("q")
        self.acknowledge_ms = array("d")
        self.approval_ms = array("d")
        self.behind_ms = array("d")
        self.customers = array("I")
        self.originals = array("I")
        self.sent_by_kind = [0] * len(Kind)
        self.status_by_kind: list[Counter[str]] = [Counter() for _ in Kind]
        self.answers: Counter[State] = Counter()
        self.missing = 0
        self.duplicate_answers = 0
        self.unknown_answers = 0
        self._settled = 0

    def __len__(self) -> int:
        return len(self.kinds)

    def request_uid(self, row: int) -> str:
        """The `request_uid` that a row was sent with; a duplicate's is its original's."""
        return f"{self.prefix}{self.originals[row]:012x}"

    def add(
        self,
        kind: Kind,
        *,
        customer: int,
        sent_at_s: float,
        deadline_at_ms: int,
        behind_ms: float,
        original: int | None = None,
    ) -> int:
        """The number of a new row. `behind_ms`: how much later than planned it is sent."""
        row = len(self.kinds)
        self.kinds.append(kind)
        self.states.append(State.OPEN if kind is Kind.VALID else State.UNASKED)
        self.statuses.append(0)
        self.sent_at_s.append(sent_at_s)
        self.deadline_at_ms.append(deadline_at_ms)
        self.acknowledge_ms.append(-1.0)
        self.approval_ms.append(-1.0)
        self.behind_ms.append(behind_ms)
        self.customers.append(customer)
        self.originals.append(row if original is None else original)
        self.sent_by_kind[kind] += 1
        return row

    def acknowledge(self, row: int, status: int | None, *, read_at_s: float) -> None:
        """Note the reply to a notification; None: there was none."""
        self.status_by_kind[self.kinds[row]]["failed" if status is None else str(status)] += 1
        if status is not None:
            self.statuses[row] = status
            self.acknowledge_ms[row] = (read_at_s - self.sent_at_s[row]) * 1000

    def take(self, request_uid: str, is_approved: bool, *, read_at_ms: int, read_at_s: float) -> State | None:
        """Note an approval: the first in time counts, the others are counted.

        Source: vendor page, "Optimove will respect the first response received ... within the defined timeout".
        """
        row = self._find(request_uid)
        kind = None if row is None else self.kinds[row]
        if row is None or kind in (Kind.BAD_SIGNATURE, Kind.MALFORMED):
            self.unknown_answers += 1
            return None
        state = self.states[row]
        if state in (State.APPROVED, State.REJECTED, State.LATE):
            self.duplicate_answers += 1
            return None
        if read_at_ms > self.deadline_at_ms[row]:
            # An expired notification was never open: an answer to it is late, but none is missing.
            self.missing += state == State.OPEN
            return self._close(row, State.LATE)
        self.approval_ms[row] = (read_at_s - self.sent_at_s[row]) * 1000
        return self._close(row, State.APPROVED if is_approved else State.REJECTED)

    def settle(self, now_ms: int) -> None:
        """Count as missing what is open past its deadline."""
        row = self.states.find(State.OPEN, self._settled)
        self._settled = len(self) if row < 0 else row
        while row >= 0:
            if now_ms > self.deadline_at_ms[row]:
                self.states[row] = State.MISSED
                self.missing += 1
            row = self.states.find(State.OPEN, row + 1)

    def _close(self, row: int, state: State) -> State:
        self.states[row] = state
        self.answers[state] += 1
        return state

    def _find(self, request_uid: str) -> int | None:
        digits = request_uid[len(self.prefix) :]
        if (
            not request_uid.startswith(self.prefix)
            or len(digits) != _ROW_DIGITS
            or not _ROW_HEX.issuperset(digits)
        ):
            return None
        row = int(digits, 16)
        return row if row < len(self) and self.originals[row] == row else None
