"""Is every lane worked on, does somebody guard them, and do all decide by the same rules?

What proves that a lane is worked on is a heartbeat that came out of its queue (`workers/heartbeats.py`). Which lanes a
fleet has is not written anywhere: one whose vendor is not set, and that nobody answers on, is not in use.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from clearance.decisions.rules import RulesError
from clearance.ledger import heartbeats
from clearance.ledger.heartbeats import GUARDIAN, LaneBeat
from clearance.ledger.rule_sets import InForce, in_force
from config import settings as environment
from config.queues import LANE_QUEUES
from workers import wiring
from workers.commands.countdown import duration
from workers.commands.listing import printable
from workers.doctor.findings import Finding, Runbook, fail, ok, warn
from workers.doctor.means import Means
from workers.doctor.parts import depths_if_known
from workers.judges import read_rules, unset_variables
from workers.rules_keeper import REPORT_EVERY

# Heartbeats that may be lost or late before a lane counts as silent, and what a busy host may add.
_SILENT_AFTER_BEATS = 3
_SLACK = timedelta(seconds=2)
_MOST_NAMED = 3


def look_at_lanes(means: Means) -> Iterator[Finding]:
    """A heartbeat came out of each lane's queue not long ago."""
    with means.read() as connection:
        beats = heartbeats.known(connection)
    depths, now = depths_if_known(means), means.now
    is_guarded = _is_recent(means, beats.get(GUARDIAN), now)
    for queue in LANE_QUEUES:
        yield _lane(means, queue.lane, beats, depths, is_guarded=is_guarded, now=now)


def look_at_guardian(means: Means) -> Iterator[Finding]:
    """Somebody looks at what is due."""
    with means.read() as connection:
        beat = heartbeats.known(connection).get(GUARDIAN)
    now = means.now
    if beat is not None and beat.heard is not None and _is_recent(means, beat, now):
        yield ok("guardian", f"looked {_ago(beat.heard.received_at, now)}, {printable(beat.heard.process)}")
        return
    told = "none has looked yet" if beat is None or beat.heard is None else _last(beat.heard.received_at, now)
    do = "start `clearance guardian`: without one nothing is retried, and what is missed is not recorded"
    yield fail("guardian", told, do, Runbook.WORKERS_UP_NOTHING_MOVES)


def look_at_rules_file(means: Means) -> Iterator[Finding]:
    """This host's rules file can be used."""
    path = means.settings.rules_path
    try:
        rules = read_rules(path)
    except RulesError as error:
        count = len(error.problems)
        told = f"{count} mistake{'s' if count > 1 else ''}, the first: {printable(str(error.problems[0]))}"
        do = "mend the file: see `clearance rules check`; workers keep the last good one until they are restarted"
        yield fail("rules file", told, do, Runbook.RULES_REFUSED)
        return
    unset = sorted({name for _, name in unset_variables(rules, environment.named_secret)})
    if unset:
        told = f"names variables that are not set here: {', '.join(unset)}"
        yield warn("rules file", told, "set them where the workers run", Runbook.RULES_REFUSED)
        return
    yield ok("rules file", f"version {rules.version}")


def look_at_rules_in_force(means: Means) -> Iterator[Finding]:
    """All processes that decide have the same rules, and none has refused newer ones."""
    now = means.now
    longest = _SILENT_AFTER_BEATS * max(REPORT_EVERY, timedelta(seconds=means.settings.rules_look_every_s))
    with means.read() as connection:
        living = [each for each in in_force(connection) if now - each.seen_at <= longest]
    refused = [each for each in living if each.problem is not None]
    versions = sorted({each.version for each in living})
    if refused:
        told = f"{len(refused)} of {len(living)} processes refused the newest file: {_named(refused)}"
        do = "mend the file, then `clearance rules reload`; until then they decide by the last good one"
        yield fail("rules in force", told, do, Runbook.RULES_REFUSED)
    elif len(versions) > 1:
        told = f"{len(versions)} versions at once: {', '.join(versions)}"
        do = "see `clearance rules show`, then `clearance rules reload`"
        yield warn("rules in force", told, do, Runbook.RULES_REFUSED)
    else:
        told = f"version {versions[0]} in {len(living)} processes" if living else "nobody decides now"
        yield ok("rules in force", told)


def _lane(
    means: Means,
    lane: str,
    beats: Mapping[str, LaneBeat],
    depths: Mapping[str, int] | None,
    *,
    is_guarded: bool,
    now: datetime,
) -> Finding:
    check, beat = f"lane {lane}", beats.get(lane)
    waiting = "" if depths is None else f", {depths.get(lane, 0)} messages wait"
    heard = None if beat is None else beat.heard
    if heard is not None and _is_recent(means, beat, now):
        return ok(check, f"answered {_ago(heard.received_at, now)}, {printable(heard.process)}{waiting}")
    if not is_guarded:
        return warn(check, f"not known while no guardian asks{waiting}")
    if depths is None:
        return warn(check, "not known while the broker is away")
    told = "no worker has ever answered" if heard is None else _last(heard.received_at, now)
    unset = wiring.unset_by_lane(means.settings, lane)
    if heard is None and not unset:
        # A site without this kind of campaign has no such lane.
        unset = wiring.closed_doors_by_lane(means.settings, lane)
    if unset:
        told = (
            f"{told}; not set here, and without it the lane has no work or does not start: {', '.join(unset)}"
        )
        do = f"set them if this fleet has the {lane} lane"
        return warn(check, told, do, Runbook.WORKERS_UP_NOTHING_MOVES)
    do = f"see whether its workers run, and what they log; start `clearance worker {lane}`"
    return fail(check, told + waiting, do, Runbook.WORKERS_UP_NOTHING_MOVES)


def _is_recent(means: Means, beat: LaneBeat | None, now: datetime) -> bool:
    if beat is None or beat.heard is None:
        return False
    every = timedelta(seconds=means.settings.heartbeat_every_s)
    return now - beat.heard.received_at <= _SILENT_AFTER_BEATS * every + _SLACK


def _named(processes: list[InForce]) -> str:
    names = [printable(each.process) for each in processes]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _ago(at: datetime, now: datetime) -> str:
    return f"{duration(max(0.0, (now - at).total_seconds()))} ago"


def _last(at: datetime, now: datetime) -> str:
    return f"silent: last heard {_ago(at, now)}"
