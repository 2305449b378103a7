"""The routes for scheduled campaigns: what is heard, what is owed at once, and what is only noted."""

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from structlog.typing import EventDict

from clearance.ingest.openapi import openapi_document
from clearance.ingest.scheduled import EVENTS_ROUTE, SEND_GROUPS_ROUTE
from clearance.ledger import tables
from clearance.ledger.group_commit import GroupCommit
from clearance.obligations import State
from tests.fakes.asgi import Answer, call
from tests.fakes.clock import START
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.owed import HEDGE_AFTER
from tests.unit.ingest.conftest import ETA_WINDOW, MARGIN, SITE, STOP_MARGIN, TOKEN, Door
from tests.unit.ingest.told import GOOD, HOUR, SECOND, event, send_group, told_of


def _published(door: Door) -> list[str]:
    return [due.task.removeprefix("clearance.groups.") for due in door.published.due]


# What is heard


def test_a_heads_up_is_committed_its_fetch_is_published_and_it_is_acknowledged(
    door: Door, route: str
) -> None:
    answer = door.tell(route, GOOD[route])

    assert answer.status == 202
    (group,) = door.rows(tables.groups)
    assert answer.json == {"accepted": True, "id": group.id, "duplicate": False}
    assert (group.state, group.revision, group.generation) == ("open", 1, 1)
    assert (group.told_at, group.deadline_at, group.created_at) == (START, START + HOUR, START)
    assert group.submit_at == START + HOUR - MARGIN
    assert group.hard_stop_at == START + HOUR - STOP_MARGIN
    owed = {row.task.removeprefix("clearance.groups."): row for row in door.rows(tables.obligations)}
    assert set(owed) == {"fetch", "submit", "close"}
    (due,) = door.published.due
    assert (due.obligation_id, due.task, due.lane) == (owed["fetch"].id, owed["fetch"].task, "submit")
    assert (due.deadline_at, due.eta, due.attempts) == (group.hard_stop_at, None, 0)
    assert owed["fetch"].publish_at == START + HEDGE_AFTER
    assert owed["submit"].publish_at == group.submit_at - ETA_WINDOW
    assert door.metrics.counted("requests_accepted_total", route=route) == 1
    assert len(door.metrics.observed("http_request_seconds", route=route, status=202)) == 1


def test_a_send_group_is_planned_by_its_deadline_and_its_customers(door: Door) -> None:
    door.tell(SEND_GROUPS_ROUTE, send_group())

    assert door.planned == [(START + HOUR, 2500)]
    (group,) = door.rows(tables.groups)
    assert (group.api, group.vendor_id, group.occurrence_id, group.series_id) == ("v2", "123", "222", "111")
    assert (group.order_number, group.total_groups) == (1, 3)
    assert (group.expected_customers, group.unique_customers) == (2500, 7000)
    campaign = orjson.loads(group.campaign)
    assert (campaign["lane"], campaign["send_group_id"]) == ("send_group", "123")
    assert campaign["channel_name"] == "Email"


def test_a_campaign_is_planned_by_its_deadline_alone(door: Door) -> None:
    door.change(scheduled=door.scheduled("v1"))
    door.tell(EVENTS_ROUTE, event())

    assert door.planned == [(START + HOUR, None)]
    (group,) = door.rows(tables.groups)
    assert (group.api, group.vendor_id, group.occurrence_id) == ("v1", "1359", "1359")
    assert orjson.loads(group.campaign)["lane"] == "campaign"


def test_the_same_heads_up_again_is_acknowledged_and_changes_nothing(door: Door, route: str) -> None:
    first = door.tell(route, GOOD[route])
    door.clock.advance(1)

    again = door.tell(route, told_of(route, told_at=START + SECOND))

    assert (again.status, again.json) == (
        202,
        {"accepted": True, "id": first.json["id"], "duplicate": True},
    )
    assert len(door.rows(tables.obligations)) == 3
    assert _published(door) == ["fetch"]
    assert door.metrics.counted("requests_duplicate_total", route=route) == 1
    assert door.metrics.counted("requests_accepted_total", route=route) == 2


