"""Which events of the V1 listener `clearance.optimove.events` loads, and into what."""

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
from clearance.optimove.events import load_event
from clearance.optimove.heads_up import Cancellation, HeadsUp, Ignored
from clearance.optimove.site_time import SiteTime

NEW_YORK = SiteTime(ZoneInfo("America/New_York"))
ABSENT = object()
# As on the vendor's page.
CLEARANCE: dict[str, Any] = {
    "EventTypeID": 5,
    "TimeStamp": "2026-11-20 06:05:11",
    "CampaignID": 1359,
    "CampaignDuration": 7,
    "ClearanceRequiredBy": "2026-11-20 09:30:00",
}
CANCELLED = {"EventTypeID": 4, "TimeStamp": "2026-11-20 06:05:11", "CampaignID": 1359}


def load(event: dict[str, Any], **changes: object) -> HeadsUp | Cancellation | Ignored:
    sent = {name: value for name, value in (event | changes).items() if value is not ABSENT}
    return load_event(json.dumps(sent).encode(), NEW_YORK)


def refusal(sent: bytes) -> Reject:
    with pytest.raises(Reject) as caught:
        load_event(sent, NEW_YORK)
    assert "canary" not in f"{caught.value} {dict(caught.value.errors)}"
    return caught.value


def errors(event: dict[str, Any], **changes: object) -> list[str]:
    sent = {name: value for name, value in (event | changes).items() if value is not ABSENT}
    refused = refusal(json.dumps(sent).encode())
    assert (refused.status, refused.reason) == (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid")
    return list(refused.errors)


def test_type_5_asks_for_clearance_of_a_campaign() -> None:
    assert load(CLEARANCE) == HeadsUp(
        api="v1",
        vendor_id="1359",
        told_at=datetime(2026, 11, 20, 11, 5, 11, tzinfo=UTC),
        deadline_at=datetime(2026, 11, 20, 14, 30, tzinfo=UTC),
        campaign=Campaign(lane="campaign", occurrence_id="1359"),
        campaign_duration=7,
    )


def test_type_4_takes_a_campaign_back() -> None:
    told_at = datetime(2026, 11, 20, 11, 5, 11, tzinfo=UTC)
    assert load(CANCELLED) == Cancellation(vendor_id="1359", told_at=told_at)


@pytest.mark.parametrize("event_type", [0, 1, 2, 3, 6, 11, 13, 14, 18, 2**31 - 1])
@pytest.mark.parametrize("rest", [{}, {"TimeStamp": [], "CampaignID": {}, "ClearanceRequiredBy": 1}])
def test_any_other_type_is_ignored_whatever_else_it_holds(event_type: int, rest: dict[str, Any]) -> None:
    assert load(rest, EventTypeID=event_type) == Ignored(event_type=event_type)


@pytest.mark.parametrize(("sent", "expected"), [("5", HeadsUp), ("4", Cancellation), ("18", Ignored)])
def test_a_type_may_be_digits(sent: str, expected: type) -> None:
    assert type(load(CLEARANCE, EventTypeID=sent)) is expected


@pytest.mark.parametrize(
    "sent", [ABSENT, None, "", "five", "5.0", 5.0, True, -1, 2**31, [], {}, "٥", "9" * 5000]
)
def test_what_is_no_type_is_refused(sent: object) -> None:
    assert errors(CLEARANCE, EventTypeID=sent) == ["EventTypeID"]


@pytest.mark.parametrize(("sent", "expected"), [("C-7", "C-7"), ("007", "007"), (0, "0")])
@pytest.mark.parametrize("event", [CLEARANCE, CANCELLED], ids=["clearance", "cancelled"])
def test_a_campaigns_id_may_be_text(event: dict[str, Any], sent: object, expected: str) -> None:
    loaded = load(event, CampaignID=sent)
    assert not isinstance(loaded, Ignored)
    assert loaded.vendor_id == expected


@pytest.mark.parametrize("sent", [ABSENT, None, "", 1.5, True, -1, [], "a" * 257, "canary\0"])
@pytest.mark.parametrize("event", [CLEARANCE, CANCELLED], ids=["clearance", "cancelled"])
def test_without_a_campaign_nothing_can_be_done(event: dict[str, Any], sent: object) -> None:
    assert errors(event, CampaignID=sent) == ["CampaignID"]


@pytest.mark.parametrize("sent", [ABSENT, None, "", "canary", 1785240000, "2026-11-31 00:00:00"])
def test_a_time_that_is_missing_or_wrong_is_refused(sent: object) -> None:
    assert errors(CLEARANCE, ClearanceRequiredBy=sent) == ["ClearanceRequiredBy"]
    assert errors(CLEARANCE, TimeStamp=sent) == ["TimeStamp"]
    assert errors(CANCELLED, TimeStamp=sent) == ["TimeStamp"]


@pytest.mark.parametrize("sent", [ABSENT, None])
def test_a_duration_may_be_absent_or_null(sent: object) -> None:
    loaded = load(CLEARANCE, CampaignDuration=sent)
    assert isinstance(loaded, HeadsUp)
    assert loaded.campaign_duration is None


@pytest.mark.parametrize("sent", ["7", -1, 1.5, True, 2**31])
def test_a_wrong_duration_is_refused(sent: object) -> None:
    assert errors(CLEARANCE, CampaignDuration=sent) == ["CampaignDuration"]


@pytest.mark.parametrize("event", [CLEARANCE, CANCELLED], ids=["clearance", "cancelled"])
def test_fields_that_we_do_not_know_are_ignored(event: dict[str, Any]) -> None:
    assert load(event, SomethingNew={"a": [1]}) == load(event)


def test_an_arrival_settles_the_hour_while_the_clock_is_put_back() -> None:
    sent = CLEARANCE | {"TimeStamp": "2026-11-01 01:10:00", "ClearanceRequiredBy": "2026-11-01 01:50:00"}
    received_at = datetime(2026, 11, 1, 6, 10, 1, tzinfo=UTC)
    loaded = load_event(json.dumps(sent).encode(), NEW_YORK, received_at=received_at)
    assert isinstance(loaded, HeadsUp)
    assert loaded.told_at == datetime(2026, 11, 1, 6, 10, tzinfo=UTC)
    assert loaded.deadline_at == datetime(2026, 11, 1, 6, 50, tzinfo=UTC)


@pytest.mark.parametrize("sent", [b"", b"[]", b'"canary"', b"[" * 100_000, b'{"EventTypeID": NaN}', b"\xff"])
def test_what_is_no_json_object_is_malformed(sent: bytes) -> None:
    refused = refusal(sent)
    assert (refused.status, refused.reason) == (HTTPStatus.BAD_REQUEST, "malformed")


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


@given(st.sampled_from(sorted(CLEARANCE)), anything, st.sampled_from([CLEARANCE, CANCELLED]))
def test_any_json_anywhere_gives_a_value_or_a_refusal(
    name: str, value: object, event: dict[str, Any]
) -> None:
    try:
        load(event, **{name: value})
    except Reject as refused:
        assert refused.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}  # noqa: PT017  # either end is fine
