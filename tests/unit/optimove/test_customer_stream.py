"""Which customers `clearance.optimove.customer_stream` reads from a reply, cut anywhere, and in how much memory."""

import json
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from typing import Any

import ijson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.decisions.decision import Customer
from clearance.errors import VendorRefused, VendorUnavailable
from clearance.optimove.customer_stream import (
    CampaignFields,
    MalformedRow,
    load_campaign_customers,
    load_send_group_customers,
)
from clearance.optimove.json_rows import MAX_ROW_BYTES

Row = Customer | MalformedRow
FIELDS = CampaignFields()
ROW = {"customer_id": "C12345", "promo_codes": ["PROMO2026", "PROMO2"], "attributes": {"tier": "Gold"}}
CUSTOMER = Customer(customer_id="C12345", attributes={"tier": "Gold"}, promo_codes=("PROMO2026", "PROMO2"))

ROW_BYTES = json.dumps(ROW).encode()


def load(body: bytes, *, size: int = 1 << 16) -> list[Row]:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return list(load_send_group_customers(pieces, status=200))


def load_v1(rows: object, names: tuple[str, ...] = (), fields: CampaignFields = FIELDS) -> list[Row]:
    return list(load_campaign_customers([json.dumps(rows).encode()], names, fields, status=200))


def until_broken(pieces: list[bytes]) -> tuple[list[Row], bool]:
    """The rows that came, and whether the stream broke off after them."""
    rows: list[Row] = []
    try:
        for row in load_send_group_customers(pieces, status=200):
            rows.append(row)  # noqa: PERF402  # what came before the error is what the test is about
    except VendorUnavailable:
        return rows, True
    return rows, False


def test_a_row_of_the_vendors_page_is_a_customer() -> None:
    assert load(json.dumps([ROW]).encode()) == [CUSTOMER]


@pytest.mark.parametrize("body", [b"[]", b" [ ] \n"])
def test_an_empty_array_holds_nobody(body: bytes) -> None:
    assert load(body) == []


@pytest.mark.parametrize(
    "sent", [{"customer_id": "C1"}, {"customer_id": "C1", "promo_codes": None, "attributes": None}]
)
def test_promo_codes_and_attributes_may_be_absent_or_null(sent: object) -> None:
    assert load(json.dumps([sent]).encode()) == [Customer(customer_id="C1", attributes={})]


def test_fields_that_we_do_not_know_are_ignored() -> None:
    assert load(json.dumps([ROW | {"more": [{"deep": 1}], "CUSTOMER_ID": 7}]).encode()) == [CUSTOMER]


def test_attributes_are_kept_as_sent_also_those_that_no_rule_can_read() -> None:
    attributes = {"a": ["DE"], "b": {"c": [1, {"d": None}]}, "n": 1, "f": 0.25, "t": True, "z": None, "": ""}
    (row,) = load(json.dumps([{"customer_id": "C1", "attributes": attributes}]).encode())
    assert isinstance(row, Customer)
    assert row.attributes == attributes
    assert [type(value) for value in row.attributes.values()] == [
        list,
        dict,
        int,
        float,
        bool,
        type(None),
        str,
    ]


def test_the_same_customer_twice_is_two_rows() -> None:
    assert load(json.dumps([ROW, ROW]).encode()) == [CUSTOMER, CUSTOMER]


def test_promo_codes_may_be_numbers_and_empty_ones_are_none() -> None:
    (row,) = load(json.dumps([ROW | {"promo_codes": ["A", 7, ""]}]).encode())
    assert isinstance(row, Customer)
    assert row.promo_codes == ("A", "7")


DEEP = {"customer_id": "C1", "attributes": {"a": json.loads("[" * 40 + "]" * 40)}}
MALFORMED: list[tuple[Any, str, str | None]] = [
    (None, "an object", None),
    (7, "an object", None),
    ("C1", "an object", None),
    ([ROW], "an object", None),
    ({}, "customer_id", None),
    *[
        ({"customer_id": wrong}, "customer_id", None)
        for wrong in (None, "", 7, 7.0, True, [], {}, "a" * 257, "a\0", "a\n")
    ],
    *[({"customer_id": "C1", "attributes": wrong}, "attributes", "C1") for wrong in (7, "x", [], [{}], True)],
    *[
        ({"customer_id": "C1", "promo_codes": wrong}, "promo_codes", "C1")
        for wrong in (7, "A,B", {}, [None], [[]], [True], [1.5])
    ],
    (DEEP, "too deep", None),
]


