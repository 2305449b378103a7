"""Who is in a send group or a campaign? Customers made from numbers, rendered by the block, none of them kept.

A customer's number and the seed decide its attributes: whoever knows both can tell what was served, the same customer
has the same attributes in every group of a seed, and a page of any size begins anywhere. Traits repeat every `BLOCK`
customers, so a block of rows is one template, and rendering it is one `%`: a million customers cost no memory. Their
deposits do not repeat with them: no two of a million are alike, as in life, where nothing can be decided once for many.
Source: vendor page, "Retrieve Customers in the Send Group"; facts sheet, "GetProcessedCampaignCustomers".
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import orjson

BLOCK = 2_000
_ID_LENGTH = 16
# Tables are under a megabyte and made in some milliseconds; a few are enough for the groups that are open at a time.
_TABLES_KEPT = 16
# In a trait, the whole part of the deposits: the customer's number decides it. The modulus is prime, so that together
# with `BLOCK` it repeats only after 1,006,000 customers; a tenth has deposited less than 50.
_EUROS = "@"
_EUROS_MODULUS, _EUROS_FACTOR = 503, 211
_TIERS = ("bronze", "silver", "gold", "platinum")
_NAMES = ("Anna", "Ben", "Chiara", "Dirk", "Emma", "Finn", "Greta", "Hugo", "Ines", "Jonas", "Zoë", "Łukasz")
# What a value looks like when it does not convert to what it should be. Where any text would do, it is no text.
_MALFORMED: Mapping[str, object] = {
    "country": ["DE"],
    "age": "thirty",
    "total_deposits": "12,50",
    "self_excluded": "maybe",
    "loyalty_tier": {"tier": "gold"},
    "first_name": 7,
}

Traits = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Customers:
    """Customers `C<first>` to `C<first + count - 1>`.

    Attributes:
        missing: The share of the values that a customer does not have; half of them are left out, half are null.
        malformed: The share of the values that do not convert.
    """

    count: int
    first: int
    seed: int
    missing: float
    malformed: float
    promo_codes: tuple[str, ...]

    def customer_id(self, index: int) -> str:
        """The id of a customer by its place in the group."""
        return f"C{self.first + index}"

    def find(self, given: Iterable[tuple[str, bool]]) -> list[tuple[int, bool]]:
        """The places of the customers that are these, each with what was given for it; others are left out."""
        first, count, found = self.first, self.count, []
        for customer_id, is_approved in given:
            try:
                # No more digits than any of our numbers has: converting thousands would take long.
                index = int(customer_id[1:_ID_LENGTH]) - first
            except ValueError:
                continue
            # The comparison refuses what `int` reads as well: signs, spaces, underscores, other scripts.
            if 0 <= index < count and customer_id == f"C{first + index}":
                found.append((index, is_approved))
        return found

    def attributes(self, index: int) -> Traits:
        """All attributes of a customer, as they are served."""
        number = self.first + index
        traits = _make_traits(self.seed, self.missing, self.malformed)[number % BLOCK]
        deposits = traits.get("total_deposits")
        if not isinstance(deposits, str):
            return traits
        return traits | {"total_deposits": deposits.replace(_EUROS, str(_euros(number, self.seed)))}

    def send_group_rows(self, names: Sequence[str], *, skip: int = 0, top: int | None = None) -> "Rows":
        """Rows of the send group's array with the attributes `names`."""
        return self._rows(_render_send_group(self, tuple(names)), skip, top)

    def campaign_rows(
        self, names: Sequence[str], *, skip: int, top: int, action_id: str, attributes_field: str
    ) -> "Rows":
        """Rows of the campaign's array: attributes as an array in the order asked, null for a missing one."""
        rows = _render_campaign(self, tuple(names), action_id, attributes_field)
        return self._rows(rows, skip, top)

    def _rows(self, row_by_trait: "list[Template]", skip: int, top: int | None) -> "Rows":
        left = max(self.count - skip, 0)
        return Rows(
            row_by_trait=row_by_trait,
            seed=self.seed,
            start=self.first + skip,
            count=left if top is None else min(top, left),
        )


