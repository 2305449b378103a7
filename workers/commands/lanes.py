"""`clearance lanes`: how much each lane has to do, and which of them are paused.

A pause is in the ledger: it holds for the whole fleet and over restarts, until somebody resumes the lane. What is under
way is finished; what waits, waits, and what has a deadline misses it. Exit codes: 0 done (what was so already is no
error), 1 the ledger is away or a lane was not drained in time, 2 the settings or the arguments are wrong.
"""

from datetime import datetime, timedelta
from time import sleep

import click

from clearance.clock import utc_now
from clearance.ledger import lane_pauses, lane_reads, operator_actions
from clearance.ledger.engine import Ledger
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.lane_reads import LaneLoad, UnderWay
from clearance.obligations import Lane
from config import settings
from workers.commands import ledger_here
from workers.commands.countdown import countdown, duration, exact, iso, moment
from workers.commands.listing import json_option, printable, show_all
from workers.commands.reasons import REASON
from workers.commands.who import action, operator

EXIT_NOT_DRAINED = 1
# What these owe has a deadline that somebody waits for.
_ANSWERS_BY_A_DEADLINE = frozenset({Lane.TRIGGERED, Lane.REVIEW, Lane.SUBMIT})
_COLUMNS = ("lane", "due", "oldest", "later", "running", "overdue", "deadline", "paused", "by", "why")
_BELOW = ("paused", "by", "why")
_UNDER_WAY_COLUMNS = ("obligation", "task", "attempt", "lease", "deadline", "worker")
_LANE = click.Choice([each.value for each in Lane])
_LOOK_EVERY_S = 0.5
# A claim that had begun when the lane was paused is seen by the second look at the latest.
_QUIET_LOOKS = 3

_Facts = dict[str, object]


@click.group()
def lanes() -> None:
    """Lanes: how much each has to do, and which are paused.

    The triggered, review and submit lanes owe answers by a deadline: while one is paused, what is due is missed, as
    without a worker.
    """


@lanes.command("list")
@json_option
def lanes_list(as_json: bool) -> None:
    """List every lane: what is due, planned, under way and overdue, and who paused it."""
    ledger = ledger_here.ledger(settings.load())
    now = utc_now()
    with ledger.read() as connection:
        loads = lane_reads.loads(connection, now)
        pause_by_lane = lane_pauses.paused(connection)
    told = _facts if as_json else _row
    rows = [told(each, pause_by_lane.get(each.lane), now) for each in loads]
    show_all(_COLUMNS, rows, as_json, below=_BELOW)


@lanes.command("pause")
@click.argument("lane", type=_LANE)
@click.option("--why", required=True, type=REASON, help="Shown in listings, and kept for the audit.")
def lanes_pause(lane: str, why: str) -> None:
    """Stop working on LANE, in the whole fleet, until it is resumed. What is under way is finished."""
    ledger = ledger_here.ledger(settings.load())
    if not _pause(ledger, Lane(lane), "lanes.pause", why):
        return
    click.echo(f"{lane} is paused: what is under way is finished, what waits, waits")
    _warn(ledger, Lane(lane))


@lanes.command("drain")
@click.argument("lane", type=_LANE)
@click.option("--why", required=True, type=REASON, help="Shown in listings, and kept for the audit.")
@click.option(
    "--timeout",
    "timeout_s",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Wait so many seconds at the most.",
)
@click.pass_context
def lanes_drain(ctx: click.Context, lane: str, why: str, timeout_s: float) -> None:
    """Pause LANE and wait until nothing of it is under way. It stays paused."""
    ledger = ledger_here.ledger(settings.load())
    if _pause(ledger, Lane(lane), "lanes.drain", why):
        _warn(ledger, Lane(lane))
    left = _drained(ledger, Lane(lane), timeout_s)
    busy = [each for each in left if not each.is_abandoned]
    if left:
        now = utc_now()
        show_all(_UNDER_WAY_COLUMNS, [_under_way_row(each, now) for each in left], False)
    if busy:
        click.echo(f"{lane} is not drained after {timeout_s:g} s, under way: {len(busy)}", err=True)
        ctx.exit(EXIT_NOT_DRAINED)
    click.echo(f"{lane} is drained: no worker is at anything of it")


