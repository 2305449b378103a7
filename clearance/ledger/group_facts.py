"""What the ledger knows of a group: which customers wait for approval by when, and how far it is.

A group is a V2 send group or a V1 campaign. Its **revision** counts what the vendor said of it: another deadline is
another revision. Its **generation** counts how often its customers are fetched: afresh only when the former revision
had ended.
"""

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from clearance.decisions.decision import Campaign
from clearance.optimove.heads_up import Api


class GroupState(StrEnum):
    """Where a group stands. `SUBMITTED`: every customer was answered; `MISSED`: not every one, in time."""

    OPEN = "open"
    SUBMITTED = "submitted"
    MISSED = "missed"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """Why there is a revision."""

    FIRST = "first"
    MOVED = "moved"  # another deadline: the same customers, sooner or later
    AGAIN = "again"  # after an end: the customers are fetched afresh
    CANCELLED = "cancelled"  # taken back before it was announced


class EndedAs(StrEnum):
    """How a revision ended."""

    SUBMITTED = "submitted"
    MISSED = "missed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class ChunkState(StrEnum):
    """Where a chunk stands. `MISSED`: fetched, but not decided or not sent in time."""

    FETCHED = "fetched"
    DECIDED = "decided"
    SUBMITTED = "submitted"
    MISSED = "missed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group as of now. Counts that the vendor did not tell are None.

    Attributes:
        fetched_at: When the last customer of this generation was stored; None while they are fetched.
        fetched: How many customers are stored.
    """

    group_id: str
    api: Api
    vendor_id: str
    campaign: Campaign
    order: int | None
    total_groups: int | None
    unique_customers: int | None
    expected_customers: int | None
    revision: int
    generation: int
    told_at: datetime
    deadline_at: datetime
    submit_at: datetime
    hard_stop_at: datetime
    state: GroupState
    created_at: datetime
    fetched_at: datetime | None
    finished_at: datetime | None
    fetched: int
    chunk_count: int
    trace_id: str


def group_of(row: Row[Any]) -> Group:
    """The group that a row of the table says."""
    return Group(
        group_id=row.id,
        api=row.api,
        vendor_id=row.vendor_id,
        campaign=load_campaign(row.campaign),
        order=row.order_number,
        total_groups=row.total_groups,
        unique_customers=row.unique_customers,
        expected_customers=row.expected_customers,
        revision=row.revision,
        generation=row.generation,
        told_at=row.told_at,
        deadline_at=row.deadline_at,
        submit_at=row.submit_at,
        hard_stop_at=row.hard_stop_at,
        state=GroupState(row.state),
        created_at=row.created_at,
        fetched_at=row.fetched_at,
        finished_at=row.finished_at,
        fetched=row.fetched,
        chunk_count=row.chunk_count,
        trace_id=row.trace_id,
    )


def dump_campaign(campaign: Campaign) -> str:
    """A campaign as the ledger keeps it."""
    return json.dumps(asdict(campaign))


def load_campaign(written: str) -> Campaign:
    """The campaign that was kept, by this release or another: what we do not know is ignored."""
    held = json.loads(written)
    known = {field.name: held[field.name] for field in fields(Campaign) if field.name in held}
    return Campaign(**known | {"tags": tuple(held.get("tags", ()))})
