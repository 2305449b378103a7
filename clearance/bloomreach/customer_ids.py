"""Which of a customer's ids may be sent to Bloomreach? An unknown one silently creates a customer, so only real ones.

Source: facts sheet, "Bloomreach Tracking API v2": an id holds at least one alphanumeric character and is not `null` or
`undefined`. Bloomreach would take what else templates make of a value that is missing, Jinja's `None` above all; then
all who have no id would be one customer. So each of them is none, in any case.
"""

from collections.abc import Mapping

_NO_IDS = frozenset({"null", "undefined", "none", "nan", "n/a"})


def usable_ids(id_by_kind: Mapping[str, str]) -> dict[str, str]:
    """Those that name a customer, without white space around them; nothing may be sent where there is none."""
    stripped = {kind: value.strip() for kind, value in id_by_kind.items()}
    return {kind: value for kind, value in stripped.items() if is_usable(value)}


def is_usable(value: object) -> bool:
    """Whether this is an id, as it stands."""
    if not isinstance(value, str) or value != value.strip():
        return False
    return any(map(str.isalnum, value)) and value.casefold() not in _NO_IDS
