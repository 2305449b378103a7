"""How does the fleet stand? What each lane owes, what stops it, how its groups are, and which rules decide.

Read every few seconds by each guardian. Each statement goes through what is unfinished, or parked, by an index: not
through what ever was.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, exists, func, or_, select

from clearance.ledger import lane_pauses, lane_reads
from clearance.ledger.group_facts import ChunkState, GroupState
from clearance.ledger.lane_reads import LaneLoad
from clearance.ledger.mail_batches import POST
from clearance.ledger.oncall_tables import lane_heartbeats
from clearance.ledger.tables import PARKED, chunks, groups, obligations, rules_in_force
from clearance.obligations import Lane
from clearance.optimove.heads_up import Api

# Three of its reports: who was silent for so long does not decide any more.
_REPORTS_LAST = timedelta(seconds=30)
# A group stays open until it is closed, some time after its deadline; one that is open for longer is a bug.
_CLOSED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLevels:
    """The open groups of one API.

    Attributes:
        late: Of how many the approvals were to begin to leave, while customers are not fetched or not decided.
        next_submit_at: When those of the next one are to begin to leave; None when none is open.
        next_deadline_at: When the next one ends.
    """

    api: Api
    open: int = 0
    late: int = 0
    next_submit_at: datetime | None = None
    next_deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLevels:
    """What a dashboard shows.

    Attributes:
        parked: How many obligations wait for a person; one to post letters does not, its batch does.
        answered_at: When the last heartbeat came out of a lane's queue; nothing of a lane where none ever did.
        rules_versions: By how many versions of the rules the living processes decide.
        rules_refused: How many of them refused the newest file.
    """

    loads: Sequence[LaneLoad]
    parked: Mapping[Lane, int]
    paused: Collection[Lane]
    answered_at: Mapping[Lane, datetime]
    groups: Sequence[GroupLevels]
    rules_versions: int
    rules_refused: int


def levels(connection: Connection, now: datetime) -> FleetLevels:
    """All of it."""
    rules = connection.execute(_RULES, {"since": now - _REPORTS_LAST}).one()
    return FleetLevels(
        loads=lane_reads.loads(connection, now),
        parked=parked(connection),
        paused=set(lane_pauses.paused(connection)),
        answered_at={Lane(row.lane): row.received_at for row in connection.execute(_ANSWERED)},
        groups=open_groups(connection, now),
        rules_versions=rules.versions,
        rules_refused=rules.refused,
    )


def parked(connection: Connection) -> dict[Lane, int]:
    """How many obligations wait for a person, by lane; nothing of a lane where none does."""
    return {Lane(row.lane): row.parked for row in connection.execute(_PARKED)}


def open_groups(connection: Connection, now: datetime) -> list[GroupLevels]:
    """How the open groups of each API stand."""
    found: dict[str, GroupLevels] = {
        row.api: GroupLevels(
            api=row.api,
            open=row.open,
            late=row.late,
            next_submit_at=row.next_submit_at,
            next_deadline_at=row.next_deadline_at,
        )
        for row in connection.execute(_GROUPS, {"now": now, "since": now - _CLOSED_AFTER})
    }
    apis: tuple[Api, ...] = ("v2", "v1")
    return [found.get(api, GroupLevels(api=api)) for api in apis]


_PARKED = (
    select(obligations.c.lane, func.count().label("parked"))
    .where(PARKED, obligations.c.task != POST)
    .group_by(obligations.c.lane)
)
_ANSWERED = select(lane_heartbeats.c.lane, lane_heartbeats.c.received_at).where(
    # Guardians have a row there too.
    lane_heartbeats.c.lane.in_([lane.value for lane in Lane]),
    lane_heartbeats.c.received_at.is_not(None),
)
_IS_UNDECIDED = exists().where(
    chunks.c.group_id == groups.c.id,
    chunks.c.generation == groups.c.generation,
    chunks.c.state == ChunkState.FETCHED.value,
)
_IS_LATE = and_(groups.c.submit_at <= bindparam("now"), or_(groups.c.fetched_at.is_(None), _IS_UNDECIDED))
_GROUPS = (
    select(
        groups.c.api,
        func.count().label("open"),
        func.count().filter(_IS_LATE).label("late"),
        func.min(groups.c.submit_at).label("next_submit_at"),
        func.min(groups.c.deadline_at).label("next_deadline_at"),
    )
    .where(groups.c.state == GroupState.OPEN.value, groups.c.deadline_at > bindparam("since"))
    .group_by(groups.c.api)
)
_RULES = select(
    func.count(rules_in_force.c.version.distinct()).label("versions"),
    func.count(rules_in_force.c.problem).label("refused"),
).where(rules_in_force.c.seen_at > bindparam("since"))
