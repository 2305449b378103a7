"""Who gets a letter: a recipient that was validated, and the digests by which the same one is recognised.

The address has Optilyz' own field names, `individualisationN` among them (British spelling). Two digests: of the
address, by which a refused one is not tried again until it changes; and of all that makes it the same letter, by which
it is not posted twice. Both are of normalised text: Unicode NFKC, case folded, white space collapsed.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

_INDIVIDUALISATION = "individualisation"
# Neither makes another address: a salutation, an academic title.
_NO_PART_OF_THE_ADDRESS = frozenset({"title", "jobTitle", "otherTitles", "gender"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A recipient that may be posted to.

    Attributes:
        address: By Optilyz' field names; only fields that hold something.
        variation: As the caller gave it; None to let Optilyz choose.
        vouchers: As the caller gave them.
    """

    address: Mapping[str, str]
    variation: Any = None
    vouchers: Sequence[Any] = ()

    def payload(self) -> bytes:
        """What Optilyz gets: the wrapper, as JSON."""
        wrapper: dict[str, Any] = {"address": dict(self.address)}
        if self.variation is not None:
            wrapper["variation"] = self.variation
        if self.vouchers:
            wrapper["vouchers"] = list(self.vouchers)
        return orjson.dumps(wrapper)

    def address_key(self) -> str:
        """The digest of the address: 64 hexadecimal digits."""
        parts = {
            name: value
            for name, value in self.address.items()
            if not name.startswith(_INDIVIDUALISATION) and name not in _NO_PART_OF_THE_ADDRESS
        }
        return _digest(parts)

    def dedupe_key(self, automation_id: str, *, is_dry_run: bool) -> str:
        """The digest of what makes it the same letter: 64 hexadecimal digits. A rehearsal is none."""
        own = {name: value for name, value in self.address.items() if name.startswith(_INDIVIDUALISATION)}
        return _digest(
            {
                "automation": automation_id,
                "address": self.address_key(),
                "individualisations": own,
                "variation": self.variation,
                "dry_run": is_dry_run,
            }
        )

    def customer_ids(self, kind_by_field: Mapping[str, str]) -> dict[str, str]:
        """Bloomreach's ids of the customer, by kind, from the individualisation fields that carry them."""
        return {kind: self.address[name] for name, kind in kind_by_field.items() if name in self.address}


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(_normalised(value), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _normalised(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    if isinstance(value, Mapping):
        return {name: _normalised(each) for name, each in value.items()}
    return value
