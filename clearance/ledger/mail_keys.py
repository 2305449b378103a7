"""Which letters were accepted inside the window: of the same one, the first has the key until the window is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, text

from clearance.ledger.mail_tables import mail_keys, mail_recipients
from clearance.ledger.portions import portions
from clearance.ledger.tables import UtcDateTime


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedKey:
    """A letter that wants its key. `now`: when it came; `until`: how long the same letter is recognised."""

    recipient_id: str
    now: datetime
    until: datetime


def claim(connection: Connection, wanted: Mapping[str, WantedKey]) -> dict[str, str]:
    """Take the keys that are free, or whose window is over; who has the others.

    Of two transactions that want the same key, the second waits for the first to end.
    """
    if not wanted:
        return {}
    # In one order everywhere: two transactions with the same letters wait in turn, not in a ring.
    rows = [
        {"key": key, "recipient_id": each.recipient_id, "now": each.now, "until": each.until}
        for key, each in sorted(wanted.items())
    ]
    if connection.execute(_CLAIM, rows).rowcount == len(rows):
        return {}
    found = _holders(connection, list(wanted))
    mine = [each.recipient_id for key, each in wanted.items() if found[key] == each.recipient_id]
    # A request that is written again has its keys already, and its letters.
    known = _known(connection, mine)
    return {
        key: found[key]
        for key, each in wanted.items()
        if found[key] != each.recipient_id or each.recipient_id in known
    }


def standing(connection: Connection, keys: Sequence[str], now: datetime) -> dict[str, str]:
    """Who has which of these keys now."""
    found: dict[str, str] = {}
    for portion in portions(keys):
        rows = connection.execute(_SELECT_STANDING, {"keys": portion, "now": now})
        found.update((row.dedupe_key, row.recipient_id) for row in rows)
    return found


def free(connection: Connection, recipient_ids: Sequence[str]) -> None:
    """The same letters are new ones from now on: these were not posted."""
    for portion in portions(recipient_ids):
        held = sorted(connection.execute(_SELECT_HELD, {"ids": portion}).scalars())
        if held:
            connection.execute(_FREE, [{"key": key} for key in held])


def _holders(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for portion in portions(keys):
        found.update(
            (row.dedupe_key, row.recipient_id) for row in connection.execute(_SELECT, {"keys": portion})
        )
    return found


def _known(connection: Connection, recipient_ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for portion in portions(recipient_ids):
        known.update(connection.execute(_SELECT_KNOWN, {"ids": portion}).scalars())
    return known


# Text, as in `insert_new`: SQLAlchemy would compile `on_conflict_do_update` anew at every use.
_CLAIM = text(
    "INSERT INTO mail_keys (dedupe_key, recipient_id, until) VALUES (:key, :recipient_id, :until)"
    " ON CONFLICT (dedupe_key) DO UPDATE SET recipient_id = excluded.recipient_id, until = excluded.until"
    " WHERE mail_keys.until <= :now"
).bindparams(bindparam("until", type_=UtcDateTime()), bindparam("now", type_=UtcDateTime()))
_SELECT = select(mail_keys.c.dedupe_key, mail_keys.c.recipient_id).where(
    mail_keys.c.dedupe_key.in_(bindparam("keys", expanding=True))
)
_SELECT_STANDING = _SELECT.where(mail_keys.c.until > bindparam("now"))
_SELECT_KNOWN = select(mail_recipients.c.id).where(mail_recipients.c.id.in_(bindparam("ids", expanding=True)))
_SELECT_HELD = (
    select(mail_keys.c.dedupe_key)
    .join(
        mail_recipients,
        (mail_recipients.c.dedupe_key == mail_keys.c.dedupe_key)
        & (mail_recipients.c.id == mail_keys.c.recipient_id),
    )
    .where(mail_recipients.c.id.in_(bindparam("ids", expanding=True)))
)
_FREE = delete(mail_keys).where(mail_keys.c.dedupe_key == bindparam("key"))
