"""What of the work is late, missed, paused or waits for a person?

Reads what is unfinished and what was missed in the last hour, not what ever was.
"""

from collections.abc import Iterator
from datetime import timedelta

from clearance.ledger import fleet_levels, lane_pauses, mail_levels
from clearance.ledger.deadline_reads import late
from clearance.obligations import Lane
from tasks.pauses import PAUSED_BY_ITSELF
from workers.commands.countdown import duration
from workers.commands.listing import printable
from workers.doctor.findings import Finding, Runbook, fail, ok, warn
from workers.doctor.means import Means

_HOUR = timedelta(hours=1)
# Guardians mark missed what is overdue at their next look; what a live worker holds may end a little late.
_MARKED_WITHIN = timedelta(seconds=15)
_RUNBOOK_BY_LANE = {
    Lane.TRIGGERED: Runbook.APPROVALS_LATE,
    Lane.REVIEW: Runbook.GROUP_WILL_MISS_DEADLINE,
    Lane.SUBMIT: Runbook.GROUP_WILL_MISS_DEADLINE,
    Lane.MAIL: Runbook.MAIL_HELD,
    Lane.TRACK: Runbook.FEEDBACK_PARKED,
}


def look_at_deadlines(means: Means) -> Iterator[Finding]:
    """Nothing is overdue, nothing was missed lately, and no group is behind its plan."""
    now = means.now
    with means.read() as connection:
        lanes = late(connection, now, now - _HOUR)
        groups = fleet_levels.open_groups(connection, now)
    troubles = []
    for lane in lanes:
        check, runbook = f"deadlines {lane.lane}", _RUNBOOK_BY_LANE[lane.lane]
        by = timedelta(0) if lane.oldest_deadline_at is None else now - lane.oldest_deadline_at
        if by > _MARKED_WITHIN:
            told = f"{lane.overdue} overdue, the oldest by {duration(by.total_seconds())}"
            do = "see whether a guardian runs, and what the lane's workers hold: `clearance lanes list`"
            troubles.append(fail(check, told, do, runbook))
        elif lane.missed:
            do = f"see which and why: `clearance retries list --lane {lane.lane} --state missed`"
            troubles.append(warn(check, f"{lane.missed} missed in the last hour", do, runbook))
    late_groups = sum(group.late for group in groups)
    if late_groups:
        told = f"{late_groups} should be leaving already, and are not fetched or not decided yet"
        do = "see how much time is left: `clearance groups list`"
        troubles.append(warn("groups", told, do, Runbook.GROUP_WILL_MISS_DEADLINE))
    yield from troubles or [ok("deadlines", "nothing overdue, nothing missed in the last hour")]


def look_at_what_waits(means: Means) -> Iterator[Finding]:
    """No lane is paused, and nothing waits for a person."""
    now = means.now
    with means.read() as connection:
        pause_by_lane = lane_pauses.paused(connection)
        parked = fleet_levels.parked(connection)
        mail = mail_levels.levels(connection)
    troubles = []
    for lane, pause in pause_by_lane.items():
        check, since = f"lane {lane} paused", duration(max(0.0, (now - pause.paused_at).total_seconds()))
        then = f"`clearance lanes resume {lane}`"
        if pause.paused_by == PAUSED_BY_ITSELF:
            told = f"for {since}, by itself: its vendor refused our credentials"
            troubles.append(fail(check, told, f"mend the credentials, then {then}", Runbook.VENDOR_401))
        else:
            told = f"for {since}, by {printable(pause.paused_by)}"
            troubles.append(warn(check, told, f"{then}, when that is over", Runbook.LANE_PAUSED))
    for lane, count in parked.items():
        do = f"see why, then replay or discard: `clearance retries list --lane {lane} --state parked`, or `held`"
        troubles.append(warn(f"parked {lane}", f"{count} wait for a person", do, _RUNBOOK_BY_LANE[lane]))
    if mail.held.batches:
        told = f"{mail.held.letters} letters in {mail.held.batches} batches: nobody knows whether they are printed"
        troubles.append(warn("mail held", told, "see `clearance mail held list`", Runbook.MAIL_HELD))
    if mail.parked_commands:
        told = f"{mail.parked_commands} commands that Bloomreach did not take"
        do = "see `clearance mail feedback list --state parked`"
        troubles.append(warn("feedback parked", told, do, Runbook.FEEDBACK_PARKED))
    yield from troubles or [ok("waiting", "no lane paused, nothing parked or held")]
