"""`clearance retries replay|discard|hold`: what a person does about what waits.

Each says first what it would do, and does it with `--yes`. Exit codes: 0 it is done, or would be, 1 the ledger is away
or there is nothing that it could be done to, 2 the settings or the arguments are wrong.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import click

from clearance.clock import utc_now
from clearance.ledger import desk_replay, desk_stops, lane_pauses
from clearance.ledger.desk import DeskFilter
from clearance.ledger.desk_portions import Selection
from clearance.ledger.desk_replay import Replay
from clearance.ledger.desk_stops import Stop, StopVerdict, StopWish
from clearance.ledger.desk_verdicts import Pace, Verdict
from clearance.ledger.engine import Ledger
from clearance.ledger.operator_actions import OperatorAction
from clearance.obligations import Lane
from config import settings
from config.settings import Settings
from workers.commands import ledger_here
from workers.commands.countdown import duration
from workers.commands.listing import json_option, printable
from workers.commands.reasons import REASON
from workers.commands.retries_filter import filter_options, wanted_by
from workers.commands.who import action

EXIT_NOTHING_DONE = 1
# Of what a lane may do, so much: the rest is for what is new.
_SHARE = 0.5

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _selection_options(command: _Command) -> _Command:
    for option in (
        json_option,
        click.option("--yes", is_flag=True, help="Do it; without this, it is only said what would be done."),
        click.option("--why", type=REASON, help="Kept for the audit; required with --yes."),
        filter_options,
        click.option("--all-matching", is_flag=True, help="All that the options ask for."),
        click.argument("ids", metavar="[ID]...", nargs=-1),
    ):
        command = option(command)
    return command


@click.command("replay")
@_selection_options
@click.option(
    "--rate",
    "per_s",
    type=click.FloatRange(0.01, 10_000),
    help="So many a second of each lane; by default half of what the lane may do.",
)
@click.pass_context
def retries_replay(ctx: click.Context, /, *, per_s: float | None, **asked: Any) -> None:
    """Try again what waits, one after the other, the nearest deadline first.

    What is past its deadline cannot be sent. Parked commands to Bloomreach are sent again, also those that may have
    arrived. Batches of letters are decided about with `clearance mail held resolve`.
    """
    wish = _Wish(**asked)
    here = settings.load()
    ledger = ledger_here.ledger(here)
    plan = _replay(wish, here, per_s)
    planned = desk_replay.replay(ledger.read, plan, utc_now)
    if not wish.yes or not planned[Verdict.SENT]:
        _say_plan(wish, planned, _last_turn_in_s(plan))
        ctx.exit(0 if planned[Verdict.SENT] else EXIT_NOTHING_DONE)
    deed = _replay(wish, here, per_s, wish.action("retries.replay", utc_now()))
    done = desk_replay.replay(ledger.write, deed, utc_now)
    takes_s = _last_turn_in_s(deed)
    if wish.as_json:
        _say_json(done, takes_s, is_done=True)
        return
    click.echo(f"{_told(done, _WILL, _REPLAYED)}; the last gets its turn in {duration(takes_s)}")
    _say_paused(ledger, deed.pace)


@click.command("discard")
@_selection_options
@click.pass_context
def retries_discard(ctx: click.Context, /, **asked: Any) -> None:
    """Give up what waits, for good. What it was about is forgotten; that it was owed, and who gave it up, stays."""
    _stop(ctx, Stop.DISCARD, _Wish(**asked))


@click.command("hold")
@_selection_options
@click.pass_context
def retries_hold(ctx: click.Context, /, **asked: Any) -> None:
    """Keep what is to be tried again from being tried, until it is replayed. Its deadline stays."""
    _stop(ctx, Stop.HOLD, _Wish(**asked))


class _Wish:
    """What was asked for on the command line."""

    def __init__(
        self,
        *,
        ids: tuple[str, ...],
        all_matching: bool,
        yes: bool,
        why: str | None,
        as_json: bool,
        **filters: Any,
    ) -> None:
        if bool(ids) == all_matching:
            raise click.UsageError("say which: IDs, or --all-matching with options")
        if ids and any(value is not None for value in filters.values()):
            raise click.UsageError("IDs and options exclude each other: options are for --all-matching")
        if yes and why is None:
            raise click.UsageError("--yes needs --why: it is kept for the audit")
        self.selection = Selection(ids=tuple(sorted(set(ids))), wanted=wanted_by(**filters))
        self.yes, self.why, self.as_json = yes, why, as_json

    def action(self, name: str, now: datetime) -> OperatorAction:
        """What the ledger keeps of it; how many is counted as it is done."""
        return action(name, _subject(self.selection), now, why=self.why)


def _subject(selection: Selection) -> str:
    if len(selection.ids) == 1:
        return selection.ids[0]
    if selection.ids:
        return f"{selection.ids[0]} and {len(selection.ids) - 1} more"
    return _described(selection.wanted)


def _described(wanted: DeskFilter) -> str:
    parts = {
        "lane": wanted.lane,
        "state": wanted.state,
        "reason": wanted.reason,
        "since": wanted.since and f"{wanted.since:%Y-%m-%dT%H:%M:%SZ}",
        "deadline-before": wanted.deadline_before and f"{wanted.deadline_before:%Y-%m-%dT%H:%M:%SZ}",
    }
    return " ".join(f"{name}={value}" for name, value in parts.items() if value) or "all"


def _replay(wish: _Wish, here: Settings, per_s: float | None, action: OperatorAction | None = None) -> Replay:
    return Replay(
        selection=wish.selection,
        pace=_pace(here, per_s),
        eta_window=timedelta(seconds=here.eta_window_s),
        action=action,
    )


def _pace(here: Settings, per_s: float | None) -> Pace:
    optimove_per_s = here.optimove_rate_calls / here.optimove_rate_window_s
    most_per_s: Mapping[Lane, float] = {
        # A limit of its own only where the vendor counts it with the others; else what one worker has threads for.
        Lane.TRIGGERED: optimove_per_s if here.optimove_rate_reserved else float(here.triggered_threads),
        Lane.REVIEW: float(here.review_processes),
        Lane.SUBMIT: optimove_per_s,
        Lane.MAIL: float(here.optilyz_max_concurrency),
        Lane.TRACK: here.bloomreach_calls_per_minute / 60,
    }
    return Pace(
        per_s={lane: per_s or most * _SHARE for lane, most in most_per_s.items()},
        margins={Lane.TRIGGERED: timedelta(milliseconds=here.send_margin_ms)},
    )


def _last_turn_in_s(replay: Replay) -> float:
    last_at = max(replay.pace.last_at.values(), default=None)
    return 0.0 if last_at is None else max(0.0, (last_at - utc_now()).total_seconds())


def _say_plan(wish: _Wish, planned: desk_replay.Verdicts, takes_s: float) -> None:
    if wish.as_json:
        _say_json(planned, takes_s, is_done=False)
        return
    click.echo(_told(planned, _WOULD, _REPLAYED))
    if planned[Verdict.SENT]:
        click.echo(f"the last would get its turn in {duration(takes_s)}", err=True)
        click.echo(_NOTHING_DONE, err=True)


def _say_json(verdicts: Counter[Any], takes_s: float | None, *, is_done: bool) -> None:
    facts: dict[str, object] = {"is_done": is_done} | {
        str(verdict): count for verdict, count in sorted(verdicts.items())
    }
    if takes_s is not None:
        facts["last_turn_in_s"] = round(takes_s, 3)
    click.echo(json.dumps(facts))


def _say_paused(ledger: Ledger, pace: Pace) -> None:
    with ledger.read() as connection:
        paused = lane_pauses.paused(connection)
    for lane in sorted(pace.last_at):
        if lane in paused:
            click.echo(f"{lane} is paused: they wait until it is resumed", err=True)


def _stop(ctx: click.Context, how: Stop, wish: _Wish) -> None:
    ledger = ledger_here.ledger(settings.load())
    now = utc_now()
    planned = desk_stops.stop(ledger.read, StopWish(selection=wish.selection, how=how), now)
    meanings = _STOPPED[how]
    if not wish.yes or not planned[StopVerdict.STOPPED]:
        if wish.as_json:
            _say_json(planned, None, is_done=False)
        else:
            click.echo(_told(planned, _WOULD, meanings))
            if planned[StopVerdict.STOPPED]:
                click.echo(_NOTHING_DONE, err=True)
        ctx.exit(0 if planned[StopVerdict.STOPPED] else EXIT_NOTHING_DONE)
    action = wish.action(f"retries.{how}", now)
    done = desk_stops.stop(ledger.write, StopWish(selection=wish.selection, how=how, action=action), now)
    if wish.as_json:
        _say_json(done, None, is_done=True)
        return
    click.echo(_told(done, _ARE, meanings))


def _told(verdicts: Counter[Any], tense: str, meanings: Mapping[Any, str]) -> str:
    """The good news first, then why not the others."""
    parts = [f"{verdicts[each]} {text.format(tense)}" for each, text in meanings.items() if verdicts[each]]
    return printable(", ".join(parts)) or "nothing is meant by that"


_NOTHING_DONE = "nothing was done: repeat it with --yes --why TEXT"
_WOULD, _WILL, _ARE = "would be", "will be", "are"
_REPLAYED: Mapping[StrEnum, str] = {
    Verdict.SENT: "{} sent",
    Verdict.PAST_DEADLINE: "are past their deadline",
    Verdict.TOO_SLOW: "{} too late at this rate (--rate)",
    Verdict.NOTHING_LEFT: "have nothing left to send",
    Verdict.NEEDS_DECISION: "need a decision (clearance mail held resolve)",
    Verdict.NOT_ON_DESK: "are not on the desk",
    Verdict.CHANGED: "were changed meanwhile by somebody else",
}
_NOT_STOPPED: Mapping[StrEnum, str] = {
    StopVerdict.IS_MISSED: "are missed, and stay on record",
    StopVerdict.IS_STOPPED: "are parked already",
    StopVerdict.NEEDS_DECISION: "need a decision (clearance mail held resolve, clearance lanes pause mail)",
    StopVerdict.MUST_BE_CLOSED: "write down what became of a group: that is not given up",
    StopVerdict.NOT_WAITING: "do not wait",
    StopVerdict.CHANGED: "were changed meanwhile by somebody else",
}
_STOPPED: Mapping[Stop, Mapping[StrEnum, str]] = {
    Stop.HOLD: {StopVerdict.STOPPED: "{} held", **_NOT_STOPPED},
    Stop.DISCARD: {StopVerdict.STOPPED: "{} discarded", **_NOT_STOPPED},
}