@lanes.command("resume")
@click.argument("lane", type=_LANE)
@click.option("--why", type=REASON, help="Kept for the audit.")
def lanes_resume(lane: str, why: str | None) -> None:
    """Work on LANE again."""
    ledger = ledger_here.ledger(settings.load())
    with ledger.write() as connection:
        was = lane_pauses.resume(connection, Lane(lane))
        if was is not None:
            operator_actions.record(connection, action("lanes.resume", lane, utc_now(), why=why))
    if was is None:
        click.echo(f"{lane} is not paused", err=True)
        return
    click.echo(f"{lane} is resumed; it was paused {_pause_told(was)}")


def _pause(ledger: Ledger, lane: Lane, command: str, why: str) -> bool:
    """Whether it was not paused already."""
    now = utc_now()
    pause = LanePause(lane=lane, paused_at=now, paused_by=operator(), reason=why)
    with ledger.write() as connection:
        is_new = lane_pauses.pause(connection, pause)
        standing = lane_pauses.paused(connection)[lane]
        if is_new:
            operator_actions.record(connection, action(command, lane, now, why=why))
    if not is_new:
        click.echo(f"{lane} is paused already, {_pause_told(standing)}", err=True)
    return is_new


def _warn(ledger: Ledger, lane: Lane) -> None:
    """Say what a pause will cost, where somebody waits for the lane."""
    if lane not in _ANSWERS_BY_A_DEADLINE:
        return
    now = utc_now()
    with ledger.read() as connection:
        load = next(each for each in lane_reads.loads(connection, now) if each.lane is lane)
    until = load.next_deadline_at
    nearest = f"; the nearest of {load.due + load.later} is over {countdown(until, now)}" if until else ""
    click.echo(f"what {lane} owes is missed at its deadline until it is resumed{nearest}", err=True)


def _drained(ledger: Ledger, lane: Lane, timeout_s: float) -> list[UnderWay]:
    """What is left: nothing, what whoever held it has left behind, or what is still under way when the time is over."""
    until, told, quiet = utc_now() + timedelta(seconds=timeout_s), 0, 0
    while True:
        now = utc_now()
        with ledger.read() as connection:
            left = lane_reads.under_way(connection, lane, now)
        busy = sum(not each.is_abandoned for each in left)
        quiet = 0 if busy else quiet + 1
        if quiet == _QUIET_LOOKS or (busy and now >= until):
            return left
        if busy and busy != told:
            click.echo(f"under way: {busy}", err=True)
            told = busy
        sleep(_LOOK_EVERY_S)


def _pause_told(pause: LanePause) -> str:
    return printable(f"since {exact(pause.paused_at)} UTC by {pause.paused_by}: {pause.reason}")


def _facts(load: LaneLoad, pause: LanePause | None, now: datetime) -> _Facts:
    oldest, has_deadline = load.oldest_due_at, load.lane in _ANSWERS_BY_A_DEADLINE
    return {
        "lane": load.lane.value,
        "due": load.due,
        "oldest_due_at": iso(oldest),
        "oldest_due_s": None if oldest is None else round((now - oldest).total_seconds(), 3),
        "later": load.later,
        "running": load.running,
        "overdue": load.overdue,
        "next_deadline_at": iso(load.next_deadline_at) if has_deadline else None,
        "paused_at": iso(pause.paused_at) if pause else None,
        "paused_by": pause.paused_by if pause else None,
        "why": pause.reason if pause else None,
    }


def _row(load: LaneLoad, pause: LanePause | None, now: datetime) -> _Facts:
    oldest, until = load.oldest_due_at, load.next_deadline_at
    since = f"{moment(pause.paused_at, now)}, {countdown(pause.paused_at, now)}" if pause else None
    return {
        "lane": load.lane.value,
        "due": load.due,
        "oldest": None if oldest is None else duration((now - oldest).total_seconds()),
        "later": load.later,
        "running": load.running,
        "overdue": load.overdue,
        "deadline": countdown(until, now) if until and load.lane in _ANSWERS_BY_A_DEADLINE else None,
        "paused": since,
        "by": pause.paused_by if pause else None,
        "why": pause.reason if pause else None,
    }


def _under_way_row(item: UnderWay, now: datetime) -> _Facts:
    return {
        "obligation": item.obligation_id,
        "task": item.task,
        "attempt": item.attempt,
        "lease": countdown(item.lease_until, now),
        "deadline": countdown(item.deadline_at, now),
        "worker": "gone: taken up by another once the lane is resumed" if item.is_abandoned else "at it",
    }
