"""What came of it all? The record, summed up.

Reading is not free (percentiles sort their columns): poll the run, and read the report when it is done.
"""

import math
from array import array
from collections.abc import Iterator, Mapping
from typing import Any

from clearance.sandbox import notifications
from clearance.sandbox.record import Kind, Record, State

_PERCENTILES = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0))


def summarise(
    record: Record,
    *,
    now_ms: int,
    refused_keys: int,
    injected: Mapping[str, Mapping[str, int]],
    promotions: Mapping[str, int],
) -> dict[str, Any]:
    """The report. `answered`, `missing` and `pending` are about valid notifications only;
    `late` counts answers to expired ones as well.

    `acknowledged` counts POSTs, of which a notification has one for each target; the rest counts notifications.
    """
    record.settle(now_ms)
    approved, rejected = record.answers[State.APPROVED], record.answers[State.REJECTED]
    valid, answered = record.sent_by_kind[Kind.VALID], approved + rejected
    acknowledged = {"failed": 0}
    for counts in record.status_by_kind:
        for status, count in counts.items():
            acknowledged[status] = acknowledged.get(status, 0) + count
    return {
        "sent": len(record),
        "valid": valid,
        "answered": answered,
        "approved": approved,
        "rejected": rejected,
        "late": record.answers[State.LATE],
        "missing": record.missing,
        "pending": valid - answered - record.missing,
        "duplicate_answers": record.duplicate_answers,
        "unknown_answers": record.unknown_answers,
        "refused_keys": refused_keys,
        "acknowledged": acknowledged,
        "by_kind": {
            kind.name.lower(): {
                "sent": record.sent_by_kind[kind],
                "status": dict(record.status_by_kind[kind]),
            }
            for kind in Kind
        },
        "acknowledge_ms": percentiles(record.acknowledge_ms),
        "notification_to_approval_ms": percentiles(record.approval_ms),
        "behind_schedule_ms": percentiles(record.behind_ms),
        "faults": injected,
        "promotions": promotions,
    }


def percentiles(column: "array[float]") -> dict[str, float | None]:
    """Nearest-rank percentiles of what is known (a negative number is unknown); None without any."""
    known = sorted(value for value in column if value >= 0)
    if not known:
        return {name: None for name, _ in _PERCENTILES}
    return {name: round(known[math.ceil(share * len(known)) - 1], 3) for name, share in _PERCENTILES}


def details(record: Record) -> Iterator[dict[str, Any]]:
    """Every request, with what is needed to judge its answer: the customer's attributes and the campaign's tags."""
    for row in range(len(record)):
        state, customer = State(record.states[row]), record.customers[row]
        yield {
            "request_uid": record.request_uid(row),
            "kind": Kind(record.kinds[row]).name.lower(),
            "user_id": f"C{customer}",
            "personalization": notifications.personalization(customer),
            "tags": notifications.tags(record.originals[row]),
            "deadline_at_ms": record.deadline_at_ms[row],
            "status": record.statuses[row] or None,
            "acknowledge_ms": _known(record.acknowledge_ms[row]),
            "answer": None if state is State.UNASKED else state.name.lower(),
            "notification_to_approval_ms": _known(record.approval_ms[row]),
        }


def _known(value: float) -> float | None:
    return round(value, 3) if value >= 0 else None
