"""What was refused at the door: the last so many, without content, for `clearance rejected list`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select

from clearance.ledger.tables import rejections


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A refused request. `detail` names fields and what was expected, never values."""

    rejection_id: str
    at: datetime
    route: str
    status: int
    reason: str
    detail: str
    body_bytes: int


def record_many(connection: Connection, items: Sequence[tuple[Rejection, int]]) -> list[None]:
    """Keep each; of all, the newest so many (the number beside each) stay."""
    connection.execute(
        insert(rejections),
        [
            {
                "id": item.rejection_id,
                "at": item.at,
                "route": item.route,
                "status": item.status,
                "reason": item.reason,
                "detail": item.detail,
                "body_bytes": item.body_bytes,
            }
            for item, _ in items
        ],
    )
    oldest_kept = connection.execute(_NTH_NEWEST, {"offset": items[-1][1] - 1}).scalar()
    if oldest_kept is not None:
        connection.execute(_OLDER_THAN, {"oldest_kept": oldest_kept})
    return [None] * len(items)


def newest(connection: Connection, count: int) -> list[Rejection]:
    """The newest `count`, newest first."""
    rows = connection.execute(select(rejections).order_by(rejections.c.id.desc()).limit(count))
    return [
        Rejection(
            rejection_id=row.id,
            at=row.at,
            route=row.route,
            status=row.status,
            reason=row.reason,
            detail=row.detail,
            body_bytes=row.body_bytes,
        )
        for row in rows
    ]


# Ids are sorted by time (clearance/identifiers.py), so the newest have the largest.
_NTH_NEWEST = select(rejections.c.id).order_by(rejections.c.id.desc()).limit(1).offset(bindparam("offset"))
_OLDER_THAN = delete(rejections).where(rejections.c.id < bindparam("oldest_kept"))
