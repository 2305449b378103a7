"""Where is a customer in the ledger? Every row that holds the id, and what is still owed for it.

In: the id that Optimove uses, or one of Bloomreach's, as `kind:id` or without its kind. What is still owed (an
unanswered notification, an open group, a letter that is not posted yet, an event that Bloomreach is still to hear)
needs its data. Ids are compared as written. Letters are looked through from the first to the last, a page a
transaction: nothing but this asks for them by customer. Every chunk of every group is looked into.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, select

from clearance.bloomreach.commands import CommandState
from clearance.ledger import address_suppressions, decisions_in_groups
from clearance.ledger.chunk_bodies import load_customer_ids
from clearance.ledger.decisions import DecisionKey
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import GroupState
from clearance.ledger.group_obligations import numbers_of
from clearance.ledger.mail_tables import address_suppressions as addresses
from clearance.ledger.mail_tables import mail_recipients, operator_actions, track_commands
from clearance.ledger.portions import portions
from clearance.ledger.tables import (
    UNFINISHED,
    chunks,
    decisions,
    groups,
    notifications,
    obligations,
    suppressions,
)
from clearance.mail_states import RecipientState

_PAGE = 5_000
# As wide as the column of an action's subject.
_LONGEST_SUBJECT = 96
_WAITING = frozenset({RecipientState.QUEUED.value, RecipientState.HELD.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Keys of rows. `owed`: what needs its data still, as `what id`. `suppressions` are lists, `addresses` pairs."""

    notifications: tuple[str, ...]
    decisions: tuple[DecisionKey, ...]
    letters: tuple[str, ...]
    commands: tuple[str, ...]
    actions: tuple[str, ...]
    suppressions: tuple[str, ...]
    addresses: tuple[tuple[str, str], ...]
    owed: tuple[str, ...]


def find(ledger: Ledger, customer: str, *, kinds: Sequence[str]) -> Traces:
    """Look everywhere. `kinds`: those of Bloomreach's ids that letters come with."""
    letters = [row for row in _letters(ledger) if _named(customer, orjson.loads(row.customer_ids))]
    commands = [row for row in _commands(ledger) if _named(customer, _ids_told(row.data))]
    waiting = {row.id for row in letters if row.state in _WAITING}
    untold = {row.id for row in commands if row.state == CommandState.OPEN.value}
    keys = {customer, *(key for kind in kinds for key in _keys({kind: customer}))}
    keys.update(
        key for row in letters for key in _keys(_named(customer, orjson.loads(row.customer_ids))) if key
    )
    asked = {"customer": customer}
    with ledger.read() as connection:
        notified = _column(connection, _NOTIFICATIONS, asked)
        alone = _column(connection, _DECIDED_ALONE, asked)
        grouped = [(row.subject, row.chunk) for row in decisions_in_groups.about(connection, customer)]
        unanswered = _unfinished(connection, notified)
        open_groups = set(_column(connection, _OPEN_GROUPS, {}))
        actions = _column(connection, _ACTIONS, {"ids": sorted(key[:_LONGEST_SUBJECT] for key in keys)})
        lists = _column(connection, _SUPPRESSIONS, asked)
        pairs = connection.execute(_ADDRESSES, {"ids": sorted(keys)}).all()
    in_groups = {group for group in open_groups if _is_in(ledger, customer, group)}
    in_groups.update(open_groups.intersection(_group(subject) for subject, _ in grouped))
    return Traces(
        notifications=tuple(each for each in notified if each not in unanswered),
        decisions=(
            *((each, 0, customer) for each in alone if each not in unanswered),
            *((each, chunk, customer) for each, chunk in grouped if _group(each) not in open_groups),
        ),
        letters=tuple(row.id for row in letters if row.id not in waiting),
        commands=tuple(row.id for row in commands if row.id not in untold),
        actions=tuple(actions),
        suppressions=tuple(lists),
        addresses=tuple((row.address_key, row.customer_key) for row in pairs),
        owed=(
            *(f"notification {each}" for each in sorted(unanswered)),
            *(f"group {each}" for each in sorted(in_groups)),
            *(f"letter {each}" for each in sorted(waiting)),
            *(f"track command {each}" for each in sorted(untold)),
        ),
    )


def _letters(ledger: Ledger) -> Iterator[Row[Any]]:
    return _pages(ledger, _LETTERS, {})


