"""What operators did, and why."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from clearance.ledger.insert_new import insert_new
from clearance.ledger.mail_tables import operator_actions


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAction:
    """One action. `subject` is what it was done to, `count` to how many."""

    action_id: str
    at: datetime
    who: str
    action: str
    subject: str
    count: int = 1
    why: str | None = None


def record(connection: Connection, action: OperatorAction) -> None:
    """Keep it; recorded again, it is one."""
    connection.execute(
        _INSERT,
        {
            "id": action.action_id,
            "at": action.at,
            "who": action.who,
            "action": action.action,
            "subject": action.subject,
            "count": action.count,
            "why": action.why,
        },
    )


def record_portion(connection: Connection, action: OperatorAction) -> None:
    """Keep a part of what is done in several transactions: recorded again, its count is added."""
    row = {"the_id": action.action_id, "more": action.count}
    if connection.execute(_ADD, row).rowcount == 0:
        record(connection, action)


def get(connection: Connection, action_id: str) -> OperatorAction | None:
    """One of them; None for an unknown id."""
    row = connection.execute(_NEWEST.where(operator_actions.c.id == action_id)).first()
    return None if row is None else _action(row)


def listed(
    connection: Connection, *, subject: str | None = None, before_id: str | None = None, limit: int = 100
) -> list[OperatorAction]:
    """The newest first."""
    page = _NEWEST.limit(limit)
    if subject is not None:
        page = page.where(operator_actions.c.subject == subject)
    if before_id is not None:
        page = page.where(operator_actions.c.id < before_id)
    return [_action(row) for row in connection.execute(page)]


def _action(row: Row[Any]) -> OperatorAction:
    return OperatorAction(
        action_id=row.id,
        at=row.at,
        who=row.who,
        action=row.action,
        subject=row.subject,
        count=row.times,
        why=row.why,
    )


_INSERT = insert_new(operator_actions)
_ADD = (
    update(operator_actions)
    .where(operator_actions.c.id == bindparam("the_id"))
    .values({"count": operator_actions.c["count"] + bindparam("more")})
)
_NEWEST = select(
    *(column for column in operator_actions.c if column.name != "count"),
    operator_actions.c["count"].label("times"),  # a row has a method `count`
).order_by(operator_actions.c.id.desc())
