"""Which bodies `clearance.optimove.triggered` loads, and into what."""

import copy
import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.decisions.decision import Campaign, Customer
from clearance.errors import Reject
from clearance.optimove.triggered import TriggeredNotification, TriggerEvent, load_triggered, reload_triggered

# Every field of the vendor's page, each with a value of its own.
PAYLOAD: dict[str, Any] = {
    "timestamp": 1785240000123,
    "conditional_execution_approval_deadline": 1785240005123,
    "request_uid": "r-8f14",
    "is_hashed": True,
    "user": {
        "user_id": "C234638",
        "is_visitor": True,
        "personalization": {"country": "DE", "age": 41, "score": 0.5, "vip": False, "phone": None},
    },
    "occurrence": {
        "date": "YYYY-MM-DD",
        "series_id": "111",
        "occurrence_id": 222,
        "target_group": {"id": 123, "name": "lapsed"},
        "notes": "a note",
        "tags": ["spring", "bonus"],
        "communication_type": "triggered",
        "action": {
            "id": 576,
            "name": "an action",
            "is_control": False,
            "promotions": [{"name": "ten", "code": "TEN"}, {"name": "no code", "code": None}, {"code": 7}],
            "channels": [
                {"id": 15, "name": "mail", "brand_id": "b1", "template": {"id": 9, "name": "hello"}},
                {"id": 16, "name": "push", "brand_id": "b2", "template": None},
            ],
        },
    },
    "trigger_context": {
        "id": 1,
        "name": "deposit failed",
        "events": [
            {"key": "deposit", "timestamp": 1785239999, "parameters": {"amount": 10, "deep": {"x": []}}}
        ],
    },
}
ABSENT = object()


def body(path: str = "", value: object = ABSENT) -> bytes:
    """The payload with `value` at the dotted `path`, or without that field."""
    payload = copy.deepcopy(PAYLOAD)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = payload
    for parent in parents:
        place = place[parent]
    if value is not ABSENT:
        place[last] = value
    elif path:
        del place[last]
    return json.dumps(payload).encode()


def refusal(sent: bytes) -> Reject:
    with pytest.raises(Reject) as caught:
        load_triggered(sent)
    return caught.value


