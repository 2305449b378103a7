"""Which bodies `clearance.optimove.send_groups` loads, and into what."""

import copy
import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.decisions.decision import Campaign
from clearance.errors import Reject
from clearance.optimove.heads_up import HeadsUp
from clearance.optimove.send_groups import load_send_group
from clearance.optimove.site_time import SiteTime

BERLIN = SiteTime(ZoneInfo("Europe/Berlin"))
# Every field of the vendor's page, each with a value of its own.
PAYLOAD: dict[str, Any] = {
    "timestamp": "2026-11-20 08:45:00",
    "send_group": {
        "id": 123,
        "approval_deadline": "2026-11-20 09:45:00",
        "order": 2,
        "number_of_customers": 2500,
    },
    "occurrence": {
        "id": 222,
        "series_id": 111,
        "campaign_duration": 7,
        "total_send_groups_with_conditional": 3,
        "number_of_unique_customers": 2400,
        "notes": "campaign notes",
        "tags": ["tag1", "tag2"],
        "action": {
            "id": 576,
            "channel": {
                "id": 345,
                "name": "mail",
                "brand_id": "b1",
                "template": {"id": "t9", "name": "hello"},
            },
        },
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


def load(sent: bytes, received_at: datetime | None = None) -> HeadsUp:
    return load_send_group(sent, BERLIN, received_at=received_at)


def refusal(sent: bytes) -> Reject:
    with pytest.raises(Reject) as caught:
        load(sent)
    return caught.value


def errors(sent: bytes) -> dict[str, Any]:
    refused = refusal(sent)
    assert (refused.status, refused.reason) == (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid")
    return dict(refused.errors)


def test_every_field_of_a_whole_heads_up_is_in_its_place() -> None:
    assert load(body()) == HeadsUp(
        api="v2",
        vendor_id="123",
        told_at=datetime(2026, 11, 20, 7, 45, tzinfo=UTC),
        deadline_at=datetime(2026, 11, 20, 8, 45, tzinfo=UTC),
        campaign=Campaign(
            lane="send_group",
            series_id="111",
            occurrence_id="222",
            send_group_id="123",
            action_id="576",
            channel_id="345",
            channel_name="mail",
            brand_id="b1",
            template_id="t9",
            template_name="hello",
            tags=("tag1", "tag2"),
        ),
        order=2,
        total_groups=3,
        expected_customers=2500,
        unique_customers=2400,
        campaign_duration=7,
    )


def test_a_heads_up_with_required_fields_only_has_empty_parts() -> None:
    least = {
        "timestamp": "2026-11-20 08:45:00",
        "send_group": {"id": "g", "approval_deadline": "2026-11-20 09:45:00"},
        "occurrence": {"id": "o", "action": {}},
    }
    loaded = load(json.dumps(least).encode())
    assert loaded.campaign == Campaign(lane="send_group", occurrence_id="o", send_group_id="g")
    assert (loaded.order, loaded.total_groups, loaded.expected_customers) == (None, None, None)
    assert (loaded.unique_customers, loaded.campaign_duration) == (None, None)


OPTIONAL = [
    "send_group.order",
    "send_group.number_of_customers",
    "occurrence.series_id",
    "occurrence.campaign_duration",
    "occurrence.total_send_groups_with_conditional",
    "occurrence.number_of_unique_customers",
    "occurrence.notes",
    "occurrence.tags",
    "occurrence.action.id",
    "occurrence.action.channel",
    "occurrence.action.channel.id",
    "occurrence.action.channel.brand_id",
    "occurrence.action.channel.template",
    "occurrence.action.channel.template.name",
]
REQUIRED = [
    "timestamp",
    "send_group",
    "send_group.id",
    "send_group.approval_deadline",
    "occurrence",
    "occurrence.id",
    "occurrence.action",
]


@pytest.mark.parametrize("path", OPTIONAL)
@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
def test_an_optional_part_may_be_absent_or_null(path: str, value: object) -> None:
    assert load(body(path, value)).vendor_id == "123"


@pytest.mark.parametrize("path", REQUIRED)
@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
def test_a_required_field_that_is_absent_or_null_is_refused_by_its_path(path: str, value: object) -> None:
    assert list(errors(body(path, value))) == [path]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("send_group.id", "send_group_id"),
        ("occurrence.id", "occurrence_id"),
        ("occurrence.series_id", "series_id"),
        ("occurrence.action.id", "action_id"),
        ("occurrence.action.channel.id", "channel_id"),
        ("occurrence.action.channel.template.id", "template_id"),
    ],
)
@pytest.mark.parametrize(("sent", "expected"), [(0, "0"), (7, "7"), ("007", "007"), (" C1 ", " C1 ")])
def test_an_id_may_be_a_number_or_text_and_text_is_kept_as_sent(
    path: str, field: str, sent: object, expected: str
) -> None:
    assert getattr(load(body(path, sent)).campaign, field) == expected


NO_MOMENT = ["YYYY-MM-DD HH:MM:SS", "", "2026-11-20", "2026-02-30 00:00:00", 1785240000, 1.5, True, [], {}]
NO_ID = ["", -1, 1.5, True, [], {}, "a" * 257, "a\0b", "a\nb", 10**30]
NO_COUNT = [-1, 2**31, 10**30, 1.0, "3", True, [], {}]
NO_LABEL = [1.0, True, [], {}, "a\0b", 10**30]
NO_OBJECT = [[], "x", 1, True, [{}]]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[("timestamp", value) for value in NO_MOMENT],
        *[("send_group.approval_deadline", value) for value in NO_MOMENT],
        *[("send_group.id", value) for value in NO_ID],
        *[("occurrence.id", value) for value in NO_ID],
        *[("occurrence.series_id", value) for value in NO_ID],
        *[("send_group.order", value) for value in NO_COUNT],
        *[("send_group.number_of_customers", value) for value in NO_COUNT],
        *[("occurrence.campaign_duration", value) for value in NO_COUNT],
        *[("occurrence.total_send_groups_with_conditional", value) for value in NO_COUNT],
        *[("occurrence.number_of_unique_customers", value) for value in NO_COUNT],
        *[("occurrence.notes", value) for value in NO_LABEL],
        *[("occurrence.tags.1", value) for value in [*NO_LABEL, None]],
        *[("occurrence.tags", value) for value in ["x", 1, {}]],
        *[("occurrence.action.id", value) for value in NO_LABEL],
        *[("occurrence.action.channel.brand_id", value) for value in NO_LABEL],
        *[("occurrence.action.channel.template.name", value) for value in NO_LABEL],
        *[("send_group", value) for value in NO_OBJECT],
        *[("occurrence", value) for value in NO_OBJECT],
        *[("occurrence.action", value) for value in NO_OBJECT],
        *[("occurrence.action.channel", value) for value in NO_OBJECT],
        *[("occurrence.action.channel.template", value) for value in NO_OBJECT],
    ],
)
def test_a_wrong_field_is_refused_by_its_path(path: str, value: object) -> None:
    assert list(errors(body(path, value))) == [path]


