"""Which fields of an address go together? The vendor's rules, each with a message of its own.

In: the names of the fields that hold something. Out: messages by field; none for an address that may be posted to.
Source: vendor page, section 5 "Customize Customer Properties".
"""

from collections import defaultdict
from collections.abc import Iterator, Set

_REQUIRED = ("zipCode", "city")
# Of each of these groups at least one.
_ONE_OF = (("companyName1", "lastName", "fullName"), ("street", "address1"))
# The first, not together with the second.
_APART = (
    ("fullName", "lastName"),
    ("fullName", "firstName"),
    ("address1", "street"),
    ("address1", "houseNumber"),
)
# What makes an address, in the groups of which something is required. Who it is for is no part of it.
_PARTS = (frozenset({"street", "address1"}), frozenset({"zipCode"}), frozenset({"city"}))


def broken(given: Set[str]) -> dict[str, list[str]]:
    """What is wrong with an address of these fields, by field."""
    messages_by_field: dict[str, list[str]] = defaultdict(list)
    for name, message in (*_lacking(given), *_conflicting(given)):
        messages_by_field[name].append(message)
    return dict(messages_by_field)


def lacks_parts(given: Set[str], sent: Set[str]) -> bool:
    """Whether all that is wrong is a part of the address that was sent empty.

    That is the customer's address. A part that was not sent at all, and fields that do not go together, are the
    template's mistakes: the same for every customer, of whom none should be told to have a wrong address for it.
    """
    wrong = broken(given).keys()
    lacking = [group for group in _PARTS if group & wrong]
    return (
        all(group & sent for group in lacking)
        and wrong <= frozenset().union(*_PARTS)
        and not any(_conflicting(given))
    )


def _lacking(given: Set[str]) -> Iterator[tuple[str, str]]:
    for group in _ONE_OF:
        if given.isdisjoint(group):
            for name in group:
                yield name, f"required without {' or '.join(other for other in group if other != name)}"
    for name in _REQUIRED:
        if name not in given:
            yield name, "required"


def _conflicting(given: Set[str]) -> Iterator[tuple[str, str]]:
    for name, other in _APART:
        if name in given and other in given:
            yield name, f"not allowed together with {other}"
