"""Customers from numbers: the same for the same seed, whatever is asked of them and wherever a page begins."""

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from clearance.sandbox.generated_customers import BLOCK, Customers, Rows

SOME = Customers(count=5_000, first=100_000, seed=1, missing=0.0, malformed=0.0, promo_codes=("A", "%d@.1"))
NAMES = ("country", "age", "total_deposits", "self_excluded", "loyalty_tier")


def _load(rows: Rows) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(b"".join(rows.blocks()))
    return loaded


def test_rows_have_the_vendors_shape_with_the_attributes_that_were_asked_for() -> None:
    row = _load(SOME.send_group_rows(["age", "shoe_size"]))[7]
    age = SOME.attributes(7)["age"]
    assert row == {"customer_id": "C100007", "promo_codes": ["A", "%d@.1"], "attributes": {"age": age}}
    assert str(age).isdigit()


def test_a_campaigns_rows_give_attributes_as_an_array_in_the_order_asked() -> None:
    row = _load(
        SOME.campaign_rows(["age", "none", "country"], skip=7, top=1, action_id="4", attributes_field="X")
    )
    traits = SOME.attributes(7)
    assert row == [
        {
            "CustomerID": "C100007",
            "ActionID": "4",
            "PromoCode": "A,%d@.1",
            "X": [traits["age"], None, traits["country"]],
        }
    ]
    bare = _load(SOME.campaign_rows([], skip=0, top=1, action_id="4", attributes_field="X"))
    assert "X" not in bare[0]


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5_000])
def test_every_customer_is_there_once_and_in_order(count: int) -> None:
    rows = replace(SOME, count=count).send_group_rows(NAMES)
    assert [row["customer_id"] for row in _load(rows)] == [f"C{100_000 + index}" for index in range(count)]
    assert len(list(rows.blocks())) == rows.block_count


@pytest.mark.parametrize(
    ("skip", "top"), [(0, 10), (1_999, 2), (123, BLOCK), (4_990, 100), (5_000, 10), (9_999, None), (3, 0)]
)
def test_a_page_is_the_same_rows_that_the_whole_has_there(skip: int, top: int | None) -> None:
    whole = _load(SOME.send_group_rows(NAMES))
    end = None if top is None else skip + top
    assert _load(SOME.send_group_rows(NAMES, skip=skip, top=top)) == whole[skip:end]


def test_what_is_served_of_a_customer_is_what_can_be_told_of_it_afterwards() -> None:
    spoiled = replace(SOME, missing=0.2, malformed=0.2)
    for index, row in enumerate(_load(spoiled.send_group_rows((*NAMES, "first_name")))):
        assert row["attributes"] == spoiled.attributes(index)


def test_a_customer_has_the_same_attributes_in_every_group_of_a_seed_and_others_in_another() -> None:
    later = replace(SOME, first=102_345)
    assert later.attributes(0) == SOME.attributes(2_345)
    other = replace(SOME, seed=2)
    assert [other.attributes(index) for index in range(50)] != [SOME.attributes(index) for index in range(50)]


def test_no_two_of_many_customers_are_alike_and_their_deposits_look_like_deposits() -> None:
    rows = _load(SOME.send_group_rows(NAMES))
    assert len({tuple(row["attributes"].values()) for row in rows}) == len(rows)
    deposits = [row["attributes"]["total_deposits"] for row in rows]
    assert all(re.fullmatch(r"\d{1,3}\.\d\d", text) for text in deposits)
    assert 0.05 < sum(float(text) < 50 for text in deposits) / len(rows) < 0.15


def test_the_shares_of_missing_and_malformed_values_are_those_asked_for_and_spoil_nothing_else() -> None:
    spoiled, seen = replace(SOME, missing=0.1, malformed=0.05), Counter[str]()
    for index in range(BLOCK):
        whole, traits = SOME.attributes(index), spoiled.attributes(index)
        for name in NAMES:
            if name not in traits:
                seen["absent"] += 1
            elif traits[name] is None:
                seen["null"] += 1
            elif traits[name] != whole[name]:
                seen["malformed"] += 1
    assert all(0.04 < seen[kind] / (BLOCK * len(NAMES)) < 0.06 for kind in ("absent", "null", "malformed"))


@pytest.mark.parametrize(
    ("customer_id", "index"),
    [
        ("C100000", 0),
        ("C104999", 4_999),
        ("C105000", None),
        ("C99999", None),
        ("c100000", None),
        ("C0100000", None),
        ("C+100000", None),
        ("C 100000", None),
        ("C1000001234567890", None),
        ("C10_0000", None),
        ("C١٠٠٠٠٠", None),
        ("C" + "9" * 5_000, None),
        ("C", None),
        ("", None),
    ],
)
def test_only_the_very_id_of_a_customer_is_found(customer_id: str, index: int | None) -> None:
    assert SOME.find([(customer_id, True)]) == ([] if index is None else [(index, True)])
    assert index is None or SOME.customer_id(index) == customer_id