def test_a_moved_deadline_is_a_new_revision_of_the_same_group(door: Door, route: str) -> None:
    first = door.tell(route, GOOD[route])
    door.clock.advance(60)

    moved = door.tell(route, told_of(route, told_at=door.clock(), deadline_at=START + 2 * HOUR))

    assert (moved.status, moved.json) == (202, first.json)
    (group,) = door.rows(tables.groups)
    assert (group.revision, group.generation, group.deadline_at) == (2, 1, START + 2 * HOUR)
    assert _published(door) == ["fetch"]  # what is fetched already is not fetched again
    assert door.metrics.counted("requests_duplicate_total", route=route) == 0


def test_what_was_told_earlier_and_comes_later_is_a_repeat(door: Door, route: str) -> None:
    door.tell(route, told_of(route, told_at=START, deadline_at=START + 2 * HOUR))

    stale = door.tell(route, told_of(route, told_at=START - SECOND, deadline_at=START + HOUR))

    assert (stale.status, stale.json["duplicate"]) == (202, True)
    (group,) = door.rows(tables.groups)
    assert (group.revision, group.deadline_at) == (1, START + 2 * HOUR)


def test_a_heads_up_that_comes_after_its_time_to_submit_has_that_published_at_once(
    door: Door, route: str
) -> None:
    door.tell(route, told_of(route, deadline_at=START + MARGIN / 2))

    assert _published(door) == ["fetch", "submit"]


def test_one_whose_deadline_is_over_is_acknowledged_recorded_as_missed_and_told_with_how_late(
    door: Door, route: str, log_events: list[EventDict]
) -> None:
    late = told_of(route, told_at=START - 2 * HOUR, deadline_at=START - timedelta(seconds=90))

    first, again = door.tell(route, late), door.tell(route, late)

    (group,) = door.rows(tables.groups)
    assert (first.status, first.json) == (202, {"accepted": True, "id": group.id, "duplicate": False})
    assert again.json == {"accepted": True, "id": group.id, "duplicate": True}
    assert group.state == "missed"
    assert door.rows(tables.obligations) == door.published.due == []
    assert door.metrics.counted("notifications_expired_total", route=route) == 1
    (told,) = log_events
    assert (told["event"], told["log_level"]) == ("group.missed", "error")
    assert (told["group"], told["reason"], told["late_s"]) == (group.id, "PAST_ON_ARRIVAL", 90.0)


def test_an_open_group_whose_new_deadline_is_over_has_its_books_closed_at_once(
    door: Door, route: str
) -> None:
    door.tell(route, GOOD[route])
    door.clock.advance(60)

    moved = told_of(route, told_at=door.clock(), deadline_at=START + timedelta(seconds=30))
    assert door.tell(route, moved).status == 202

    assert _published(door) == ["fetch", "close"]
    assert door.metrics.counted("notifications_expired_total", route=route) == 1


def test_when_the_site_puts_its_clock_back_a_heads_up_was_sent_about_when_it_came(
    door: Door, route: str
) -> None:
    door.clock.now = datetime(2026, 10, 25, 1, 30, 1, tzinfo=UTC)  # 02:30 in Berlin for the second time
    told_at = door.clock() - SECOND

    door.tell(route, told_of(route, told_at=told_at, deadline_at=told_at + timedelta(minutes=20)))

    (group,) = door.rows(tables.groups)
    assert (group.told_at, group.deadline_at) == (told_at, told_at + timedelta(minutes=20))


@pytest.mark.parametrize("year", [1969, 1970, 9998])
def test_no_deadline_is_too_far_away_to_be_answered(door: Door, route: str, year: int) -> None:
    payload = orjson.dumps(told_of(route)).replace(
        SITE.dump(START + HOUR).encode(), f"{year}-12-31 23:59:59".encode()
    )

    assert door.tell(route, payload).status == (422 if year < 1970 else 202)


