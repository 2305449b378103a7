"""`clearance rules show` and `reload`: what does each process decide by, and does it follow a changed file?

Processes say in the ledger what they have in force; a request to read the file again is a number there. Times of two
hosts are never compared to tell whether a process has followed: what it says now differs from what it said before.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from time import monotonic, sleep

import click

from clearance.clock import utc_now
from clearance.ledger import operator_actions
from clearance.ledger.engine import Ledger
from clearance.ledger.rule_sets import InForce, ask_reload, in_force
from config import settings
from config.settings import Settings
from workers import connections
from workers.commands.listing import json_option, printable, show_all
from workers.commands.rules_versions import known_text
from workers.commands.who import action, operator
from workers.judges import read_rules
from workers.rules_keeper import REPORT_EVERY

# Reports that a process must have left out before it is taken to be gone.
_SILENT_AFTER_REPORTS = 3
_LOOK_EVERY_S = 0.2
_COLUMNS = ("process", "lane", "version", "loaded", "seen", "state")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))

_Row = tuple[InForce, str]
"""What a process said, and how it stands to the file in words."""


class State(StrEnum):
    """How a process stands to the file."""

    IN_FORCE = "in force"
    REFUSED = "refused a newer file"
    SILENT = "silent"


class Followed(StrEnum):
    """What a process has made of a request to reload."""

    IN_FORCE = "in force"
    REFUSED = "refused"
    OTHER_FILE = "has another file"
    SILENT = "says nothing"


@click.command("show")
@click.argument("version", required=False)
@json_option
def show_rules(version: str | None, as_json: bool) -> None:
    """List which rules each process has in force; with VERSION, print that file as it was first read."""
    here = settings.load()
    ledger = connections.ledger(here)
    if version is not None:
        text = known_text(ledger, version)
        click.echo(json.dumps({"version": version, "text": text}) if as_json else text, nl=as_json)
        return
    now = utc_now()
    rows = [(each, _state(each, here, now).value) for each in _reported(ledger)]
    if as_json:
        click.echo(json.dumps([_facts(*row) for row in rows]))
        return
    if not rows:
        click.echo("no process has said which rules it has in force", err=True)
        return
    _print_table(rows, now)


@click.command("reload")
@click.option(
    "--wait-s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="How long to wait for every process to follow; 0 only asks.",
)
@json_option
@click.pass_context
def reload_rules(ctx: click.Context, wait_s: float, as_json: bool) -> None:
    """Have every process read its rules file again, and see that all do."""
    here = settings.load()
    wanted = read_rules(here.rules_path).version  # a file with mistakes is asked of nobody
    ledger = connections.ledger(here)
    now = utc_now()
    before = {each.process: each for each in _reported(ledger)}
    live = {name for name, each in before.items() if _state(each, here, now) is not State.SILENT}
    with ledger.write() as connection:
        ask_reload(connection, asked_by=operator(), asked_at=now)
        operator_actions.record(connection, action("rules.reload", wanted, now))
    if wait_s == 0:
        click.echo(json.dumps({"version": wanted, "processes": []}) if as_json else f"asked for {wanted}")
        return
    answers = _awaited(lambda: _reported(ledger), before, live, wanted, wait_s)
    _print(answers, wanted, as_json)
    ctx.exit(0 if all(each.outcome is Followed.IN_FORCE for each in answers) else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    said: InForce
    outcome: Followed


def _awaited(
    report: Callable[[], Sequence[InForce]],
    before: Mapping[str, InForce],
    live: Set[str],
    wanted: str,
    wait_s: float,
) -> list[_Answer]:
    """What every live process has made of it, when all have said so, or the time is up."""
    give_up_at = monotonic() + wait_s
    while True:
        answers = [
            _Answer(said=each, outcome=_outcome(each, before.get(each.process), wanted))
            for each in report()
            if each.process in live or each != before.get(each.process)
        ]
        if all(each.outcome is not Followed.SILENT for each in answers) or monotonic() >= give_up_at:
            return answers
        sleep(_LOOK_EVERY_S)


def _outcome(said: InForce, before: InForce | None, wanted: str) -> Followed:
    if before is not None and _word(said) == _word(before):
        return Followed.SILENT
    if said.problem is not None:
        return Followed.REFUSED
    return Followed.IN_FORCE if said.version == wanted else Followed.OTHER_FILE


def _word(said: InForce) -> tuple[object, ...]:
    """What changes with every reload, and with nothing else: a load has its time, and so has a problem."""
    return said.version, said.loaded_at, said.problem


def _print(answers: Sequence[_Answer], wanted: str, as_json: bool) -> None:
    rows = [(each.said, each.outcome.value) for each in answers]
    if as_json:
        click.echo(json.dumps({"version": wanted, "processes": [_facts(*row) for row in rows]}))
        return
    if not rows:
        click.echo("asked; no process is there to follow", err=True)
        return
    _print_table(rows, utc_now())
    counts = Counter(each.outcome for each in answers)
    told = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items())
    click.echo(f"\nversion {wanted}: {told}")


def _print_table(rows: Sequence[_Row], now: datetime) -> None:
    """What each process decides by, and below it what the newer file has against it."""
    shown = [
        {
            "process": said.process,
            "lane": said.lane,
            "version": said.version,
            "loaded": _ago(now - said.loaded_at),
            "seen": _ago(now - said.seen_at),
            "state": state,
        }
        for said, state in rows
    ]
    show_all(_COLUMNS, shown, as_json=False)
    for said, _ in rows:
        if said.problem is not None:
            click.echo(f"\n{printable(said.process)} {printable(said.problem)}")


def _ago(passed: timedelta) -> str:
    seconds = max(0, int(passed.total_seconds()))  # a clock of another host may be a little ahead of ours
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _reported(ledger: Ledger) -> list[InForce]:
    with ledger.read() as connection:
        return in_force(connection)


def _state(said: InForce, here: Settings, now: datetime) -> State:
    every = max(REPORT_EVERY, timedelta(seconds=here.rules_look_every_s))
    if now - said.seen_at > _SILENT_AFTER_REPORTS * every:
        return State.SILENT
    return State.IN_FORCE if said.problem is None else State.REFUSED


def _facts(said: InForce, state: str) -> dict[str, object]:
    return {
        "process": said.process,
        "lane": said.lane,
        "version": said.version,
        "loaded_at": said.loaded_at.isoformat(timespec="milliseconds"),
        "seen_at": said.seen_at.isoformat(timespec="milliseconds"),
        "state": state,
        "problem": said.problem,
    }
