"""What decisions were made from, as far as it was kept: to decide them again by other rules, and to forget it in time.

In: what `decisions.stand_many` was given to keep. It is personal data: it stays no longer than retention says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select, tuple_

from clearance.decisions.decision import Decision
from clearance.ledger.decisions import DecisionKey, decision_of, standing
from clearance.ledger.engine import Ledger
from clearance.ledger.tables import decision_inputs

_PORTION = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptInputs:
    """A decision that stands, and what it was made from (`clearance.decisions.inputs`)."""

    subject: str
    customer_id: str
    inputs: bytes
    recorded_at: datetime
    decision: Decision


def kept(
    ledger: Ledger, since: datetime, until: datetime, *, portion: int = _PORTION
) -> Iterator[KeptInputs]:
    """What was kept from `since` on and before `until`, oldest first.

    Read in portions, each a transaction of its own: however much there is, it neither fills the memory nor keeps the
    database from tidying up.
    """
    after = (since, "", "")
    while True:
        with ledger.read() as connection:
            asked = {"at": after[0], "subject": after[1], "customer_id": after[2], "until": until}
            rows = connection.execute(_SELECT, asked | {"portion": portion}).all()
            stands = standing(connection, map(_key, rows))
        for row in rows:
            if (decided := stands.get(_key(row))) is not None:
                yield KeptInputs(
                    subject=row.subject,
                    customer_id=row.customer_id,
                    inputs=row.inputs,
                    recorded_at=row.recorded_at,
                    decision=decision_of(decided),
                )
        if len(rows) < portion:
            return
        after = (rows[-1].recorded_at, rows[-1].subject, rows[-1].customer_id)


def count_older(connection: Connection, before: datetime) -> int:
    """How many were recorded before that moment."""
    found: int = connection.execute(_COUNT_OLDER, {"before": before}).scalar_one()
    return found


def purge(connection: Connection, before: datetime, *, portion: int = _PORTION) -> int:
    """Forget what was recorded before that moment, the oldest first, at most `portion` of it.

    Returns:
        How many: repeat, each time in a transaction of its own, until it is 0.
    """
    return connection.execute(_PURGE, {"before": before, "portion": portion}).rowcount


def _key(row: Row[Any]) -> DecisionKey:
    return row.subject, row.chunk or 0, row.customer_id


_KEY = (decision_inputs.c.subject, decision_inputs.c.customer_id)
_IS_OLDER = decision_inputs.c.recorded_at < bindparam("before")
_SELECT = (
    select(decision_inputs)
    .where(
        tuple_(decision_inputs.c.recorded_at, *_KEY)
        # Typed: a list's values take no type from what they are compared with.
        > tuple_(
            bindparam("at", type_=decision_inputs.c.recorded_at.type),
            bindparam("subject"),
            bindparam("customer_id"),
        ),
        decision_inputs.c.recorded_at < bindparam("until"),
    )
    .order_by(decision_inputs.c.recorded_at, *_KEY)
    .limit(bindparam("portion"))
)
_COUNT_OLDER = select(func.count()).select_from(decision_inputs).where(_IS_OLDER)
_PURGE = delete(decision_inputs).where(
    tuple_(*_KEY).in_(
        select(*_KEY).where(_IS_OLDER).order_by(decision_inputs.c.recorded_at).limit(bindparam("portion"))
    )
)
