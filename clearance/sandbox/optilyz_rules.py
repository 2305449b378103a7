"""Which recipients does Optilyz refuse, and with what words? It follows from the recipient alone.

Postcodes that do not exist decide what no rule of the vendor says: one that begins with 00 belongs to an address that
cannot be delivered, and `00400` makes the whole request fail, whoever else is in it.
Source of the field rules: vendor page, "Customize Customer Properties"; of the spelling `individualisation`: facts
sheet, "Address fields".
"""

from collections.abc import Collection, Mapping

UNDELIVERABLE_PREFIX = "00"
REFUSES_ALL = "00400"
UNDELIVERABLE = "address: cannot be delivered"

# (field, what must not stand beside it)
_NOT_TOGETHER = (
    ("lastName", ("fullName",)),
    ("fullName", ("lastName", "firstName")),
    ("street", ("address1",)),
    ("address1", ("street", "houseNumber")),
)
# Of each group at least one.
_NEEDED = (("companyName1", "lastName", "fullName"), ("street", "address1"), ("zipCode",), ("city",))


def refuses_all(address: object) -> bool:
    """Whether a request with this recipient fails as a whole."""
    return isinstance(address, Mapping) and address.get("zipCode") == REFUSES_ALL


def refusal_of(address: object, variation: object, variations: Collection[object]) -> str | None:
    """Why this recipient is refused; None: it gets its letter."""
    if not isinstance(address, Mapping):
        return "address: must be an object"
    present = {name for name, value in address.items() if isinstance(value, str) and value.strip()}
    for group in _NEEDED:
        if not present.intersection(group):
            return f"{group[0]}: mandatory" + (f" without {' or '.join(group[1:])}" if group[1:] else "")
    for name, others in _NOT_TOGETHER:
        for other in others:
            if {name, other} <= present:
                return f"{name}: not allowed in combination with {other}"
    for name in address:
        if name.startswith("individualization"):
            return f"{name}: unknown, it is spelled individualisation"
    if variation is not None and variation not in variations:
        return "variation: unknown"
    return UNDELIVERABLE if str(address["zipCode"]).startswith(UNDELIVERABLE_PREFIX) else None
