"""`clearance mail status`: does mail leave? Counts by automation and state, what waits, what is held, who stopped it.

Exit codes: 0, 1 the ledger is away, 2 the settings are wrong. Redis that is away is told, not an error: then it is not
known how many slots are in use.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from clearance.clock import utc_now
from clearance.ledger import lane_pauses, mail_levels, mail_reads
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.mail_levels import HeldLevel
from clearance.ledger.mail_reads import Tally
from clearance.mail_states import RecipientState
from clearance.obligations import Lane
from config import settings
from config.settings import Settings
from workers import connections
from workers.commands.countdown import countdown, exact, iso
from workers.commands.listing import json_option, printable, show_all
from workers.mail_plan import slots_in_use

_COLUMNS = ("automation", "dry_run", *(each.value for each in RecipientState))


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How mail stands. `slots_in_use`: None when Redis does not answer."""

    tallies: Sequence[Tally]
    oldest_waiting_at: datetime | None
    held: HeldLevel
    pauses: Sequence[LanePause]
    slots_in_use: int | None
    slots: int
    is_dry_run: bool


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Tell how mail stands: letters by automation and state, the oldest that waits, held batches, slots, pauses."""
    here = settings.load()
    found, now = _status(here), utc_now()
    if as_json:
        click.echo(json.dumps(_facts(found, now)))
        return
    if found.is_dry_run:
        click.secho("DRY RUN: no letter is posted (CLEARANCE_MAIL_DRY_RUN)", bold=True, fg="red")
    for line in _lines(found, now):
        click.echo(printable(line))
    if not found.tallies:
        click.echo("there are no letters", err=True)
        return
    click.echo()
    show_all(_COLUMNS, _rows(found.tallies), as_json=False, whole=("automation",))


def _status(here: Settings) -> Status:
    ledger = connections.ledger(here)
    with ledger.read() as connection:
        pause_by_lane = lane_pauses.paused(connection)
        tallies = mail_reads.counts(connection)
        oldest_waiting_at = mail_reads.oldest_waiting_at(connection)
        held = mail_levels.held(connection)
    return Status(
        tallies=tallies,
        oldest_waiting_at=oldest_waiting_at,
        held=held,
        pauses=[pause_by_lane[lane] for lane in (Lane.MAIL, Lane.TRACK) if lane in pause_by_lane],
        slots_in_use=slots_in_use(here),
        slots=here.optilyz_max_concurrency,
        is_dry_run=here.mail_dry_run,
    )


def _lines(found: Status, now: datetime) -> Iterator[str]:
    for pause in found.pauses:
        since = f"{exact(pause.paused_at)} UTC, {countdown(pause.paused_at, now)}"
        yield f"PAUSED: {pause.lane}, since {since}, by {pause.paused_by}: {pause.reason}"
        yield f"  clearance lanes resume {pause.lane}"
    waiting = _waiting(found.tallies)
    oldest = found.oldest_waiting_at
    yield f"letters waiting: {waiting}" + (
        f", the oldest received {countdown(oldest, now)}" if oldest else ""
    )
    held = found.held
    since = f", the oldest since {countdown(held.oldest_at, now)}" if held.oldest_at else ""
    yield f"batches held: {held.batches}, letters in them: {held.letters}{since}"
    if held.batches:
        yield "  clearance mail held list"
    in_use = found.slots_in_use
    known = "not known (no Redis, or it does not answer)" if in_use is None else str(in_use)
    yield f"requests under way: {known}, of {found.slots} at most"


def _waiting(tallies: Sequence[Tally]) -> int:
    return sum(
        each.recipients for each in tallies if each.state is RecipientState.QUEUED and not each.is_dry_run
    )


def _by_automation(tallies: Sequence[Tally]) -> dict[tuple[str, bool], Counter[RecipientState]]:
    found: dict[tuple[str, bool], Counter[RecipientState]] = {}
    for each in sorted(tallies, key=lambda tally: (tally.automation_id, tally.is_dry_run)):
        counts = found.setdefault((each.automation_id, each.is_dry_run), Counter())
        counts[each.state] += each.recipients
    return found


def _rows(tallies: Sequence[Tally]) -> Iterator[dict[str, object]]:
    for (automation_id, is_dry_run), counts in _by_automation(tallies).items():
        row: dict[str, object] = {
            "automation": automation_id,
            "dry_run": "yes" if is_dry_run else None,
        }
        yield row | {state.value: counts[state] for state in RecipientState}


def _facts(found: Status, now: datetime) -> dict[str, object]:
    oldest = found.oldest_waiting_at
    return {
        "is_dry_run": found.is_dry_run,
        "waiting": _waiting(found.tallies),
        "oldest_waiting_at": iso(oldest),
        "oldest_waiting_s": None if oldest is None else round((now - oldest).total_seconds(), 3),
        "held_batches": found.held.batches,
        "held_letters": found.held.letters,
        "oldest_held_at": iso(found.held.oldest_at),
        "slots_in_use": found.slots_in_use,
        "slots": found.slots,
        "paused": [
            {
                "lane": each.lane.value,
                "paused_at": iso(each.paused_at),
                "paused_by": each.paused_by,
                "why": each.reason,
            }
            for each in found.pauses
        ],
        "automations": [
            {
                "automation_id": automation_id,
                "is_dry_run": is_dry_run,
                "letters": {state.value: counts[state] for state in RecipientState},
            }
            for (automation_id, is_dry_run), counts in _by_automation(found.tallies).items()
        ],
    }
