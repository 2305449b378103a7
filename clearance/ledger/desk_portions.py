"""What of the desk does an operator mean, and how is it gone through? A portion at a time, each a transaction."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Column, Connection, Row, Select, and_, func, select, tuple_

from clearance.bloomreach.commands import CommandState
from clearance.ledger.desk import DeskFilter, of_batches, of_commands, of_obligations
from clearance.ledger.mail_tables import mail_batches, track_commands
from clearance.ledger.tables import obligations
from clearance.mail_states import BatchState

_PORTION = 500

Verdict = TypeVar("Verdict")
Work = Callable[[Connection, Sequence[Row[Any]]], Counter[Verdict]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What an operator means: these `ids`, or all that the filter asks for."""

    ids: tuple[str, ...] = ()
    wanted: DeskFilter = field(default_factory=DeskFilter)


class Opens(Protocol):
    """A transaction for each portion: `Ledger.read` or `Ledger.write`."""

    def __call__(self) -> AbstractContextManager[Connection]:
        """Begin one."""


def each_obligation(
    opens: Opens, selection: Selection, work: Work[Verdict], *, in_time_at: datetime | None = None
) -> Counter[Verdict]:
    """Go through the obligations that are meant, the nearest deadline first.

    Named by their ids, all are, wherever they stand. By a filter those on the desk are; with `in_time_at`, only those
    whose deadline was not over then.
    """
    page = select(obligations)
    if selection.ids:
        page = page.where(obligations.c.id.in_(selection.ids))
    else:
        page = page.where(and_(*of_obligations(selection.wanted)))
        if in_time_at is not None:
            page = page.where(obligations.c.deadline_at > in_time_at)
    return _in_portions(opens, page, (obligations.c.deadline_at, obligations.c.id), work)


def each_command(
    opens: Opens, selection: Selection, work: Work[Verdict], *, are_changed: bool
) -> Counter[Verdict]:
    """Go through the parked commands that are meant, the oldest first; if they are to be changed, locked."""
    conditions = of_commands(selection.wanted)
    if conditions is None:
        return Counter()
    table = track_commands.c
    page = select(table.id, table.trace_id, table.data.is_not(None).label("has_data")).where(
        and_(*conditions)
    )
    if selection.ids:
        page = page.where(table.id.in_(selection.ids))
    if are_changed:
        page = page.with_for_update()
    return _in_portions(opens, page, (table.id,), work)


def held_batches(connection: Connection, selection: Selection) -> int:
    """How many batches of letters that are meant wait for a decision."""
    conditions = of_batches(selection.wanted)
    if conditions is None:
        return 0
    count = select(func.count()).select_from(mail_batches).where(and_(*conditions))
    if selection.ids:
        count = count.where(mail_batches.c.id.in_(selection.ids))
    return int(connection.execute(count).scalar_one())


def unknown_ids(connection: Connection, selection: Selection) -> int:
    """How many of the ids are of nothing that could be on the desk."""
    known: set[str] = set()
    for found in (
        select(obligations.c.id),
        select(track_commands.c.id).where(track_commands.c.state == CommandState.PARKED.value),
        select(mail_batches.c.id).where(mail_batches.c.state == BatchState.HELD.value),
    ):
        (id_column,) = found.selected_columns
        known.update(connection.execute(found.where(id_column.in_(selection.ids))).scalars())
    return len(set(selection.ids) - known)


def _in_portions(
    opens: Opens, page: Select[Any], key: Sequence[Column[Any]], work: Work[Verdict]
) -> Counter[Verdict]:
    total: Counter[Verdict] = Counter()
    page = page.order_by(*key).limit(_PORTION)
    after: tuple[Any, ...] | None = None
    while True:
        with opens() as connection:
            asked = page if after is None else page.where(tuple_(*key) > after)
            rows = connection.execute(asked).all()
            if rows:
                total += work(connection, rows)
        if len(rows) < _PORTION:
            return total
        after = tuple(getattr(rows[-1], column.name) for column in key)
