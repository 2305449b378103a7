"""How what waits on the desk is told: as a row, as facts for scripts, and as the story of one."""

from collections.abc import Iterator
from datetime import datetime

from clearance.ledger.desk import DeskState, Kind
from clearance.ledger.desk_reads import DeskCount, DeskItem
from clearance.ledger.operator_actions import OperatorAction
from workers.commands.countdown import countdown, exact, iso, moment

COLUMNS = ("id", "lane", "state", "reason", "attempts", "next", "left", "since", "error")
# In a terminal of 80 columns.
BELOW = ("state", "reason", "attempts", "next", "since", "error")
COUNT_COLUMNS = ("items", "lane", "state", "reason", "nearest")

_Facts = dict[str, object]
_MOST_ERROR_CHARS = 60


def item_row(item: DeskItem, now: datetime) -> _Facts:
    """For the table."""
    return {
        "id": item.item_id,
        "lane": item.lane.value,
        "state": item.state.value,
        "reason": item.reason,
        "attempts": item.attempts,
        "next": countdown(item.next_at, now) if item.next_at else None,
        "left": countdown(item.deadline_at, now) if item.deadline_at else None,
        "since": moment(item.since, now) if item.since else None,
        "error": _cut(item.last_error),
    }


def item_facts(item: DeskItem, now: datetime) -> _Facts:
    """For scripts."""
    left_s = (item.deadline_at - now).total_seconds() if item.deadline_at else None
    return {
        "id": item.item_id,
        "kind": item.kind.value,
        "lane": item.lane.value,
        "state": item.state.value,
        "task": item.task,
        "subject": item.subject,
        "reason": item.reason,
        "attempts": item.attempts,
        "last_error": item.last_error,
        "created_at": iso(item.created_at),
        "since": iso(item.since),
        "next_at": iso(item.next_at),
        "deadline_at": iso(item.deadline_at),
        "left_s": None if left_s is None else round(left_s, 3),
        "trace_id": item.trace_id,
        "next_step": next_step(item, now),
    }


def count_row(count: DeskCount, now: datetime, *, as_json: bool = False) -> _Facts:
    """How many wait for the same reason."""
    told: _Facts = {
        "items": count.items,
        "lane": count.lane.value,
        "state": count.state.value,
        "reason": count.reason,
    }
    nearest = count.next_deadline_at
    if as_json:
        return told | {"next_deadline_at": iso(nearest)}
    return told | {"nearest": countdown(nearest, now) if nearest else None}


def story(item: DeskItem, action: OperatorAction | None, now: datetime) -> Iterator[str]:
    """All that is known of it."""
    yield f"{item.kind} {item.item_id}, lane {item.lane}: {item.state}" + (
        f", {item.reason}" if item.reason else ""
    )
    yield f"  {item.task} of {item.subject}, attempts: {item.attempts}, trace id {item.trace_id}"
    yield f"  since {exact(item.created_at)} UTC, {countdown(item.created_at, now)}"
    if item.last_error:
        yield f"  last error: {item.last_error}"
    if item.since:
        yield f"  {item.state} {exact(item.since)} UTC, {countdown(item.since, now)}"
    if item.next_at:
        yield f"  next try {exact(item.next_at)} UTC, {countdown(item.next_at, now)}"
    if item.deadline_at:
        yield f"  deadline {exact(item.deadline_at)} UTC, {countdown(item.deadline_at, now)}"
    else:
        yield "  without a deadline"
    if action is not None:
        why = f": {action.why}" if action.why else ""
        yield f"  {action.action} by {action.who}, {exact(action.at)} UTC{why}"


def next_step(item: DeskItem, now: datetime) -> str:
    """What a person can do about it."""
    if item.kind is Kind.BATCH:
        return f"clearance mail held resolve {item.item_id} (--posted|--repost|--drop) --why TEXT"
    if item.deadline_at is not None and item.deadline_at <= now:
        if item.state is DeskState.MISSED:
            return f"its deadline is over, nothing can be sent: clearance audit --subject {item.item_id}"
        return (
            f"its deadline is over, nothing can be sent: clearance retries discard {item.item_id} --why TEXT"
        )
    if item.state is DeskState.RETRY:
        return f"nothing, or at once: clearance retries replay {item.item_id} --why TEXT"
    return f"mend the reason, then: clearance retries replay {item.item_id} --why TEXT"


def _cut(error: str | None) -> str | None:
    if error is None or len(error) <= _MOST_ERROR_CHARS:
        return error
    return error[: _MOST_ERROR_CHARS - 1] + "…"