@pytest.mark.parametrize(("sent", "problem", "customer_id"), MALFORMED)
def test_a_malformed_row_is_told_with_its_place_and_stops_no_other(
    sent: object, problem: str, customer_id: str | None
) -> None:
    first, wrong, last = load(json.dumps([ROW, sent, ROW]).encode())
    assert first == last == CUSTOMER
    assert isinstance(wrong, MalformedRow)
    assert (wrong.position, wrong.customer_id) == (1, customer_id)
    assert problem in wrong.problem


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400])
def test_a_number_that_nothing_can_hold_makes_its_row_malformed_only(number: str) -> None:
    body = b'[{"customer_id": "C1", "attributes": {"n": %b}}, %b]' % (
        number.encode(),
        json.dumps(ROW).encode(),
    )
    wrong, good = load(body)
    assert isinstance(wrong, MalformedRow)
    assert good == CUSTOMER


def test_a_whole_number_past_64_bits_is_a_float_as_everywhere_else() -> None:
    (row,) = load(
        b'[{"customer_id": "C1", "attributes": {"n": 1000000000000000000000, "m": -9223372036854775808}}]'
    )
    assert isinstance(row, Customer)
    assert row.attributes == {"n": 1e21, "m": -(2**63)}
    assert type(row.attributes["n"]) is float


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" + b'{"a":' * 100_000])
def test_nesting_without_end_costs_little_and_ends_in_an_error(body: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(VendorUnavailable):
        load(body, size=1 << 12)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_row_without_end_is_refused() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'[{"customer_id": "'
        while True:
            yield b"a" * (1 << 16)

    with pytest.raises(VendorRefused, match="row of more than") as caught:
        list(load_send_group_customers(pieces(), status=200))
    assert str(MAX_ROW_BYTES) in str(caught.value)


@pytest.mark.parametrize(
    "body", [b'"canary C234638 is unknown"', b'{"error": "canary"}', b"{}", b"12", b"null", b"true"]
)
def test_a_success_reply_that_is_no_array_is_a_refusal_that_does_not_repeat_it(body: bytes) -> None:
    with pytest.raises(VendorRefused) as caught:
        load(body)
    assert caught.value.status == 200
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[",
        b"[1,]",
        b'[{"customer_id": }]',
        b'["\xff"]',
        b'["\\udc00x"]',
        b"[NaN]",
        b"[1]x",
        b"<html>canary",
        b"[01]",
        b"[" + b"9" * 5000 + b"]",
    ],
)
def test_what_is_no_json_breaks_the_stream_without_being_repeated(broken: bytes) -> None:
    with pytest.raises(VendorUnavailable) as caught:
        load(broken)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("broken", [b"nul", b"}", b"\xff", b'"\\udc00x"', b"9" * 5000])
def test_the_whole_rows_before_a_broken_place_are_given(broken: bytes) -> None:
    assert until_broken([b"[%b,%b,%b]" % (ROW_BYTES, ROW_BYTES, broken)]) == ([CUSTOMER, CUSTOMER], True)


def test_rows_come_before_the_reply_has_ended() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"[" + json.dumps(ROW).encode() + b","
        raise AssertionError("asked for more than was needed")

    assert list(islice(load_send_group_customers(pieces(), status=200), 1)) == [CUSTOMER]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
rows = st.fixed_dictionaries(
    {"customer_id": texts | values}, optional={"promo_codes": st.lists(texts) | values, "attributes": values}
)
bodies = st.builds(
    lambda rows, escaped: json.dumps(rows, ensure_ascii=escaped).encode(),
    st.lists(rows | values, max_size=5),
    st.booleans(),
)


