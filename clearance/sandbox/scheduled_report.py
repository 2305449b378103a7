"""What came of a group? Counts, calls and heads-ups; customer by customer only in pages.

Times of calls are ms after the deadline that held then: negative is before, so `last_call_in_time_ms` is the margin.
No address is told whole: a target's query may hold a token.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from clearance.sandbox.scheduled_groups import Delivery, Group, Revision


def summarise_all(groups: Iterable[Group], *, now_ms: int) -> dict[str, dict[str, Any]]:
    """The groups' summaries by id."""
    return {str(group.group_id): summarise(group, now_ms=now_ms) for group in groups}


def summarise(group: Group, *, now_ms: int) -> dict[str, Any]:
    """One group: its answers add up to its customers."""
    calls = [revision for revision in group.revisions if revision.calls]
    in_time = [revision for revision in calls if revision.last_call_in_time_ms is not None]
    return {
        "state": group.state(now_ms),
        "customers": group.customers.count,
        "count_told": group.plan.count_told,
        **asdict(group.answers.counts()),
        "unknown": group.unknown,
        "late_answers": group.late_answers,
        "answers_after_cancel": group.answers_after_cancel,
        "calls": sum(revision.calls for revision in calls),
        "late_calls": sum(revision.late_calls for revision in calls),
        "first_call_ms": calls[0].first_call_ms if calls else None,
        "last_call_ms": calls[-1].last_call_ms if calls else None,
        "last_call_in_time_ms": in_time[-1].last_call_in_time_ms if in_time else None,
        "deadline_at_ms": group.revision.deadline_at_ms,
        "moved": len(group.revisions) - 1,
        "fetches": asdict(group.fetches),
        "heads_ups": [_show(revision) for revision in group.revisions],
    }


def page(group: Group, *, offset: int, limit: int, with_attributes: bool) -> dict[str, Any]:
    """Customers from `offset` on, at most `limit`, each with its answer."""
    stop = min(offset + limit, group.customers.count)
    return {
        "customers": group.customers.count,
        "offset": offset,
        "answers": [_show_customer(group, index, with_attributes) for index in range(offset, stop)],
    }


def _show_customer(group: Group, index: int, with_attributes: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "customer_id": group.customers.customer_id(index),
        "answer": group.answers.answer(index),
        **group.answers.marks(index),
    }
    if with_attributes:
        shown["attributes"] = group.customers.attributes(index)
    return shown


def _show(revision: Revision) -> dict[str, Any]:
    return {
        "told_at_ms": revision.told_at_ms,
        "deadline_at_ms": revision.deadline_at_ms,
        "calls": revision.calls,
        "late_calls": revision.late_calls,
        "first_call_ms": revision.first_call_ms,
        "last_call_ms": revision.last_call_ms,
        "last_call_in_time_ms": revision.last_call_in_time_ms,
        "deliveries": [_show_delivery(delivery) for delivery in revision.deliveries],
    }


def _show_delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "target": delivery.target,
        "event_type": delivery.event_type,
        "statuses": ["failed" if status is None else status for status in delivery.statuses],
        "is_done": delivery.is_done,
    }
