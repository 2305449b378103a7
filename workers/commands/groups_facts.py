"""What is known of a group, for scripts: plain JSON. Times are ISO 8601 in UTC; what is not known is null."""

from datetime import datetime

from clearance.ledger.group_details import Details, GroupCall, OwedStep, Revision
from clearance.ledger.group_reads import Standing
from workers.commands.countdown import iso

Facts = dict[str, object]


def standing_facts(standing: Standing, now: datetime) -> Facts:
    """How far a group is. `left_s` is negative after the deadline."""
    group = standing.group
    campaign = group.campaign
    return {
        "group_id": group.group_id,
        "api": group.api,
        "vendor_id": group.vendor_id,
        "state": group.state.value,
        "series_id": campaign.series_id or None,
        "occurrence_id": campaign.occurrence_id or None,
        "order": group.order,
        "total_groups": group.total_groups,
        "action_id": campaign.action_id or None,
        "channel_id": campaign.channel_id or None,
        "channel_name": campaign.channel_name or None,
        "template_id": campaign.template_id or None,
        "template_name": campaign.template_name or None,
        "revision": group.revision,
        "generation": group.generation,
        "deadline_at": iso(group.deadline_at),
        "left_s": round((group.deadline_at - now).total_seconds(), 3),
        "submit_at": iso(group.submit_at),
        "hard_stop_at": iso(group.hard_stop_at),
        "created_at": iso(group.created_at),
        "fetched_at": iso(group.fetched_at),
        "finished_at": iso(group.finished_at),
        "expected": group.expected_customers,
        "fetched": group.fetched,
        "decided": standing.decided,
        "approved": standing.approved,
        "not_approved": standing.decided - standing.approved,
        "not_fetched_in_time": standing.not_fetched,
        "not_decided_in_time": standing.not_decided,
        "not_sent_in_time": standing.not_sent,
        "submitted": standing.submitted,
        "is_reviewed": standing.is_reviewed,
    }


def details_facts(details: Details, now: datetime) -> Facts:
    """Everything about a group."""
    chunks = details.standing.chunks_by_state
    return standing_facts(details.standing, now) | {
        "reasons": dict(details.reasons),
        "chunks": {
            state.value: {"count": each.count, "customers": each.customers} for state, each in chunks.items()
        },
        "revisions": [_revision(each) for each in details.revisions],
        "calls": [_call(each) for each in details.calls],
        "obligations": [_owed(each) for each in details.owed],
    }


def _revision(revision: Revision) -> Facts:
    return {
        "revision": revision.revision,
        "generation": revision.generation,
        "cause": revision.cause.value,
        "told_at": iso(revision.told_at),
        "received_at": iso(revision.received_at),
        "deadline_at": iso(revision.deadline_at),
        "submit_at": iso(revision.submit_at),
        "ended_as": revision.ended_as.value if revision.ended_as else None,
        "ended_at": iso(revision.ended_at),
        "first_call_at": iso(revision.first_call_at),
        "last_call_at": iso(revision.last_call_at),
        "margin_s": None if revision.margin_ms is None else revision.margin_ms / 1000,
        "submitted": revision.submitted,
        "not_decided": revision.not_decided,
        "not_sent": revision.not_sent,
    }


def _call(call: GroupCall) -> Facts:
    return {
        "revision": call.revision,
        "attempt": call.attempt,
        "customers": call.customers,
        "sent_at": iso(call.sent_at),
        "answered_at": iso(call.answered_at),
        "status": call.status,
        "outcome": call.answer.value,
        "error": call.error,
    }


def _owed(owed: OwedStep) -> Facts:
    return {
        "step": owed.step,
        "state": owed.state.value,
        "attempts": owed.attempts,
        "run_at": iso(owed.run_at),
        "reason": owed.reason,
        "last_error": owed.last_error,
    }
