"""What does the vendor know of a send group or a campaign? What was told when, what was fetched, what was answered.

Both flows keep the same things; what differs (the notifications, the rows) is in the plan's `facts`. A group moves
from revision to revision: each has a deadline, and each heads-up that was sent for it. Approvals are taken until the
deadline by this clock, the deadline included; what comes later, or after a cancellation, is counted and ignored.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

from clearance.sandbox.answers import RefusedError
from clearance.sandbox.generated_customers import Customers
from clearance.sandbox.scheduled_answers import Answers
from clearance.sandbox.scheduled_plan import GroupPlan

FIRST_ID = 5001
GROUPS_KEPT = 5_000
# A byte for each.
CUSTOMERS_KEPT = 20_000_000


class State(StrEnum):
    """Whether approvals are taken."""

    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One notification to one target, with the status of every attempt; None: there was no reply.

    `is_done`: no more attempts will be made.
    """

    target: str
    event_type: int
    statuses: list[int | None] = field(default_factory=list)
    is_done: bool = False


@dataclass(slots=True, kw_only=True)
class Revision:
    """A heads-up and what came for it. Times of calls are ms after the deadline: negative is before."""

    told_at_ms: int
    deadline_at_ms: int
    deliveries: list[Delivery] = field(default_factory=list)
    calls: int = 0
    late_calls: int = 0
    first_call_ms: int | None = None
    last_call_ms: int | None = None
    last_call_in_time_ms: int | None = None


@dataclass(slots=True, kw_only=True)
class Fetches:
    """Requests for customers: begun, served to the end, cut off on purpose, and rows handed out."""

    begun: int = 0
    completed: int = 0
    cut: int = 0
    rows: int = 0


class Group:
    """A send group or a campaign."""

    def __init__(self, group_id: int, plan: GroupPlan) -> None:
        self.group_id = group_id
        self.plan = plan
        self.faults = plan.faults
        self.customers: Customers = plan.customers
        self.answers = Answers(plan.customers.count)
        self.revisions: list[Revision] = []
        self.fetches = Fetches()
        self.stream_rng = random.Random(plan.customers.seed)
        self.is_cancelled = False
        self.unknown = 0
        self.late_answers = 0
        self.answers_after_cancel = 0

    @property
    def revision(self) -> Revision:
        """The one in force."""
        return self.revisions[-1]

    def begin_revision(self, *, now_ms: int, window_s: float) -> Revision:
        """Set the deadline: a whole second, because no other can be told, and not before the window's end."""
        if self.revisions:
            self.answers.revise()
        self.is_cancelled = False
        deadline_at_s = -(-(now_ms + round(window_s * 1000)) // 1000)
        self.revisions.append(Revision(told_at_ms=now_ms, deadline_at_ms=deadline_at_s * 1000))
        return self.revision

    def state(self, now_ms: int) -> State:
        """Whether approvals are taken now."""
        if self.is_cancelled:
            return State.CANCELLED
        return State.CLOSED if now_ms > self.revision.deadline_at_ms else State.OPEN

    def take(self, given: Sequence[tuple[str, bool]], *, read_at_ms: int) -> None:
        """Note a call: ids of customers, and whether each is approved."""
        state, revision = self.state(read_at_ms), self.revision
        after_deadline_ms = read_at_ms - revision.deadline_at_ms
        revision.calls += 1
        revision.last_call_ms = after_deadline_ms
        if revision.first_call_ms is None:
            revision.first_call_ms = after_deadline_ms
        if state is State.CANCELLED:
            self.answers_after_cancel += len(given)
            return
        is_late = state is State.CLOSED
        if is_late:
            revision.late_calls += 1
        else:
            revision.last_call_in_time_ms = after_deadline_ms
        known = self.customers.find(given)
        self.unknown += len(given) - len(known)
        self.late_answers += len(known) if is_late else 0
        self.answers.take(known, is_late=is_late)


class Groups:
    """All groups of one flow by id, up to a bound."""

    def __init__(self) -> None:
        self._group_by_id: dict[int, Group] = {}
        self._next_id = FIRST_ID
        self._customers = 0

    def __iter__(self) -> Iterator[Group]:
        return iter(self._group_by_id.values())

    def add(self, plan: GroupPlan) -> Group:
        """A new group with the plan's id, or the next free one.

        Raises:
            RefusedError: 409, the id is taken or too much is kept; answer with it.
        """
        group_id = plan.group_id
        if group_id is None:
            while self._next_id in self._group_by_id:
                self._next_id += 1
            group_id = self._next_id
        if group_id in self._group_by_id:
            raise RefusedError("this id is taken: move it, or name another", status=HTTPStatus.CONFLICT)
        if len(self._group_by_id) >= GROUPS_KEPT or self._customers + plan.customers.count > CUSTOMERS_KEPT:
            raise RefusedError("too much is kept: POST /sandbox/reset", status=HTTPStatus.CONFLICT)
        group = self._group_by_id[group_id] = Group(group_id, plan)
        self._customers += plan.customers.count
        return group

    def get(self, text: str) -> Group:
        """Raises: RefusedError: 404, there is no such group; answer with it."""
        # Nobody's id has more digits, and Python refuses to convert thousands of them.
        is_number = text.isascii() and text.isdigit() and len(text) < 19
        group = self._group_by_id.get(int(text)) if is_number else None
        if group is None:
            raise RefusedError(f"no such id: {text[:40]}", status=HTTPStatus.NOT_FOUND)
        return group

    def clear(self) -> None:
        """Forget all of them."""
        self._group_by_id.clear()
        self._next_id, self._customers = FIRST_ID, 0