@given(bodies, st.data())
def test_any_cutting_of_the_stream_gives_the_same_customers(body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    ends = [*cuts, len(body)]
    pieces = [body[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    whole = load(body)
    assert list(load_send_group_customers(pieces, status=200)) == whole
    assert load(body, size=1) == whole


@given(bodies, st.data())
def test_a_stream_that_ends_too_early_gives_the_whole_rows_before_and_breaks(
    body: bytes, data: st.DataObject
) -> None:
    end = data.draw(st.integers(0, len(body) - 1))
    whole = load(body)
    got, is_broken = until_broken([body[:end]])
    assert is_broken
    assert got == whole[: len(got)]
    # No row that was there whole is lost: what follows a row is a comma or the end.
    ends = [
        len(json.dumps(json.loads(body)[:count], ensure_ascii=b"\\u" in body))
        for count in range(len(whole) + 1)
    ]
    if body.isascii():
        assert len(got) >= sum(1 for at in ends[1:] if at <= end)


@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_an_error_of_ours(body: bytes) -> None:
    try:
        load(b"[" + body)
    except (VendorUnavailable, VendorRefused) as error:
        assert error.__cause__ is None  # noqa: PT017  # either end is fine


def test_the_parser_is_the_compiled_one_whose_behaviour_is_tested_here() -> None:
    assert ijson.backend == "yajl2_c"


def test_two_hundred_thousand_customers_are_read_in_flat_memory() -> None:
    count, traced_count = 200_000, 20_000

    def pieces() -> Iterator[bytes]:
        yield b"["
        for start in range(0, count, 500):
            block = b",".join(b'{"customer_id":"C%d"}' % number for number in range(start, start + 500))
            yield block + (b"," if start + 500 < count else b"]")

    customers = load_send_group_customers(pieces(), status=200)
    read = sum(1 for _ in islice(customers, count - traced_count))
    tracemalloc.start()  # it takes ten times as long while it looks on: at the last tenth only
    read += sum(1 for _ in customers)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == count
    assert peak_bytes < 2 << 20  # a tenth, kept, would be more than 6 MiB


def test_a_campaigns_row_names_its_attributes_by_the_order_asked() -> None:
    sent = {
        "CustomerID": "231342",
        "ActionID": "4",
        "PromoCode": "A7Bonus, B8,,",
        "CustomerAttributes": ["Jo", None],
    }
    assert load_v1([sent], ("Alias", "Country")) == [
        Customer(
            customer_id="231342", attributes={"Alias": "Jo", "Country": None}, promo_codes=("A7Bonus", "B8")
        )
    ]


def test_a_campaigns_row_may_have_other_names() -> None:
    fields = CampaignFields(customer_id="id", promo_code="code", attributes="CustomerAttribute")
    sent = {"id": "C1", "code": "A", "CustomerAttribute": ["x"], "CustomerAttributes": ["wrong"]}
    assert load_v1([sent], ("a",), fields) == [
        Customer(customer_id="C1", attributes={"a": "x"}, promo_codes=("A",))
    ]


@pytest.mark.parametrize("sent", [{}, {"PromoCode": None, "CustomerAttributes": None}, {"PromoCode": ""}])
def test_a_campaigns_row_may_have_nothing_but_its_customer(sent: dict[str, object]) -> None:
    assert load_v1([sent | {"CustomerID": "C1"}], ("a",)) == [Customer(customer_id="C1", attributes={})]


def test_attributes_that_nobody_asked_for_are_not_looked_at() -> None:
    assert load_v1([{"CustomerID": "C1", "CustomerAttributes": ["x"]}]) == [
        Customer(customer_id="C1", attributes={})
    ]


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"CustomerID": 231342}, "CustomerID must be text"),
        ({"CustomerID": "C1", "PromoCode": ["A"]}, "PromoCode must be text"),
        ({"CustomerID": "C1", "CustomerAttributes": ["one"]}, "a list of 2 values"),
        ({"CustomerID": "C1", "CustomerAttributes": ["one", "two", "three"]}, "a list of 2 values"),
        ({"CustomerID": "C1", "CustomerAttributes": {"a": 1}}, "a list of 2 values"),
        ("C1", "must be an object"),
    ],
)
def test_a_malformed_row_of_a_campaign_is_told_and_stops_no_other(sent: object, problem: str) -> None:
    wrong, good = load_v1([sent, {"CustomerID": "C2"}], ("a", "b"))
    assert isinstance(wrong, MalformedRow)
    assert problem in wrong.problem
    assert good == Customer(customer_id="C2", attributes={})
