"""How is a customer forgotten? Who it was about goes, that there was something stays.

In: what `customer_traces.find` found. A notification, a letter and an operator's action stay without the id and without
content, and a letter without the digests of its address, which could be guessed; decisions, what they were made from,
and what Bloomreach did not take, go. Suppressions say whom not to write to: they stay unless they are to go.
Each portion is a transaction of its own, safe to repeat, with its rows in the order of their keys.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import BindParameter, Executable, bindparam, delete, update

from clearance.ledger import mail_keys, suppressions
from clearance.ledger.customer_traces import Traces
from clearance.ledger.decisions import DecisionKey
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_tables import (
    address_suppressions,
    mail_recipients,
    operator_actions,
    track_commands,
)
from clearance.ledger.portions import portions
from clearance.ledger.tables import decision_inputs, decisions, notifications

_PORTION = 500


def digest(customer: str) -> str:
    """What is kept in place of the id: it shows that this customer was forgotten, to whoever knows the id."""
    return f"customer sha256:{hashlib.sha256(customer.encode()).hexdigest()[:32]}"


def forget(ledger: Ledger, customer: str, traces: Traces, *, with_suppressions: bool) -> None:
    """Forget what was found."""
    _in_portions(ledger, traces.notifications, (_EMPTY_NOTIFICATIONS,))
    decided = sorted(traces.decisions)
    for first in range(0, len(decided), _PORTION):
        _forget_decisions(ledger, decided[first : first + _PORTION])
    for portion in portions(traces.letters, _PORTION):
        with ledger.write() as connection:
            mail_keys.free(connection, portion)
            connection.execute(_EMPTY_LETTERS, {"ids": portion})
    _in_portions(ledger, traces.commands, (_DELETE_COMMANDS,))
    _in_portions(ledger, traces.actions, (_RENAME_ACTIONS,), {"digest": digest(customer)})
    if not with_suppressions:
        return
    with ledger.write() as connection:
        for list_name in sorted(traces.suppressions):
            suppressions.remove_many(connection, list_name, [customer])
        for address_key, customer_key in sorted(traces.addresses):
            connection.execute(_DELETE_ADDRESS, {"address": address_key, "of": customer_key})


def _in_portions(
    ledger: Ledger,
    ids: Iterable[str],
    statements: Iterable[Executable],
    asked: Mapping[str, str] | None = None,
) -> None:
    for portion in portions(ids, _PORTION):
        with ledger.write() as connection:
            for statement in statements:
                connection.execute(statement, {"ids": portion, **(asked or {})})


def _forget_decisions(ledger: Ledger, keys: Sequence[DecisionKey]) -> None:
    with ledger.write() as connection:
        for subject, chunk, customer in keys:
            asked = {"about": subject, "customer": customer}
            connection.execute(_DELETE_INPUTS, asked)
            if chunk:
                connection.execute(_DELETE_IN_CHUNK, asked | {"in_chunk": chunk})
            else:
                connection.execute(_DELETE_ALONE, asked)


_ONE_OF: BindParameter[list[str]] = bindparam("ids", expanding=True)
_EMPTY_NOTIFICATIONS = (
    update(notifications).where(notifications.c.id.in_(_ONE_OF)).values(customer_id=None, body=None)
)
_DELETE_INPUTS = delete(decision_inputs).where(
    decision_inputs.c.subject == bindparam("about"), decision_inputs.c.customer_id == bindparam("customer")
)
_OF_CUSTOMER = delete(decisions).where(
    decisions.c.subject == bindparam("about"), decisions.c.customer_id == bindparam("customer")
)
_DELETE_ALONE = _OF_CUSTOMER.where(decisions.c.chunk.is_(None))
_DELETE_IN_CHUNK = _OF_CUSTOMER.where(decisions.c.chunk == bindparam("in_chunk"))
_EMPTY_LETTERS = (
    update(mail_recipients)
    .where(mail_recipients.c.id.in_(_ONE_OF))
    .values(payload=None, error=None, customer_ids="{}", vendor_id=None, dedupe_key=None, address_key=None)
)
_DELETE_COMMANDS = delete(track_commands).where(track_commands.c.id.in_(_ONE_OF))
_RENAME_ACTIONS = (
    update(operator_actions).where(operator_actions.c.id.in_(_ONE_OF)).values(subject=bindparam("digest"))
)
_DELETE_ADDRESS = delete(address_suppressions).where(
    address_suppressions.c.address_key == bindparam("address"),
    address_suppressions.c.customer_key == bindparam("of"),
)