def _commands(ledger: Ledger) -> Iterator[Row[Any]]:
    """Those that hold something: what was taken is empty."""
    for state in CommandState:
        if state is not CommandState.SENT:
            yield from _pages(ledger, _COMMANDS, {"state": state.value})


def _pages(ledger: Ledger, page: Select[Any], asked: Mapping[str, object]) -> Iterator[Row[Any]]:
    after = ""
    while True:
        with ledger.read() as connection:
            rows = connection.execute(page, {"after": after, "limit": _PAGE, **asked}).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1].id


def _named(customer: str, id_by_kind: Mapping[str, str]) -> dict[str, str]:
    """Those of the ids that are the customer's, with or without the kind."""
    return {
        kind: value
        for kind, value in id_by_kind.items()
        if customer in (value, str(value).strip(), f"{kind}:{value}")
    }


def _keys(id_by_kind: Mapping[str, str]) -> list[str]:
    return [key for key in address_suppressions.customer_keys(id_by_kind) if key]


def _ids_told(data: str | None) -> Mapping[str, str]:
    found = orjson.loads(data).get("customer_ids") if data else None
    return found if isinstance(found, dict) else {}


def _group(subject: str) -> str:
    return numbers_of(subject)[0]


def _is_in(ledger: Ledger, customer: str, group_id: str) -> bool:
    """Whether what is stored of a group, to be decided or to be sent, names the customer. A chunk a transaction."""
    with ledger.read() as connection:
        keys = connection.execute(_CHUNKS, {"group": group_id}).all()
    for key in keys:
        with ledger.read() as connection:
            row = connection.execute(_CHUNK, {"group": group_id, "of": key.generation, "number": key.number})
            for written in row.one():
                if written is not None and customer in load_customer_ids(written):
                    return True
    return False


def _unfinished(connection: Connection, subjects: Sequence[str]) -> set[str]:
    return {
        subject
        for portion in portions(subjects)
        for subject in connection.execute(_UNFINISHED, {"ids": portion}).scalars()
    }


def _column(connection: Connection, statement: Select[Any], asked: Mapping[str, object]) -> list[str]:
    return list(connection.execute(statement, asked).scalars())


_AFTER: BindParameter[str] = bindparam("after")
_ONE_OF: BindParameter[list[str]] = bindparam("ids", expanding=True)
_LETTERS = (
    select(mail_recipients.c.id, mail_recipients.c.state, mail_recipients.c.customer_ids)
    .where(mail_recipients.c.id > _AFTER)
    .order_by(mail_recipients.c.id)
    .limit(bindparam("limit"))
)
_COMMANDS = (
    select(track_commands.c.id, track_commands.c.state, track_commands.c.data)
    .where(track_commands.c.state == bindparam("state"), track_commands.c.id > _AFTER)
    .order_by(track_commands.c.id)
    .limit(bindparam("limit"))
)
_NOTIFICATIONS = select(notifications.c.id).where(notifications.c.customer_id == bindparam("customer"))
_DECIDED_ALONE = select(decisions.c.subject).where(
    decisions.c.customer_id == bindparam("customer"), decisions.c.chunk.is_(None)
)
_UNFINISHED = select(obligations.c.subject).where(obligations.c.subject.in_(_ONE_OF), UNFINISHED)
_OPEN_GROUPS = select(groups.c.id).where(groups.c.state == GroupState.OPEN.value)
_CHUNKS = (
    select(chunks.c.generation, chunks.c.number)
    .where(
        chunks.c.group_id == bindparam("group"), chunks.c.body.is_not(None) | chunks.c.answers.is_not(None)
    )
    .order_by(chunks.c.generation, chunks.c.number)
)
_CHUNK = select(chunks.c.body, chunks.c.answers).where(
    chunks.c.group_id == bindparam("group"),
    chunks.c.generation == bindparam("of"),
    chunks.c.number == bindparam("number"),
)
_ACTIONS = select(operator_actions.c.id).where(operator_actions.c.subject.in_(_ONE_OF))
_SUPPRESSIONS = select(suppressions.c.list_name).where(suppressions.c.customer_id == bindparam("customer"))
_ADDRESSES = select(addresses.c.address_key, addresses.c.customer_key).where(
    addresses.c.customer_key.in_(_ONE_OF)
)
