"""Who is in a send group or a campaign? Customers made from numbers, rendered by the block, none of them kept.

A customer's number and the seed decide its attributes: whoever knows both can tell what was served, the same customer
has the same attributes in every group of a seed, and a page of any size begins anywhere. Traits repeat every `BLOCK`
customers, so a block of rows is one template, and rendering it is one `%`: a million customers cost no memory.
Source: vendor page, "Retrieve Customers in the Send Group"; facts sheet, "GetProcessedCampaignCustomers".
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson

BLOCK = 2_000
_ID_LENGTH = 16
# Tables of traits are small and made in milliseconds; a few are enough for all groups that are open at a time.
_TABLES_KEPT = 16
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
        return self._traits()[(self.first + index) % BLOCK]

    def send_group_rows(self, names: Sequence[str], *, skip: int = 0, top: int | None = None) -> "Rows":
        """Rows of the send group's array with the attributes `names`."""
        promo_codes = orjson.dumps(self.promo_codes)

        def render(traits: Traits) -> bytes:
            asked = orjson.dumps({name: traits[name] for name in names if name in traits})
            return b'","promo_codes":%b,"attributes":%b}' % (promo_codes, asked)

        rows = [b'{"customer_id":"C%d' + _escape(render(traits)) for traits in self._traits()]
        return self._rows(rows, skip, top)

    def campaign_rows(
        self, names: Sequence[str], *, skip: int, top: int, action_id: str, attributes_field: str
    ) -> "Rows":
        """Rows of the campaign's array: attributes as an array in the order asked, null for a missing one."""
        promo_code, field = orjson.dumps(",".join(self.promo_codes)), orjson.dumps(attributes_field)
        start = b'","ActionID":%b,"PromoCode":%b' % (orjson.dumps(action_id), promo_code)

        def render(traits: Traits) -> bytes:
            if not names:
                return start + b"}"
            return start + b",%b:%b}" % (field, orjson.dumps([traits.get(name) for name in names]))

        rows = [b'{"CustomerID":"C%d' + _escape(render(traits)) for traits in self._traits()]
        return self._rows(rows, skip, top)

    def _traits(self) -> list[dict[str, object]]:
        return _make_traits(self.seed, self.missing, self.malformed)

    def _rows(self, row_by_trait: list[bytes], skip: int, top: int | None) -> "Rows":
        left = max(self.count - skip, 0)
        return Rows(
            row_by_trait=row_by_trait, start=self.first + skip, count=left if top is None else min(top, left)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows to serve: a JSON array in blocks of bytes."""

    row_by_trait: list[bytes]
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
        template, end = b",".join(row_by_place), self.start + self.count
        opening = b"["
        for start in range(self.start, end, BLOCK):
            stop = min(start + BLOCK, end)
            if stop - start < BLOCK:
                template = b",".join(row_by_place[: stop - start])
            block = template % tuple(range(start, stop))
            yield b"%b%b%b" % (opening, block, b"]" if stop == end else b"")
            opening = b","
        if not self.count:
            yield b"[]"


def _escape(row: bytes) -> bytes:
    """`row` as part of a template."""
    return row.replace(b"%", b"%%")


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
        "total_deposits": f"{rng.choice((0, 20, 50, 120.5, 480, 2500)) * rng.uniform(0.5, 1.5):.2f}",
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