def test_many_heads_ups_at_once_are_all_answered_and_each_group_is_fetched_once(
    door: Door, route: str
) -> None:
    commits = GroupCommit(door.ledger, RecordingMetrics())
    door.commits.submit = commits.submit  # type: ignore[method-assign]  # the real one, with its batches
    name = "group" if route == SEND_GROUPS_ROUTE else "campaign"
    bodies = [orjson.dumps(told_of(route, **{name: number % 10})) for number in range(60)]
    query = f"token={TOKEN}".encode()

    async def all_at_once() -> list[Answer]:
        app = door.app
        return await asyncio.gather(
            *(call(app, "POST", route, query=query, chunks=(body,)) for body in bodies)
        )

    answers = asyncio.run(all_at_once())
    commits.close()

    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["id"] for answer in answers}) == len(door.rows(tables.groups)) == 10
    assert sum(answer.json["duplicate"] for answer in answers) == 50
    assert _published(door) == ["fetch"] * 10


# V1: cancelled, and what is only noted


def test_a_cancelled_campaign_owes_nothing_any_more(door: Door) -> None:
    door.change(scheduled=door.scheduled("v1"))
    heard = door.tell(EVENTS_ROUTE, event(5))
    door.clock.advance(10)

    cancelled = door.tell(EVENTS_ROUTE, event(4, told_at=door.clock()))
    again = door.tell(EVENTS_ROUTE, event(4, told_at=door.clock()))

    assert (cancelled.status, cancelled.json) == (202, heard.json)
    assert again.json == heard.json | {"duplicate": True}
    (group,) = door.rows(tables.groups)
    assert group.state == "cancelled"
    assert {row.state for row in door.rows(tables.obligations)} == {State.CANCELLED}
    assert _published(door) == ["fetch"]
    assert door.metrics.counted("requests_duplicate_total", route=EVENTS_ROUTE) == 1


def test_a_campaign_that_was_cancelled_before_it_was_announced_is_not_begun(door: Door) -> None:
    door.change(scheduled=door.scheduled("v1"))
    cancelled = door.tell(EVENTS_ROUTE, event(4, told_at=START))

    heard = door.tell(EVENTS_ROUTE, event(5, told_at=START - SECOND))

    assert heard.json == {"accepted": True, "id": cancelled.json["id"], "duplicate": True}
    assert door.rows(tables.obligations) == door.published.due == []


@pytest.mark.parametrize("event_type", [1, 7, 18])
def test_an_event_of_another_type_is_acknowledged_as_ignored_counted_and_listed(
    door: Door, event_type: int, log_events: list[EventDict]
) -> None:
    door.change(scheduled=door.scheduled("v1"))
    body = orjson.dumps({"EventTypeID": event_type, "Whatever": ["private"]})

    answer = door.tell(EVENTS_ROUTE, body)

    (kept,) = door.rows(tables.rejections)
    assert answer.status == 202
    assert answer.json == {"accepted": True, "id": kept.id, "duplicate": False, "ignored": True}
    assert (kept.route, kept.status, kept.reason) == (EVENTS_ROUTE, 202, "ignored")
    assert (kept.detail, kept.body_bytes, kept.at) == (f"event type {event_type}", len(body), START)
    assert door.rows(tables.groups) == door.rows(tables.obligations) == []
    assert door.metrics.counted("notifications_ignored_total", route=EVENTS_ROUTE) == 1
    assert door.metrics.counted("requests_accepted_total", route=EVENTS_ROUTE) == 1
    assert [event["event"] for event in log_events] == ["event.ignored"]


# Trouble of our own


def test_without_a_ledger_nothing_is_acknowledged(
    door: Door, route: str, log_events: list[EventDict]
) -> None:
    door.commits.away = 1

    answer = door.tell(route, GOOD[route])

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "503" in openapi_document()["paths"][route]["post"]["responses"]
    assert door.rows(tables.groups) == door.published.due == []
    assert door.metrics.counted("requests_refused_total", route=route, reason="ledger_unavailable") == 1
    assert door.metrics.counted("requests_accepted_total", route=route) == 0
    assert [event["event"] for event in log_events] == ["ledger.unavailable"]


def test_a_sender_that_repeats_what_was_not_acknowledged_is_served(door: Door, route: str) -> None:
    door.commits.unconfirmed = 1  # written, but the commit was not confirmed

    assert door.tell(route, GOOD[route]).status == 503
    again = door.tell(route, GOOD[route])

    assert (again.status, again.json["duplicate"]) == (202, True)
    assert len(door.rows(tables.groups)) == 1