class Template(NamedTuple):
    """A row whose places are yet to be filled in."""

    text: bytes
    has_euros: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows to serve: a JSON array in blocks of bytes. A row takes the number, and the euros where it tells them."""

    row_by_trait: list[Template]
    seed: int
    start: int
    count: int

    @property
    def block_count(self) -> int:
        """How many blocks there are; an empty array is one."""
        return max(-(-self.count // BLOCK), 1)

    def blocks(self) -> Iterator[bytes]:
        """The array, piece by piece."""
        at = self.start % BLOCK
        row_by_place = self.row_by_trait[at:] + self.row_by_trait[:at]
        has_euros = [row.has_euros for row in row_by_place]
        template, end = b",".join(row.text for row in row_by_place), self.start + self.count
        opening = b"["
        for start in range(self.start, end, BLOCK):
            stop = min(start + BLOCK, end)
            if stop - start < BLOCK:
                template = b",".join(row.text for row in row_by_place[: stop - start])
            block = template % tuple(_arguments(range(start, stop), has_euros, self.seed))
            yield b"%b%b%b" % (opening, block, b"]" if stop == end else b"")
            opening = b","
        if not self.count:
            yield b"[]"


def _arguments(numbers: Iterable[int], has_euros: Iterable[bool], seed: int) -> Iterator[int]:
    for number, has in zip(numbers, has_euros, strict=False):  # the last block is shorter than the flags
        yield number
        if has:
            yield _euros(number, seed)


def _euros(number: int, seed: int) -> int:
    return (number * _EUROS_FACTOR + seed) % _EUROS_MODULUS


@lru_cache(maxsize=_TABLES_KEPT)
def _render_send_group(customers: Customers, names: tuple[str, ...]) -> "list[Template]":
    promo_codes = orjson.dumps(customers.promo_codes)

    def render(traits: Traits) -> bytes:
        asked = orjson.dumps({name: traits[name] for name in names if name in traits})
        return b'","promo_codes":%b,"attributes":%b}' % (promo_codes, asked)

    return _templates(b'{"customer_id":"C%d', names, customers, render)


@lru_cache(maxsize=_TABLES_KEPT)
def _render_campaign(
    customers: Customers, names: tuple[str, ...], action_id: str, attributes_field: str
) -> "list[Template]":
    promo_code, field = orjson.dumps(",".join(customers.promo_codes)), orjson.dumps(attributes_field)
    start = b'","ActionID":%b,"PromoCode":%b' % (orjson.dumps(action_id), promo_code)

    def render(traits: Traits) -> bytes:
        if not names:
            return start + b"}"
        return start + b",%b:%b}" % (field, orjson.dumps([traits.get(name) for name in names]))

    return _templates(b'{"CustomerID":"C%d', names, customers, render)


def _templates(
    start: bytes, names: tuple[str, ...], customers: Customers, render: Callable[[Traits], bytes]
) -> "list[Template]":
    templates = []
    for traits in _make_traits(customers.seed, customers.missing, customers.malformed):
        row, deposits = render(traits).replace(b"%", b"%%"), traits.get("total_deposits")
        has_euros = "total_deposits" in names and isinstance(deposits, str) and deposits.startswith(_EUROS)
        if has_euros:
            # The last of its kind: what somebody named stands before the traits.
            before, _, after = row.rpartition(_EUROS.encode())
            row = before + b"%d" + after
        templates.append(Template(start + row, has_euros))
    return templates


@lru_cache(maxsize=_TABLES_KEPT)
def _make_traits(seed: int, missing: float, malformed: float) -> list[dict[str, object]]:
    rng = random.Random(seed)
    return [_spoil(_make_whole(rng), rng, missing, malformed) for _ in range(BLOCK)]


def _make_whole(rng: random.Random) -> dict[str, object]:
    """Everything is text, as in the vendor's sample."""
    return {
        "first_name": rng.choice(_NAMES),
        "country": rng.choices(("DE", "AT", "NL", "FR"), (55, 20, 15, 10))[0],
        "age": str(rng.randint(16, 85)),
        "total_deposits": f"{_EUROS}.{rng.randrange(100):02d}",
        "self_excluded": "true" if rng.random() < 0.1 else "false",
        "loyalty_tier": rng.choices(_TIERS, (50, 30, 15, 5))[0],
    }


def _spoil(
    traits: dict[str, object], rng: random.Random, missing: float, malformed: float
) -> dict[str, object]:
    spoiled: dict[str, object] = {}
    for name, value in traits.items():
        # Always one draw, so that what is spoiled does not change what the others are.
        point = rng.random()
        if point < missing / 2:
            continue
        if point < missing:
            spoiled[name] = None
        elif point < missing + malformed:
            spoiled[name] = _MALFORMED[name]
        else:
            spoiled[name] = value
    return spoiled
