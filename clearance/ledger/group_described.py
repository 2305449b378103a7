"""Which group does a heads-up describe, or a cancellation, if it is the first that is heard of it?"""

from datetime import datetime

from clearance.decisions.decision import Campaign
from clearance.ledger.group_facts import Group, GroupState
from clearance.optimove.heads_up import Api, HeadsUp
from clearance.schedule import Schedule


def described_group(
    heads_up: HeadsUp, schedule: Schedule, *, group_id: str, received_at: datetime, trace_id: str
) -> Group:
    """The group that a heads-up describes, as its first revision."""
    told, is_late = heads_up, heads_up.deadline_at <= received_at
    return Group(
        group_id=group_id,
        api=told.api,
        vendor_id=told.vendor_id,
        campaign=told.campaign,
        order=told.order,
        total_groups=told.total_groups,
        unique_customers=told.unique_customers,
        expected_customers=told.expected_customers,
        revision=1,
        generation=1,
        told_at=told.told_at,
        deadline_at=told.deadline_at,
        submit_at=schedule.submit_at,
        hard_stop_at=schedule.hard_stop_at,
        state=GroupState.MISSED if is_late else GroupState.OPEN,
        created_at=received_at,
        fetched_at=None,
        finished_at=received_at if is_late else None,
        fetched=0,
        chunk_count=0,
        trace_id=trace_id,
    )


def cancelled_group(
    api: Api,
    vendor_id: str,
    campaign: Campaign,
    *,
    group_id: str,
    told_at: datetime,
    received_at: datetime,
    trace_id: str,
) -> Group:
    """A group of which nothing is known but that it is cancelled."""
    return Group(
        group_id=group_id,
        api=api,
        vendor_id=vendor_id,
        campaign=campaign,
        order=None,
        total_groups=None,
        unique_customers=None,
        expected_customers=None,
        revision=1,
        generation=1,
        told_at=told_at,
        deadline_at=told_at,
        submit_at=told_at,
        hard_stop_at=told_at,
        state=GroupState.CANCELLED,
        created_at=received_at,
        fetched_at=None,
        finished_at=received_at,
        fetched=0,
        chunk_count=0,
        trace_id=trace_id,
    )