@pytest.mark.parametrize(
    "path", ["something_new", "send_group.something_new", "occurrence.action.something_new"]
)
def test_fields_that_we_do_not_know_are_ignored(path: str) -> None:
    assert load(body(path, {"a": [1, None]})) == load(body())


def test_the_greatest_counts_and_the_longest_id_are_accepted() -> None:
    assert load(body("send_group.number_of_customers", 2**31 - 1)).expected_customers == 2**31 - 1
    assert len(load(body("send_group.id", "a" * 256)).vendor_id) == 256


def test_all_wrong_fields_are_named_at_once() -> None:
    sent = json.loads(body("timestamp", 1))
    sent["send_group"]["id"] = None
    sent["occurrence"]["action"]["channel"]["template"]["id"] = []
    assert list(errors(json.dumps(sent).encode())) == [
        "timestamp",
        "send_group.id",
        "occurrence.action.channel.template.id",
    ]


def test_a_refusal_never_grows_with_the_number_of_wrong_fields() -> None:
    assert len(errors(body("occurrence.tags", [[]] * 5000))) == 20


# The clock of the site is put back from 03:00 to 02:00 at 01:00 UTC.


def autumn(told: str, deadline: str, received_at: datetime | None) -> tuple[str, str]:
    sent = json.loads(body("timestamp", told))
    sent["send_group"]["approval_deadline"] = deadline
    loaded = load(json.dumps(sent).encode(), received_at)
    return f"{loaded.told_at:%H:%M}", f"{loaded.deadline_at:%H:%M}"


@pytest.mark.parametrize(
    ("told", "deadline", "received", "expected"),
    [
        ("02:10", "02:50", None, ("00:10", "00:50")),
        ("02:10", "02:50", (0, 10), ("00:10", "00:50")),
        ("02:10", "02:50", (1, 11), ("01:10", "01:50")),  # the earlier deadline was over when it was told
        ("02:50", "02:10", (0, 50), ("00:50", "01:10")),
        ("02:50", "02:10", (1, 50), ("01:50", "00:10")),  # late by any reading
        ("01:30", "02:30", (0, 0), ("23:30", "00:30")),  # in doubt: the earlier one
    ],
)
def test_while_the_clock_is_put_back_the_arrival_and_the_order_of_things_settle_the_hour(
    told: str, deadline: str, received: tuple[int, int] | None, expected: tuple[str, str]
) -> None:
    received_at = None if received is None else datetime(2026, 10, 25, *received, tzinfo=UTC)
    assert autumn(f"2026-10-25 {told}:00", f"2026-10-25 {deadline}:00", received_at) == expected


def test_where_nothing_is_in_doubt_the_arrival_changes_nothing() -> None:
    assert load(body(), datetime(2030, 1, 1, tzinfo=UTC)) == load(body())


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"I love cupcakes",
        b'{"send_group": "\xff"}',
        b'{"send_group": "\\ud800"}',
        b'{"timestamp": NaN}',
        b'{"timestamp": 1e999}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 200_000,
        b"[]",
        b"null",
        b'"text"',
        b"12",
    ],
    ids=range(12),
)
def test_what_is_no_json_object_is_malformed(sent: bytes) -> None:
    refused = refusal(sent)
    assert (refused.status, refused.reason, refused.errors) == (HTTPStatus.BAD_REQUEST, "malformed", {})


def test_a_refusal_tells_no_value() -> None:
    sent = json.loads(body())
    sent["timestamp"] = "canary-value"
    sent["send_group"] = {"id": {"canary": 1}, "approval_deadline": "canary", "order": "canary"}
    sent["occurrence"]["tags"] = [{"canary": 1}]
    refused = refusal(json.dumps(sent).encode())
    assert "canary" not in f"{refused} {dict(refused.errors)}"
    assert refused.__cause__ is None
    assert refused.__context__ is None


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(st.sampled_from([*OPTIONAL, *REQUIRED]), anything)
def test_any_json_anywhere_gives_a_value_or_a_refusal(path: str, value: object) -> None:
    try:
        loaded = load(body(path, value))
    except Reject as refused:
        assert refused.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}  # noqa: PT017  # either end is fine
    else:
        assert loaded.deadline_at.tzinfo is UTC


@given(st.binary(max_size=300))
def test_any_bytes_give_a_refusal(sent: bytes) -> None:
    refusal(sent)
