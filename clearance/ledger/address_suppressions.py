"""Which addresses are not posted to for a customer: refused by Optilyz, or by a person, until the address changes.

A customer is known by `kind:id`, for each usable id; addresses that came without any are suppressed under an empty key.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
from sqlalchemy import Connection, Row, and_, bindparam, delete, or_, select

from clearance.bloomreach.customer_ids import usable_ids
from clearance.ledger.insert_new import insert_new
from clearance.ledger.mail_tables import address_suppressions as table
from clearance.ledger.mail_tables import mail_recipients
from clearance.ledger.portions import portions

_LONGEST_KEY_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSuppression:
    """One address of one customer.

    Attributes:
        recipient_id: The letter for which it was suppressed.
        error: What Optilyz said of that letter; only in what is read, and until the letter's address is purged.
    """

    customer_key: str
    address_key: str
    reason: str
    added_at: datetime
    added_by: str
    recipient_id: str | None
    error: str | None = None


class Addressed(Protocol):
    """A letter, as far as it matters here."""

    @property
    def recipient_id(self) -> str:
        """Names it."""

    @property
    def address_key(self) -> str:
        """The digest of its address."""

    @property
    def customer_ids(self) -> Mapping[str, str]:
        """Of its customer, by kind: usable or not."""


def customer_keys(customer_ids: Mapping[str, str]) -> list[str]:
    """The keys of a customer: one for each usable id, or one empty key."""
    return sorted(_key(kind, value) for kind, value in usable_ids(customer_ids).items()) or [""]


def add_many(connection: Connection, items: Sequence[AddressSuppression]) -> int:
    """Suppress these from now on; one that is suppressed already stays as it is. How many are new."""
    if not items:
        return 0
    in_order = sorted(items, key=lambda item: (item.address_key, item.customer_key))
    return connection.execute(_INSERT, [_row(item) for item in in_order]).rowcount


def suppress_recipient(
    connection: Connection, recipient_id: str, *, reason: str, who: str, now: datetime
) -> int | None:
    """A person suppresses the address of a recipient; how many are new, None if there is no such address."""
    pairs = _pairs_of(connection, recipient_id)
    if not pairs:
        return None
    items = [
        AddressSuppression(
            customer_key=customer_key,
            address_key=address_key,
            reason=reason,
            added_at=now,
            added_by=who,
            recipient_id=recipient_id,
        )
        for customer_key, address_key in pairs
    ]
    return add_many(connection, items)


def remove(
    connection: Connection, *, customer_key: str | None = None, recipient_id: str | None = None
) -> int:
    """Clear all of a customer, or the address of a recipient for its customer; how many were cleared."""
    removed = 0
    if customer_key is not None:
        removed += connection.execute(_REMOVE_CUSTOMER, {"customer": customer_key}).rowcount
    if recipient_id is not None:
        for of_customer, address_key in _pairs_of(connection, recipient_id):
            asked = {"customer": of_customer, "address": address_key}
            removed += connection.execute(_REMOVE_ONE, asked).rowcount
    return removed


def listed(
    connection: Connection, *, customer_key: str | None = None, after: tuple[str, str] = ("", ""), limit: int
) -> list[AddressSuppression]:
    """In order of customer and address; `after` is the last (customer_key, address_key) of the page before."""
    asked = {"after_customer": after[0], "after_address": after[1], "limit": limit}
    if customer_key is None:
        return [_suppression(row) for row in connection.execute(_PAGE, asked)]
    rows = connection.execute(_PAGE_OF_CUSTOMER, asked | {"customer": customer_key})
    return [_suppression(row) for row in rows]


def suppressed(connection: Connection, letters: Iterable[Addressed]) -> set[str]:
    """Whose address is suppressed for its customer: the ids of these letters."""
    pairs_by_id = {
        each.recipient_id: {(key, each.address_key) for key in customer_keys(each.customer_ids)}
        for each in letters
    }
    stand: set[tuple[str, str]] = set()
    # By the address alone, which has few customers: SQLite finds no index for a list of pairs.
    for portion in portions(address_key for pairs in pairs_by_id.values() for _, address_key in pairs):
        rows = connection.execute(_SELECT_STANDING, {"addresses": portion})
        stand.update((row.customer_key, row.address_key) for row in rows)
    return {recipient_id for recipient_id, pairs in pairs_by_id.items() if not stand.isdisjoint(pairs)}


def _key(kind: str, value: str) -> str:
    key = f"{kind}:{value}"
    if len(key) <= _LONGEST_KEY_CHARS:
        return key
    return f"{kind}:{hashlib.sha256(value.encode()).hexdigest()}"


def _pairs_of(connection: Connection, recipient_id: str) -> list[tuple[str, str]]:
    row = connection.execute(_SELECT_RECIPIENT, {"id": recipient_id}).first()
    if row is None or row.address_key is None:
        return []
    return [(key, row.address_key) for key in customer_keys(orjson.loads(row.customer_ids))]


def _row(item: AddressSuppression) -> dict[str, object]:
    return {
        "address_key": item.address_key,
        "customer_key": item.customer_key,
        "reason": item.reason,
        "added_at": item.added_at,
        "added_by": item.added_by,
        "recipient_id": item.recipient_id,
    }


def _suppression(row: Row[Any]) -> AddressSuppression:
    return AddressSuppression(
        customer_key=row.customer_key,
        address_key=row.address_key,
        reason=row.reason,
        added_at=row.added_at,
        added_by=row.added_by,
        recipient_id=row.recipient_id,
        error=row.error,
    )


_INSERT = insert_new(table)
_SELECT_RECIPIENT = select(mail_recipients.c.address_key, mail_recipients.c.customer_ids).where(
    mail_recipients.c.id == bindparam("id")
)
_REMOVE_CUSTOMER = delete(table).where(table.c.customer_key == bindparam("customer"))
_REMOVE_ONE = _REMOVE_CUSTOMER.where(table.c.address_key == bindparam("address"))
_PAGE = (
    select(table, mail_recipients.c.error)
    .join(mail_recipients, mail_recipients.c.id == table.c.recipient_id, isouter=True)
    .where(
        # Said twice: SQLite finds no index for the second part alone.
        table.c.customer_key >= bindparam("after_customer"),
        or_(
            table.c.customer_key > bindparam("after_customer"),
            and_(
                table.c.customer_key == bindparam("after_customer"),
                table.c.address_key > bindparam("after_address"),
            ),
        ),
    )
    .order_by(table.c.customer_key, table.c.address_key)
    .limit(bindparam("limit"))
)
_PAGE_OF_CUSTOMER = _PAGE.where(table.c.customer_key == bindparam("customer"))
_SELECT_STANDING = select(table.c.customer_key, table.c.address_key).where(
    table.c.address_key.in_(bindparam("addresses", expanding=True))
)
