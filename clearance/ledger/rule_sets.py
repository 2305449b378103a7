"""Which rules decided, which are in force where, and who asked for them to be read again.

Every version that ever decided is kept with its text: a decision names its version, and the text explains it. Each
process reports what it has in force, again and again; one that is silent for a day is forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

from clearance.ledger.insert_new import insert_new
from clearance.ledger.tables import rule_sets, rules_in_force, rules_reloads

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """A set of rules that was found right. `version` is the hash of its content, `text` the file as it was read."""

    version: str
    text: str
    first_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What one process decides by.

    Attributes:
        process: Its name in the fleet, host and number included: `triggered-1@host:4711`.
        problem: Why the newest file is not in force; None when it is.
    """

    process: str
    lane: str
    version: str
    loaded_at: datetime
    seen_at: datetime
    problem: str | None = None


def remember_many(connection: Connection, items: Sequence[RuleSet]) -> list[None]:
    """Keep the text of each version. The first one stands: a repeat changes nothing."""
    rows = [
        {"version": item.version, "text": item.text, "first_seen_at": item.first_seen_at}
        for item in sorted(items, key=lambda item: item.version)
    ]
    connection.execute(_INSERT_RULE_SET, rows)
    return [None] * len(items)


def text_of(connection: Connection, version: str) -> str | None:
    """The file of this version as it was first read; None for a version that nobody remembered."""
    found: str | None = connection.execute(_SELECT_TEXT, {"version": version}).scalar()
    return found


def report_many(connection: Connection, items: Sequence[InForce]) -> list[None]:
    """Say what these processes have in force; the last word of each counts. Forgets those silent for a day."""
    rows = [
        {
            "process": item.process,
            "lane": item.lane,
            "version": item.version,
            "loaded_at": item.loaded_at,
            "seen_at": item.seen_at,
            "problem": item.problem,
        }
        for item in sorted(items, key=lambda item: item.process)
    ]
    connection.execute(_REPORT, rows)
    silent_since = min(item.seen_at for item in items) - FORGOTTEN_AFTER
    connection.execute(_FORGET, {"silent_since": silent_since})
    return [None] * len(items)


def forget(connection: Connection, process: str) -> None:
    """A process stops: it has nothing in force any more."""
    connection.execute(_FORGET_ONE, {"process": process})


def in_force(connection: Connection) -> list[InForce]:
    """What each process last said, by lane and process."""
    rows = connection.execute(_SELECT_IN_FORCE)
    return [
        InForce(
            process=row.process,
            lane=row.lane,
            version=row.version,
            loaded_at=row.loaded_at,
            seen_at=row.seen_at,
            problem=row.problem,
        )
        for row in rows
    ]


def ask_reload(connection: Connection, *, asked_by: str, asked_at: datetime) -> int:
    """Ask every process to read its rules file again; the number of the request."""
    asked = connection.execute(_ASK, {"asked_at": asked_at, "asked_by": asked_by})
    number: int = asked.scalar_one()
    return number


def newest_reload(connection: Connection) -> int:
    """The number of the newest request; 0 when there was none. A process reloads when it has not seen that number."""
    number: int | None = connection.execute(_NEWEST_RELOAD).scalar()
    return number or 0


_INSERT_RULE_SET = insert_new(rule_sets)
_SELECT_TEXT = select(rule_sets.c.text).where(rule_sets.c.version == bindparam("version"))
_REPORT = text(
    "INSERT INTO rules_in_force (process, lane, version, loaded_at, seen_at, problem)"
    " VALUES (:process, :lane, :version, :loaded_at, :seen_at, :problem)"
    " ON CONFLICT (process) DO UPDATE SET lane = excluded.lane, version = excluded.version,"
    " loaded_at = excluded.loaded_at, seen_at = excluded.seen_at, problem = excluded.problem"
).bindparams(*(bindparam(column.name, type_=column.type) for column in rules_in_force.columns))
_FORGET = delete(rules_in_force).where(rules_in_force.c.seen_at < bindparam("silent_since"))
_FORGET_ONE = delete(rules_in_force).where(rules_in_force.c.process == bindparam("process"))
_SELECT_IN_FORCE = select(rules_in_force).order_by(rules_in_force.c.lane, rules_in_force.c.process)
_ASK = insert(rules_reloads).returning(rules_reloads.c.id)
_NEWEST_RELOAD = select(func.max(rules_reloads.c.id))
