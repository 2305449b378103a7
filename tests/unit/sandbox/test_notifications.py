"""Notifications look like the vendor's."""

import json
import random
from typing import Any

import pytest

from clearance.sandbox import notifications

# Source: vendor page, "Notification Payload" of triggered campaigns.
VENDOR_SAMPLE = {
    "timestamp": 1234567890123,
    "conditional_execution_approval_deadline": 1234567890999,
    "request_uid": "string",
    "is_hashed": False,
    "user": {"user_id": "string", "is_visitor": False, "personalization": {}},
    "occurrence": {
        "date": "YYYY-MM-DD",
        "series_id": "string",
        "occurrence_id": "string",
        "target_group": {"id": 123, "name": "string"},
        "notes": "string",
        "tags": ["string"],
        "communication_type": "triggered",
        "action": {
            "id": 1,
            "name": "string",
            "is_control": False,
            "promotions": [{"name": "string", "code": "string"}],
            "channels": [
                {"id": 1, "name": "string", "brand_id": "string", "template": {"id": 1, "name": "string"}}
            ],
        },
    },
    "trigger_context": {
        "id": 1,
        "name": "string",
        "events": [{"key": "string", "timestamp": 1234567890, "parameters": {}}],
    },
}


def _write(row: int = 0, customer: int = 234638) -> bytes:
    return notifications.write(
        row=row,
        request_uid=f"5f0c2a54-0000-4000-8000-{row:012x}",
        customer=customer,
        date=b"2025-10-09",
        timestamp_ms=1_760_000_000_123,
        deadline_at_ms=1_760_000_005_123,
    )


def _assert_same_shape(sent: Any, sample: Any, path: str = "") -> None:
    assert type(sent) is type(sample), path
    if isinstance(sample, dict) and sample:
        assert list(sent) == list(sample), path
        for key, value in sample.items():
            _assert_same_shape(sent[key], value, f"{path}.{key}")
    elif isinstance(sample, list):
        for item in sent:
            _assert_same_shape(item, sample[0], f"{path}[]")
    elif isinstance(sample, dict):
        assert sent, path
        assert all(isinstance(value, str) for value in sent.values()), path


@pytest.mark.parametrize("row", range(10))
def test_every_campaign_has_the_shape_of_the_vendors_sample(row: int) -> None:
    _assert_same_shape(json.loads(_write(row)), VENDOR_SAMPLE)


def test_what_was_asked_for_is_in_the_body() -> None:
    sent = json.loads(_write(row=7))
    assert sent["timestamp"] == 1_760_000_000_123
    assert sent["conditional_execution_approval_deadline"] == 1_760_000_005_123
    assert sent["request_uid"] == "5f0c2a54-0000-4000-8000-000000000007"
    assert sent["user"]["user_id"] == "C234638"
    assert sent["occurrence"]["date"] == "2025-10-09"
    assert tuple(sent["occurrence"]["tags"]) == notifications.tags(7)
    assert sent["user"]["personalization"] == notifications.personalization(234638)


def test_event_times_are_in_seconds_and_the_other_times_in_milliseconds() -> None:
    sent = json.loads(_write())
    assert len(str(sent["trigger_context"]["events"][0]["timestamp"])) == 10
    assert len(str(sent["timestamp"])) == 13


def test_one_customer_in_ten_is_self_excluded_and_countries_vary() -> None:
    people = [notifications.personalization(customer) for customer in range(100_000, 110_000)]
    excluded = sum(person["self_excluded"] == "true" for person in people)
    assert 800 < excluded < 1200
    assert {person["self_excluded"] for person in people} == {"true", "false"}
    assert {person["country"] for person in people} == {"DE", "AT", "NL", "FR"}
    assert all(18 <= int(person["age"]) <= 85 for person in people)
    assert all(person["total_deposits"].split(".")[1].isdigit() for person in people)


def test_every_spoilt_body_is_malformed_and_no_two_ways_are_left_out() -> None:
    rng, body, seen = random.Random(1), _write(), set()
    for _ in range(200):
        seen.add(_fault_of(notifications.spoil(body, rng)))
    assert seen == {"text", "not JSON", "timestamp", "user", "request_uid", "deadline"}


def _fault_of(body: bytes) -> str:
    try:
        sent = json.loads(body.decode())
    except UnicodeDecodeError as error:
        return "not JSON" if error.reason == "unexpected end of data" else "text"
    except json.JSONDecodeError:
        return "not JSON"
    if not isinstance(sent["timestamp"], int):
        return "timestamp"
    if not isinstance(sent["user"], dict):
        return "user"
    if "request_uid" not in sent:
        return "request_uid"
    if "conditional_execution_approval_deadline" not in sent:
        return "deadline"
    return "none"
