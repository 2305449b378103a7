"""What an `http` check says and understands: the sample's form, keys that know a repeat, default deny."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.checks.http_protocol import (
    Answers,
    MalformedAnswer,
    Request,
    Row,
    load_answers,
    request_for,
)
from clearance.checks.judge import Question
from clearance.decisions.decision import Campaign, Customer
from tests.fakes.clock import START
from tests.unit.checks.asking import CHECK, SEND_GROUP, attributes, customers, results

SAMPLE = {
    "check": "promotion-active",
    "campaign": {
        "lane": "send_group",
        "send_group_id": 123,
        "occurrence_id": 222,
        "series_id": "111",
        "tags": ["bonus"],
    },
    "customers": [
        {"customer_id": "C12345", "promo_codes": ["PROMO2026"], "attributes": {"country": "DE"}},
        {"customer_id": "C12346", "promo_codes": ["PROMO2026"], "attributes": {"country": "AT"}},
    ],
}
TWO = [
    Customer(customer_id="C12345", attributes={"country": "DE"}, promo_codes=("PROMO2026",)),
    Customer(customer_id="C12346", attributes={"country": "AT"}, promo_codes=("PROMO2026",)),
]
QUESTION = Question(
    campaign=SEND_GROUP, customers=TWO, ends_at=START + timedelta(seconds=1), occasion="123:1"
)


def _request(asked: list[Customer], campaign: Campaign = SEND_GROUP, occasion: str = "123:1") -> Request:
    return request_for(CHECK, replace(QUESTION, campaign=campaign, occasion=occasion), asked, attributes)


def _campaign(campaign: Campaign) -> dict[str, object]:
    told: dict[str, object] = json.loads(_request(TWO, campaign).body)["campaign"]
    return told


def test_a_request_has_the_samples_form() -> None:
    assert json.loads(_request(TWO).body) == SAMPLE


def test_of_a_campaign_everything_is_told_that_is_known_and_nothing_else() -> None:
    known = Campaign(
        lane="campaign",
        series_id="1",
        occurrence_id="2",
        send_group_id="3",
        action_id="4",
        channel_id="5",
        channel_name="e-mail",
        brand_id="6",
        template_id="7",
        template_name="Hello",
        tags=("a", "b"),
        trigger_name="t",
    )
    assert _campaign(known) == {
        "lane": "campaign",
        "series_id": "1",
        "occurrence_id": "2",
        "send_group_id": "3",
        "action_id": "4",
        "channel_id": "5",
        "channel_name": "e-mail",
        "brand_id": "6",
        "template_id": "7",
        "template_name": "Hello",
        "tags": ["a", "b"],
        "trigger_name": "t",
    }
    assert _campaign(Campaign(lane="triggered")) == {"lane": "triggered"}


@pytest.mark.parametrize("text", ["007", "12a", "-1", "1 ", "\u0663", "9" * 16, "SG-1"])
def test_a_send_group_that_a_number_would_change_stays_text(text: str) -> None:
    assert _campaign(Campaign(lane="send_group", send_group_id=text))["send_group_id"] == text


def test_only_the_attributes_that_a_check_names_are_told() -> None:
    customer = Customer(customer_id="C1", attributes={"country": "DE", "age": 40})
    for named, told in {("country", "vip"): {"country": "DE"}, (): {}}.items():
        narrow = replace(CHECK, attributes=named)
        body = json.loads(request_for(narrow, QUESTION, [customer], attributes).body)
        assert body["customers"][0]["attributes"] == told


def test_the_same_question_has_the_same_key_in_any_order_and_whatever_the_attributes_are() -> None:
    key = _request(TWO).idempotency_key
    # Written out, because an old and a new release may ask the same question during a deploy.
    assert key == "2070ac608e904abf589284d579494e82bb7839a492cfd550da6bf860fd47a1f3"
    assert _request(TWO[::-1]).idempotency_key == key
    assert _request(customers("C12345", "C12346")).idempotency_key == key


def test_any_difference_gives_another_key() -> None:
    keys = [
        _request(TWO).idempotency_key,
        _request(TWO[:1]).idempotency_key,
        _request(customers("C12345C12346")).idempotency_key,
        _request(customers("C12345", "C12347")).idempotency_key,
        _request(TWO, occasion="123:2").idempotency_key,
        _request(TWO, replace(SEND_GROUP, send_group_id="124")).idempotency_key,
        _request(TWO, replace(SEND_GROUP, lane="campaign")).idempotency_key,
        _request(TWO, replace(SEND_GROUP, tags=("bonus", "vip"))).idempotency_key,
        request_for(replace(CHECK, id="other"), QUESTION, TWO, attributes).idempotency_key,
    ]
    assert len(set(keys)) == len(keys)


def _answers(*rows: object) -> Answers:
    return load_answers(json.dumps({"results": rows}).encode(), frozenset({"C1", "C2"}))


def test_each_row_counts_for_its_customer() -> None:
    refused = {"customer_id": "C2", "approved": False, "reason": "BONUS_WALLET_LOCKED"}
    answers = _answers({"customer_id": "C1", "approved": True}, refused)
    assert answers.row_by_customer == {
        "C1": Row(approved=True),
        "C2": Row(approved=False, code="BONUS_WALLET_LOCKED"),
    }
    assert answers.ignored == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>approved</body></html>",
        b'{"results": [{"customer_id": "C1", "approved": true}',
        b"\xff",
        b"[]",
        b"true",
        b"{}",
        b'{"results": null}',
        b'{"results": {"C1": true}}',
        b'{"result": []}',
        b"[" * 5000,
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        load_answers(body, frozenset({"C1"}))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("approved", ["true", 1, None, [], {"a": 1}])
def test_an_approval_that_is_not_true_or_false_is_neither(approved: object) -> None:
    answers = _answers({"customer_id": "C1", "approved": approved})
    assert answers.row_by_customer == {"C1": Row(approved=None)}


def test_a_row_without_an_approval_is_neither() -> None:
    assert _answers({"customer_id": "C1"}).row_by_customer == {"C1": Row(approved=None)}


@pytest.mark.parametrize(
    "row",
    [
        {"customer_id": "C3", "approved": True},
        {"customer_id": "c1", "approved": True},
        {"customer_id": "C1 ", "approved": True},
        {"customer_id": 1, "approved": True},
        {"customer_id": ["C1"], "approved": True},
        {"approved": True},
        "C1",
        None,
    ],
)
def test_a_row_about_nobody_who_was_asked_about_is_ignored_and_counted(row: object) -> None:
    answers = _answers(row)
    assert (answers.row_by_customer, answers.ignored) == ({}, 1)


@pytest.mark.parametrize(("one", "other"), [(False, True), (True, False), (False, None), (None, False)])
def test_of_two_rows_that_contradict_the_refusal_counts(one: bool | None, other: bool | None) -> None:
    answers = _answers({"customer_id": "C1", "approved": one}, {"customer_id": "C1", "approved": other})
    assert answers.row_by_customer == {"C1": Row(approved=False)}


@pytest.mark.parametrize(("one", "other"), [(None, True), (True, None)])
def test_nonsense_beside_an_approval_is_nonsense(one: bool | None, other: bool | None) -> None:
    answers = _answers({"customer_id": "C1", "approved": one}, {"customer_id": "C1", "approved": other})
    assert answers.row_by_customer == {"C1": Row(approved=None)}


@pytest.mark.parametrize("reason", ["locked", "Jane Doe", "WALLET\n", "W" * 65, "", 7, None, ["WALLET"]])
def test_a_reason_that_is_no_code_is_dropped_and_the_refusal_stands(reason: object) -> None:
    answers = _answers({"customer_id": "C1", "approved": False, "reason": reason})
    assert answers.row_by_customer == {"C1": Row(approved=False)}


_ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["customer_id", "approved", "reason"]),
        st.sampled_from(["C1", "C2", "C3", "LOCKED", True, False, None, 1, "true"]),
    )
)


@given(_ROWS)
def test_approved_is_only_who_has_an_approval_and_nothing_else(rows: list[dict[str, object]]) -> None:
    answers = load_answers(results(*rows), frozenset({"C1", "C2"}))
    for customer_id in ("C1", "C2"):
        said = [row.get("approved") for row in rows if row.get("customer_id") == customer_id]
        row = answers.row_by_customer.get(customer_id)
        assert (row is not None) == bool(said)
        assert (row is not None and row.approved is True) == (
            bool(said) and all(each is True for each in said)
        )
