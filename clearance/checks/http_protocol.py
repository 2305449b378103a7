"""What does an `http` check say to an internal system, and what does the answer say of each customer?

In: a check, a question and the customers of one batch; the bytes of a 2xx. Out: a `Request`; what each customer was
given, or `MalformedAnswer`. Default deny: who is left out, or answered twice in two ways, is not approved, and no row
helps another customer. A row of which nobody can tell whom it is about counts as about nobody.

Source: `samples/http-check.json`, docs/rules.md.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from clearance.checks.judge import Question
from clearance.decisions.decision import Campaign, Customer
from clearance.decisions.rules import REASON_PATTERN, HttpCheck

TypedAttributes = Callable[[Customer], Mapping[str, object]]
"""The declared attributes that a customer has, converted: `Engine.typed_attributes`."""

_CODE = re.compile(REASON_PATTERN)
_TOLD_OF_CAMPAIGN = (
    "lane",
    "send_group_id",
    "occurrence_id",
    "series_id",
    "action_id",
    "channel_id",
    "channel_name",
    "brand_id",
    "template_id",
    "template_name",
    "tags",
    "trigger_name",
)
# The vendor writes these as numbers where they come from; `series_id` it writes as text there.
_NUMBERS_IN_SEND_GROUPS = ("send_group_id", "occurrence_id")
# What every JSON reader takes for a whole number: below 2**53.
_LONGEST_NUMBER = 15


class MalformedAnswer(Exception):
    """A 2xx that is no answer; asking again will not make it one. Its text holds nothing of the reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One batch as it is sent, each time the same: a repeat is known by `idempotency_key`."""

    body: bytes
    idempotency_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the answer says of one customer.

    Attributes:
        approved: None if it says something that is neither true nor false.
        code: The system's own reason, if it is a code.
    """

    approved: bool | None
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The rows that count, by customer id, and how many there were about anybody else."""

    row_by_customer: Mapping[str, Row]
    ignored: int


def request_for(
    check: HttpCheck, question: Question, customers: Sequence[Customer], typed_attributes: TypedAttributes
) -> Request:
    """The request about one batch. Neither order nor attributes change its key."""
    campaign = _campaign(question.campaign)
    body = {
        "check": check.id,
        "campaign": campaign,
        "customers": [_customer(each, check, typed_attributes) for each in customers],
    }
    known_by = [check.id, question.occasion, campaign, sorted(each.customer_id for each in customers)]
    canonical = orjson.dumps(known_by, option=orjson.OPT_SORT_KEYS)
    return Request(body=orjson.dumps(body), idempotency_key=hashlib.sha256(canonical).hexdigest())


def load_answers(body: bytes, asked: frozenset[str]) -> Answers:
    """What a reply says of those who were asked about.

    Raises:
        MalformedAnswer: It is not JSON, or there is no list in it.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedAnswer("not JSON") from None
    rows = told.get("results") if isinstance(told, dict) else None
    if not isinstance(rows, list):
        raise MalformedAnswer("no list of results")
    row_by_customer: dict[str, Row] = {}
    ignored = 0
    for told_row in rows:
        customer_id = told_row.get("customer_id") if isinstance(told_row, dict) else None
        if not isinstance(customer_id, str) or customer_id not in asked:
            ignored += 1
            continue
        row = _row(told_row)
        row_by_customer[customer_id] = _stricter(row_by_customer.get(customer_id, row), row)
    return Answers(row_by_customer=row_by_customer, ignored=ignored)


def _campaign(campaign: Campaign) -> dict[str, object]:
    told = {name: value for name in _TOLD_OF_CAMPAIGN if (value := getattr(campaign, name))}
    if campaign.lane == "send_group":
        told |= {name: _number(told[name]) for name in _NUMBERS_IN_SEND_GROUPS if name in told}
    return told


def _number(text: str) -> int | str:
    """The number that `text` spells, if it is the only way to spell it."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_number and str(int(text)) == text else text


def _customer(customer: Customer, check: HttpCheck, typed_attributes: TypedAttributes) -> dict[str, object]:
    attributes = typed_attributes(customer)
    if check.attributes is not None:
        attributes = {name: value for name, value in attributes.items() if name in check.attributes}
    return {
        "customer_id": customer.customer_id,
        "promo_codes": customer.promo_codes,
        "attributes": dict(attributes),
    }


def _row(told: Mapping[str, Any]) -> Row:
    approved, reason = told.get("approved"), told.get("reason")
    if not isinstance(approved, bool):
        return Row(approved=None)
    is_code = isinstance(reason, str) and _CODE.fullmatch(reason)
    return Row(approved=approved, code=str(reason) if is_code else "")


def _stricter(first: Row, second: Row) -> Row:
    """Of two rows about one customer: a refusal before nonsense, nonsense before an approval."""
    strictness = (False, None, True)
    return min(first, second, key=lambda row: strictness.index(row.approved))
