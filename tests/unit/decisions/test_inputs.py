"""What a decision was made from is written one way, and read back as it was."""

import json
from dataclasses import asdict, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.decisions.decision import Campaign, Customer, Verdict
from clearance.decisions.inputs import Inputs, digest_of, inputs_of, load_inputs

TEXT = st.text(st.characters(codec=None), max_size=8)  # half surrogates too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
CAMPAIGNS = st.builds(Campaign, lane=TEXT, tags=TEXTS, channel_name=TEXT, is_control=st.booleans())
CUSTOMERS = st.builds(
    Customer,
    customer_id=TEXT,
    attributes=st.dictionaries(TEXT, VALUES, max_size=5),
    promo_codes=TEXTS,
    is_hashed=st.booleans(),
    is_visitor=st.booleans(),
)
ANSWERS = st.dictionaries(TEXT, st.builds(Verdict, approved=st.booleans(), reasons=TEXTS), max_size=3)

CAMPAIGN = Campaign(lane="triggered", tags=("bonus",))
CUSTOMER = Customer(customer_id="C1", attributes={"country": "DE", "age": 30})


@given(CAMPAIGNS, CUSTOMERS, ANSWERS)
def test_what_was_written_is_read_back(
    campaign: Campaign, customer: Customer, answers: dict[str, Verdict]
) -> None:
    written = inputs_of(campaign, customer, answers)

    assert load_inputs(written) == Inputs(campaign=campaign, customer=customer, answers=answers)


@given(CAMPAIGNS, CUSTOMERS, ANSWERS)
def test_the_bytes_are_json_with_sorted_keys_and_no_white_space(
    campaign: Campaign, customer: Customer, answers: dict[str, Verdict]
) -> None:
    held = {
        "campaign": asdict(campaign),
        "customer": asdict(customer),
        "answers": {name: asdict(each) for name, each in answers.items()},
        "version": 1,
    }

    written = json.loads(inputs_of(campaign, customer, answers))
    assert written == json.loads(json.dumps(held))
    assert json.dumps(written) == json.dumps(written, sort_keys=True)


def test_the_bytes_stay_as_they_are_from_release_to_release() -> None:
    customer = replace(CUSTOMER, attributes={"name": "Ä", "age": 30, "rate": 0.5}, promo_codes=("P",))

    assert inputs_of(CAMPAIGN, customer, {"a": Verdict(approved=False, reasons=("NO",))}).decode() == (
        '{"answers":{"a":{"approved":false,"reasons":["NO"]}},"campaign":{"action_id":"","brand_id":"",'
        '"channel_id":"","channel_name":"","is_control":false,"lane":"triggered","occurrence_id":"",'
        '"send_group_id":"","series_id":"","tags":["bonus"],"template_id":"","template_name":"",'
        '"trigger_name":""},"customer":{"attributes":{"age":30,"name":"Ä","rate":0.5},"customer_id":"C1",'
        '"is_hashed":false,"is_visitor":false,"promo_codes":["P"]},"version":1}'
    )


@given(CUSTOMERS, ANSWERS)
def test_the_order_of_keys_does_not_change_the_digest(
    customer: Customer, answers: dict[str, Verdict]
) -> None:
    turned = replace(customer, attributes=dict(reversed(customer.attributes.items())))

    assert digest_of(inputs_of(CAMPAIGN, customer, answers)) == digest_of(
        inputs_of(CAMPAIGN, turned, dict(reversed(answers.items())))
    )


@pytest.mark.parametrize(
    "other",
    [
        inputs_of(replace(CAMPAIGN, tags=()), CUSTOMER, {}),
        inputs_of(CAMPAIGN, replace(CUSTOMER, customer_id="C2"), {}),
        inputs_of(CAMPAIGN, replace(CUSTOMER, is_visitor=True), {}),
        inputs_of(CAMPAIGN, replace(CUSTOMER, promo_codes=("P",)), {}),
        inputs_of(CAMPAIGN, replace(CUSTOMER, attributes={"country": "DE", "age": "30"}), {}),
        inputs_of(CAMPAIGN, CUSTOMER, {"promotion-active": Verdict(approved=True)}),
    ],
)
def test_whatever_a_decision_may_depend_on_changes_the_digest(other: bytes) -> None:
    assert digest_of(other) != digest_of(inputs_of(CAMPAIGN, CUSTOMER, {}))


def test_a_digest_is_sha_256_in_hex() -> None:
    # Source: FIPS 180-4, the example of one block.
    assert digest_of(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [_nested(200_000), 10**5000, Decimal("12.5"), {1: 1, "a": 2}],
    ids=["deep", "huge", "own", "keys"],
)
def test_a_value_that_cannot_be_written_is_kept_as_one_that_no_rule_accepts(value: object) -> None:
    customer = replace(CUSTOMER, attributes={"odd": value, "country": "DE"})

    kept = load_inputs(inputs_of(CAMPAIGN, customer, {}))

    assert kept.customer.attributes == {"odd": {}, "country": "DE"}


def test_numbers_that_are_none_are_read_back_as_such() -> None:
    customer = replace(CUSTOMER, attributes={"a": float("nan"), "b": float("-inf")})

    kept = load_inputs(inputs_of(CAMPAIGN, customer, {})).customer.attributes

    assert str(kept["a"]) == "nan"
    assert kept["b"] == float("-inf")


def test_what_another_release_wrote_is_read_with_what_is_known_of_it() -> None:
    written = (
        b'{"answers":{},"campaign":{"lane":"review","mood":"new"},'
        b'"customer":{"customer_id":"C1","attributes":{},"shoe_size":43},"version":2}'
    )

    kept = load_inputs(written)

    assert kept.campaign == Campaign(lane="review")
    assert kept.customer == Customer(customer_id="C1", attributes={})


@pytest.mark.parametrize(
    "written",
    [b"", b"canary", b"[]", b'{"campaign":{}}', b'{"answers":{},"campaign":{},"customer":{}}', b"\xff"],
)
def test_what_nobody_wrote_is_refused_without_quoting_it(written: bytes) -> None:
    with pytest.raises(ValueError, match=r"^these are no inputs of a decision$"):
        load_inputs(written)