def errors(sent: bytes) -> dict[str, Any]:
    refused = refusal(sent)
    assert (refused.status, refused.reason) == (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid")
    return dict(refused.errors)


def test_every_field_of_a_whole_notification_is_in_its_place() -> None:
    assert load_triggered(body()) == TriggeredNotification(
        request_uid="r-8f14",
        signed_at=datetime(2026, 7, 28, 12, 0, 0, 123_000, tzinfo=UTC),
        vendor_deadline_at=datetime(2026, 7, 28, 12, 0, 5, 123_000, tzinfo=UTC),
        campaign=Campaign(
            lane="triggered",
            series_id="111",
            occurrence_id="222",
            action_id="576",
            channel_id="15",
            channel_name="mail",
            brand_id="b1",
            template_id="9",
            template_name="hello",
            tags=("spring", "bonus"),
            trigger_name="deposit failed",
            is_control=False,
        ),
        customer=Customer(
            customer_id="C234638",
            attributes={"country": "DE", "age": 41, "score": 0.5, "vip": False, "phone": None},
            promo_codes=("TEN", "7"),
            is_hashed=True,
            is_visitor=True,
        ),
        events=(
            TriggerEvent(
                key="deposit",
                at=datetime(2026, 7, 28, 11, 59, 59, tzinfo=UTC),
                parameters={"amount": 10, "deep": {"x": []}},
            ),
        ),
    )


def test_a_notification_with_required_fields_only_has_empty_parts() -> None:
    least = {
        "timestamp": 1785240000123,
        "conditional_execution_approval_deadline": 1785240005123,
        "request_uid": "r",
        "user": {"user_id": "C1"},
        "occurrence": {"action": {"is_control": True}},
    }
    loaded = load_triggered(json.dumps(least).encode())
    assert loaded.campaign == Campaign(lane="triggered", is_control=True)
    assert loaded.customer == Customer(customer_id="C1", attributes={})
    assert loaded.events == ()


def test_loading_again_gives_the_same_value() -> None:
    assert reload_triggered(body()) == load_triggered(body())


OPTIONAL = [
    "is_hashed",
    "user.is_visitor",
    "user.personalization",
    "occurrence.date",
    "occurrence.series_id",
    "occurrence.occurrence_id",
    "occurrence.target_group",
    "occurrence.notes",
    "occurrence.tags",
    "occurrence.communication_type",
    "occurrence.action.id",
    "occurrence.action.name",
    "occurrence.action.promotions",
    "occurrence.action.channels",
    "occurrence.action.channels.0.id",
    "occurrence.action.channels.0.brand_id",
    "occurrence.action.channels.0.template",
    "occurrence.action.channels.0.template.name",
    "trigger_context",
    "trigger_context.name",
    "trigger_context.events",
    "trigger_context.events.0.parameters",
]


@pytest.mark.parametrize("path", OPTIONAL)
@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
def test_an_optional_part_may_be_absent_or_null(path: str, value: object) -> None:
    sent = body(path, value)
    assert reload_triggered(sent) == load_triggered(sent)


@pytest.mark.parametrize(
    "path", ["occurrence.tags", "occurrence.action.promotions", "occurrence.action.channels"]
)
def test_a_list_may_be_empty(path: str) -> None:
    load_triggered(body(path, []))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("occurrence.date", 20260728),
        ("occurrence.target_group", "lapsed"),
        ("occurrence.notes", {}),
        ("occurrence.action.promotions.0.name", []),
        ("trigger_context.id", {}),
        ("something_new", {"a": [1]}),
        ("user.something_new", 1),
    ],
)
def test_what_plays_no_role_may_hold_anything(path: str, value: object) -> None:
    assert load_triggered(body(path, value)) == load_triggered(body())


@pytest.mark.parametrize(
    "path",
    [
        "timestamp",
        "conditional_execution_approval_deadline",
        "request_uid",
        "user",
        "user.user_id",
        "occurrence",
        "occurrence.action",
        "occurrence.action.is_control",
        "trigger_context.events.0.key",
        "trigger_context.events.0.timestamp",
    ],
)
@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
def test_a_required_field_that_is_absent_or_null_is_refused_by_its_path(path: str, value: object) -> None:
    assert list(errors(body(path, value))) == [path]


NO_TEXT_ID = ["", 5, True, 1.5, None, [], {}, "a" * 257, "a\0b", "a\nb", "a\x7f"]
NO_LABEL = [1.0, True, [], {}, "a\0b", 10**30]
NO_FLAG = [0, 1, "true", "", []]
NO_MOMENT = [True, 1785240000123.0, "1785240000123", -1, 10**14, 2**63, 2**64 - 1, 10**30, [], {}]
NO_OBJECT = [[], "x", 1, True, [{}]]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[("request_uid", value) for value in NO_TEXT_ID],
        *[("user.user_id", value) for value in NO_TEXT_ID],
        *[("occurrence.series_id", value) for value in NO_LABEL],
        *[("occurrence.action.id", value) for value in NO_LABEL],
        *[("occurrence.tags.1", value) for value in [*NO_LABEL, None]],
        *[("occurrence.action.channels.0.template.name", [])],
        *[("is_hashed", value) for value in NO_FLAG],
        *[("user.is_visitor", value) for value in NO_FLAG],
        *[("occurrence.action.is_control", value) for value in NO_FLAG],
        *[("timestamp", value) for value in NO_MOMENT],
        *[("conditional_execution_approval_deadline", value) for value in NO_MOMENT],
        *[("trigger_context.events.0.timestamp", value) for value in NO_MOMENT],
        *[("user", value) for value in NO_OBJECT],
        *[("occurrence", value) for value in NO_OBJECT],
        *[("trigger_context", value) for value in NO_OBJECT],
        *[("user.personalization", value) for value in NO_OBJECT],
        *[("trigger_context.events.0.parameters", value) for value in NO_OBJECT],
        *[("occurrence.action.channels", value) for value in ["x", 1, {}]],
        *[("occurrence.action.channels.0", value) for value in [*NO_OBJECT, None]],
        *[("occurrence.action.promotions.1.code", value) for value in NO_LABEL],
        *[("user.personalization", {"ok": 1, "n": value}) for value in [[], {}, [1]]],
    ],
)
def test_a_wrong_field_is_refused_by_its_path(path: str, value: object) -> None:
    assert list(errors(body(path, value))) == [path]


