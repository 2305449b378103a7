"""What was acknowledged: notifications, each with the obligation that it creates, in one transaction.

A notification is unique by kind and the vendor's id. Of the same one sent n times, even at once, the first is kept and
the others are told its id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, exists, select, update

from clearance.ledger.insert_new import insert_new
from clearance.ledger.obligations import adding, row_of
from clearance.ledger.statement import Statement, run_together
from clearance.ledger.tables import notifications
from clearance.obligations import Obligation

TRIGGERED = "triggered"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """A notification that was verified and validated.

    Attributes:
        body: What the vendor sent, byte for byte.
        series_id, occurrence_id: Which campaign it is about, for whoever asks later; None where the vendor is silent.
    """

    notification_id: str
    kind: str
    vendor_id: str
    customer_id: str | None
    received_at: datetime
    signed_at: datetime | None
    deadline_at: datetime
    body: bytes
    obligation: Obligation
    series_id: str | None = None
    occurrence_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What the sender is told. `notification_id` is the first one's when it is a duplicate."""

    notification_id: str
    is_duplicate: bool


def accept_many(connection: Connection, items: Sequence[NewNotification]) -> list[Accepted]:
    """Keep what is new, with its obligation; recognise what is not."""
    # In one order everywhere: two transactions with the same notifications wait in turn, not in a ring.
    in_order = sorted(items, key=lambda item: (item.vendor_id, item.kind))
    inserted, _ = run_together(
        connection,
        (_INSERT, [_row(item) for item in in_order]),
        (_OWE, [row_of(item.obligation) for item in items]),
    )
    if inserted.written == len(items):
        return [Accepted(notification_id=item.notification_id, is_duplicate=False) for item in items]
    vendor_ids = [item.vendor_id for item in items]
    kept = connection.execute(_SELECT_KEPT, {"vendor_ids": vendor_ids}).all()
    id_by_key = {(kind, vendor_id): notification_id for notification_id, kind, vendor_id in kept}
    answers = []
    for item in items:
        kept_id = id_by_key[(item.kind, item.vendor_id)]
        answers.append(Accepted(notification_id=kept_id, is_duplicate=kept_id != item.notification_id))
    return answers


def forget_bodies(connection: Connection, notification_ids: Sequence[str]) -> None:
    """Drop what is no longer needed, and with it the personal data that it held."""
    _FORGET_BODIES.write(connection, [{"the_id": each} for each in sorted(notification_ids)])


def _row(item: NewNotification) -> dict[str, object]:
    return {
        "id": item.notification_id,
        "kind": item.kind,
        "vendor_id": item.vendor_id,
        "customer_id": item.customer_id,
        "received_at": item.received_at,
        "signed_at": item.signed_at,
        "deadline_at": item.deadline_at,
        "body": item.body,
        "series_id": item.series_id,
        "occurrence_id": item.occurrence_id,
    }


_INSERT = Statement(insert_new(notifications))
# Of a duplicate nothing is owed: it was not inserted.
_OWE = adding(exists().where(notifications.c.id == bindparam("subject")))
_SELECT_KEPT = select(notifications.c.id, notifications.c.kind, notifications.c.vendor_id).where(
    notifications.c.vendor_id.in_(bindparam("vendor_ids", expanding=True))
)
_FORGET_BODIES = Statement(
    update(notifications).where(notifications.c.id == bindparam("the_id")).values(body=None)
)
