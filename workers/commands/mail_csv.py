"""What is in a row of the export of failed letters? Whose letter it was, the address as it was sent, and the reason.

In: letters as the ledger has them. Out: texts that no spreadsheet takes for a formula. Individualisations are left out:
vouchers are worth money.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from clearance.ledger.mail_reads import ShownRecipient
from clearance.optilyz.recipients_schema import FIELDS
from workers.commands.countdown import iso

# With these a spreadsheet begins a formula, whatever comes after; the wide forms are read as the narrow ones.
# Source: OWASP, "CSV Injection".
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Columns:
    """The columns of an export, for the kinds of customer ids that a deployment has."""

    def __init__(self, id_kinds: Iterable[str]) -> None:
        self._id_kinds = tuple(dict.fromkeys(id_kinds))

    @property
    def header(self) -> list[str]:
        """Their names."""
        own = ["recipient_id", "automation_id", "state", "received_at", "failed_at", "reason", "error"]
        ids = [f"customer_{kind}" for kind in self._id_kinds]
        return [*own, *ids, "customer_other", *FIELDS]

    def row(self, letter: ShownRecipient) -> list[str]:
        """A letter; what is not known, or not kept any more, is empty."""
        address = _address(letter.payload)
        # Kinds that the settings had when the letter came.
        other = [f"{kind}={each}" for kind, each in letter.customer_ids.items() if kind not in self._id_kinds]
        cells = [
            letter.recipient_id,
            letter.automation_id,
            letter.state.value,
            iso(letter.received_at),
            iso(letter.finished_at),
            letter.reason,
            letter.error,
            *(letter.customer_ids.get(kind) for kind in self._id_kinds),
            " ".join(other),
            *(address.get(name) for name in FIELDS),
        ]
        return [harmless(cell or "") for cell in cells]


def harmless(cell: str) -> str:
    """The text; behind an apostrophe if a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def _address(payload: bytes | None) -> dict[str, Any]:
    return dict(orjson.loads(payload)["address"]) if payload else {}