def test_the_longest_id_is_accepted() -> None:
    assert len(load_triggered(body("request_uid", "a" * 256)).request_uid) == 256


def test_a_customer_id_is_kept_as_sent() -> None:
    assert load_triggered(body("user.user_id", " 007 ")).customer.customer_id == " 007 "


@pytest.mark.parametrize("path", ["timestamp", "conditional_execution_approval_deadline"])
def test_seconds_where_milliseconds_belong_are_refused_with_both_units_named(path: str) -> None:
    (told,) = errors(body(path, 1785240000))[path]
    assert "epoch milliseconds" in told
    assert "looks like seconds" in told


def test_milliseconds_where_seconds_belong_are_refused_with_both_units_named() -> None:
    path = "trigger_context.events.0.timestamp"
    (told,) = errors(body(path, 1785240000123))[path]
    assert "epoch seconds" in told
    assert "looks like milliseconds" in told


def test_all_wrong_fields_are_named_at_once() -> None:
    sent = json.loads(body("request_uid", 1))
    sent["user"]["user_id"] = 2
    assert list(errors(json.dumps(sent).encode())) == ["request_uid", "user.user_id"]


def test_a_refusal_never_grows_with_the_number_of_wrong_fields() -> None:
    assert len(errors(body("trigger_context.events", [{}] * 5000))) == 20


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"I love cupcakes",
        b'{"request_uid": "r-8f14"',
        b'{"request_uid": "\xff"}',
        b'{"request_uid": "\\ud800"}',
        b'{"timestamp": NaN}',
        b'{"timestamp": 1e999}',
        b"\xef\xbb\xbf{}",
        b"{}".decode().encode("utf-16"),
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 200_000,
        b"[]",
        b"null",
        b'"text"',
        b"12",
    ],
    ids=range(15),
)
def test_what_is_no_json_object_is_malformed(sent: bytes) -> None:
    refused = refusal(sent)
    assert (refused.status, refused.reason, refused.errors) == (HTTPStatus.BAD_REQUEST, "malformed", {})


def test_nesting_that_the_decoder_allows_is_worked() -> None:
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    sent = body("trigger_context.events.0.parameters", "HERE").replace(b'"HERE"', deep)
    assert load_triggered(sent).request_uid == "r-8f14"


def test_a_refusal_tells_no_value() -> None:
    sent = json.loads(body())
    sent["request_uid"] = {"canary": "canary-value"}
    sent["timestamp"] = "canary-value"
    sent["user"]["user_id"] = ["canary-value"]
    sent["user"]["personalization"] = {"canary": ["canary-value"]}
    sent["occurrence"]["tags"] = [{"canary": 1}]
    refused = refusal(json.dumps(sent).encode())
    assert "canary" not in f"{refused} {dict(refused.errors)}"
    assert "canary" not in str(refusal(b'{"canary": canary}'))
    assert refused.__cause__ is None
    assert refused.__context__ is None


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(
    st.sampled_from([*OPTIONAL, "user", "occurrence", "timestamp", "request_uid", "user.user_id"]), anything
)
def test_any_json_anywhere_gives_a_value_or_a_refusal(path: str, value: object) -> None:
    sent = body(path, value)
    try:
        loaded = load_triggered(sent)
    except Reject as refused:
        # json.dumps writes lone surrogates as escapes, which the decoder refuses as no text.
        assert refused.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}  # noqa: PT017
    else:
        assert loaded == reload_triggered(sent)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_refusal(sent: bytes) -> None:
    refusal(sent)
