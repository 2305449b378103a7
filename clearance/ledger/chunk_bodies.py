"""How a chunk's customers and answers are written: JSON under light compression.

A body is what the vendor said of each customer, needed until they are decided. Answers are who was approved, needed
until the group is closed. Both hold personal data. What JSON in its fast form cannot say (a number of any size, half a
surrogate pair) is written in the slow one: a customer must be decided from what was sent.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import orjson

from clearance.decisions.decision import Customer

Answers = list[tuple[str, bool]]

_LEVEL = 1  # higher ones take several times as long and save a tenth
_FAST, _SLOW = b"f", b"s"


def dump_customers(customers: Sequence[Customer]) -> bytes:
    """The body of a chunk."""
    return _dump([_row(customer) for customer in customers], is_fast=_has_fast_form(customers))


def load_customers(body: bytes) -> list[Customer]:
    """The customers of a body, in their order."""
    return [_customer(row) for row in _load(body)]


def load_customer_ids(written: bytes) -> list[str]:
    """Whose customers they are, of a body or of answers."""
    return [row[0] for row in _load(written)]


def dump_answers(answers: Sequence[tuple[str, bool]]) -> bytes:
    """A chunk's answers: who is approved, and who is not."""
    return _dump(answers, is_fast=True)


def load_answers(written: bytes) -> Answers:
    """The answers, in the order of the body."""
    return [(customer_id, approved) for customer_id, approved in _load(written)]


def _row(customer: Customer) -> list[object]:
    row: list[object] = [customer.customer_id, customer.promo_codes, dict(customer.attributes)]
    if customer.is_hashed or customer.is_visitor:
        row += [customer.is_hashed, customer.is_visitor]
    return row


def _customer(row: Sequence[Any]) -> Customer:
    is_hashed, is_visitor = row[3:] or (False, False)
    return Customer(
        customer_id=row[0],
        promo_codes=tuple(row[1]),
        attributes=row[2],
        is_hashed=is_hashed,
        is_visitor=is_visitor,
    )


def _has_fast_form(customers: Sequence[Customer]) -> bool:
    """Not with an infinity: the fast form writes it as null, and what is absent may pass where garbage may not."""
    return all(_is_finite(customer.attributes.values()) for customer in customers)


def _is_finite(values: Iterable[object]) -> bool:
    for value in values:
        if type(value) is float:
            if not isfinite(value):
                return False
        elif (type(value) is list and not _is_finite(value)) or (
            type(value) is dict and not _is_finite(value.values())
        ):
            return False
    return True


def _dump(rows: Sequence[object], *, is_fast: bool) -> bytes:
    if is_fast:
        try:
            return _FAST + zlib.compress(orjson.dumps(rows), _LEVEL)
        except TypeError:
            pass
    return _SLOW + zlib.compress(json.dumps(rows, separators=(",", ":")).encode("ascii"), _LEVEL)


def _load(written: bytes) -> Any:
    text = zlib.decompress(memoryview(written)[1:])
    return orjson.loads(text) if written[:1] == _FAST else json.loads(text)
