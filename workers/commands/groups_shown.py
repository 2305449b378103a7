"""How a group looks to a person: where it stands, how far it is, what the vendor said, and what was called.

What must be seen first stands first: on a small terminal `--watch` shows the top.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clearance.ledger.group_details import Details, GroupCall, OwedStep, Revision
from clearance.ledger.group_facts import Group, GroupState
from clearance.ledger.group_reads import Standing
from clearance.obligations import State
from workers.commands.answers import MEANING_BY_ANSWER
from workers.commands.countdown import countdown, exact, moment
from workers.commands.listing import printable

_BAR_WIDTH = 40
_CALLS_SHOWN = 20
_KIND_BY_API = {"v2": "send group", "v1": "campaign"}


def shown(details: Details, now: datetime, *, with_bars: bool) -> RenderableType:
    """The whole page. `with_bars` draws the progress: for a terminal."""
    return Stack(
        *_head(details.standing.group, now),
        _progress(details.standing, with_bars=with_bars),
        *_counts(details),
        Text(),
        _revisions(details.revisions, now),
        *_calls(details.calls, now),
        *_owed(details.owed, now),
    )


def progress_line(standing: Standing, now: datetime) -> str:
    """How far it is in a line: for a log, where nothing is drawn over."""
    group = standing.group
    of = standing_total(standing)
    counts = f"fetched {group.fetched}, decided {standing.decided}, submitted {standing.submitted} of {of}"
    return f"{exact(now)} UTC  {group.state}  deadline {countdown(group.deadline_at, now)}  {counts}"


def standing_total(standing: Standing) -> int:
    """How many customers there are to be: what came, once all came, and what the vendor said before."""
    group = standing.group
    return group.fetched if group.fetched_at else max(group.fetched, group.expected_customers or 0)


def _head(group: Group, now: datetime) -> Iterator[Text]:
    campaign = group.campaign
    kind = _KIND_BY_API[group.api]
    yield Text(
        printable(f"{kind} {group.vendor_id}: {group.state}  ({group.group_id}, revision {group.revision})")
    )
    parts = [f"series {campaign.series_id}"] if campaign.series_id else []
    parts += [f"occurrence {campaign.occurrence_id}"] if campaign.occurrence_id else []
    if group.order is not None:
        parts.append(f"group {group.order} of {'?' if group.total_groups is None else group.total_groups}")
    parts += [f"template {_named(campaign.template_id, campaign.template_name)}"] * bool(campaign.template_id)
    parts += [f"channel {_named(campaign.channel_id, campaign.channel_name)}"] * bool(campaign.channel_id)
    if parts:
        yield Text(printable(", ".join(parts)))
    yield Text(f"deadline {exact(group.deadline_at)} UTC, {countdown(group.deadline_at, now)}")
    if group.state is GroupState.OPEN:
        submit = f"submission from {exact(group.submit_at)} UTC, {countdown(group.submit_at, now)}"
        yield Text(f"{submit}; nothing is sent after {exact(group.hard_stop_at)} UTC")
    elif group.finished_at:
        yield Text(f"ended {exact(group.finished_at)} UTC, {countdown(group.finished_at, now)}")


def _named(written_id: str, name: str) -> str:
    return f"{written_id} ({name})" if name else written_id


def _progress(standing: Standing, *, with_bars: bool) -> Table:
    table = Table.grid(padding=(0, 2))
    total = standing_total(standing)
    steps = (
        ("fetched", standing.group.fetched),
        ("decided", standing.decided),
        ("submitted", standing.submitted),
    )
    for step, count in steps:
        told = f"{count} of {total}" + (f" ({count / total:.0%})" if total else "")
        bar = [ProgressBar(total=max(1, total), completed=count, width=_BAR_WIDTH)] if with_bars else []
        table.add_row(step, *bar, told)
    return table


def _counts(details: Details) -> Iterator[Text]:
    standing = details.standing
    group = standing.group
    if group.fetched_at and group.expected_customers not in (None, group.fetched):
        yield Text(f"the vendor said {group.expected_customers} customers, {group.fetched} came")
    chunks = standing.chunks_by_state.items()
    told = ", ".join(
        f"{each.count} {state} ({each.customers} customer{'' if each.customers == 1 else 's'})"
        for state, each in chunks
    )
    yield Text(f"chunks: {told or 'none yet'}")
    yield Text(f"answers: {standing.approved} approved, {standing.decided - standing.approved} not approved")
    missed = (
        (standing.not_fetched, "not fetched"),
        (standing.not_decided, "not decided"),
        (standing.not_sent, "not sent"),
    )
    if any(count for count, _ in missed):
        yield Text(f"missed: {', '.join(f'{count} {what} in time' for count, what in missed if count)}")
    if details.reasons:
        reasons = ", ".join(f"{reason} {count}" for reason, count in details.reasons.items())
        yield Text(printable(f"reasons: {reasons}"))


def _revisions(revisions: Sequence[Revision], now: datetime) -> Table:
    # As many as 80 characters have room for: --json has every time.
    columns = ("no.", "cause", "told", "deadline", "ended", "margin")
    counts = ("submitted", "not decided", "not sent")
    return _table((*columns, *counts), (_revision_cells(each, now) for each in revisions))


def _revision_cells(each: Revision, now: datetime) -> Sequence[object]:
    return (
        each.revision,
        each.cause,
        moment(each.received_at, now),
        moment(each.deadline_at, now),
        each.ended_as,
        None if each.margin_ms is None else f"{each.margin_ms / 1000:.3f} s",
        each.submitted,
        each.not_decided,
        each.not_sent,
    )


def _calls(calls: Sequence[GroupCall], now: datetime) -> Iterator[RenderableType]:
    if not calls:
        yield Text("\nno calls yet")
        return
    yield Text()
    columns = ("sent", "no.", "attempt", "customers", "status", "outcome", "took", "error")
    yield _table(columns, (_call_cells(each, now) for each in calls[:_CALLS_SHOWN]))
    if len(calls) > _CALLS_SHOWN:
        yield Text(f"and {len(calls) - _CALLS_SHOWN} earlier calls: --json tells them")


def _call_cells(each: GroupCall, now: datetime) -> Sequence[object]:
    took = f"{(each.answered_at - each.sent_at).total_seconds():.3f} s" if each.answered_at else None
    return (
        moment(each.sent_at, now),
        each.revision,
        each.attempt,
        each.customers,
        each.status,
        MEANING_BY_ANSWER[each.answer],
        took,
        each.error,
    )


def _owed(owed: Sequence[OwedStep], now: datetime) -> Iterator[Text]:
    """What is not done as it should be: everything else is told above."""
    for each in owed:
        if each.state in (State.DONE, State.CANCELLED):
            continue
        if each.state is State.OPEN and not each.attempts:
            yield Text(f"{each.step}: due {countdown(each.run_at, now)}")
            continue
        reason = f": {each.reason}" if each.reason else ""
        failed = f"; the last attempt failed: {each.last_error}" if each.last_error else ""
        yield Text(printable(f"{each.step}: {each.state}{reason}, attempts: {each.attempts}{failed}"))


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("-" if cell is None else printable(str(cell)) for cell in row))
    return table
