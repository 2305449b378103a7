"""Times are told as the site's clock shows them, and what is no longer so is not repeated."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from yarl import URL

from clearance.sandbox.campaigns_events import CampaignSchema
from clearance.sandbox.scheduled_groups import Group
from clearance.sandbox.scheduled_plan import GroupPlan
from clearance.sandbox.scheduled_telling import Teller, site_time
from tests.unit.sandbox.harness import ManualTimes

TARGET = URL("http://127.0.0.1:8080/hook")


@pytest.mark.parametrize(
    ("at", "zone", "text"),
    [
        ("2026-11-20 09:30:00", "UTC", "2026-11-20 09:30:00"),
        ("2026-10-25 00:30:00", "Europe/Berlin", "2026-10-25 02:30:00"),
        ("2026-10-25 01:30:00", "Europe/Berlin", "2026-10-25 02:30:00"),
        ("2026-03-29 00:59:59", "Europe/Berlin", "2026-03-29 01:59:59"),
        ("2026-03-29 01:00:00", "Europe/Berlin", "2026-03-29 03:00:00"),
    ],
)
def test_a_time_is_the_sites_wall_clock_even_in_the_hour_that_happens_twice(
    at: str, zone: str, text: str
) -> None:
    at_ms = round(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    assert site_time(at_ms + 999, ZoneInfo(zone)) == text


class _Deaf:
    """Acknowledges nothing; after its first request, something happens to the group."""

    def __init__(self) -> None:
        self.event_types: list[int] = []
        self.heard = asyncio.Event()

    async def post(self, url: URL, body: bytes, headers: Mapping[str, str]) -> int | None:
        self.event_types.append(4 if b'"EventTypeID":4' in body else 5)
        self.heard.set()
        return None


def _group() -> Group:
    settings = {"customers": 1, "window_s": 5, "targets": [str(TARGET)], "retries": 3}
    plan = CampaignSchema().load(settings)
    assert isinstance(plan, GroupPlan)
    group = Group(1, plan)
    group.begin_revision(now_ms=0, window_s=5)
    return group


async def _tell_and(group: Group, change: str) -> list[int]:
    deaf = _Deaf()
    teller = Teller(deaf.post, ManualTimes().times())
    teller.tell_heads_up(group, [TARGET], 5)
    await deaf.heard.wait()
    if change == "move":
        group.begin_revision(now_ms=0, window_s=50)
    elif change == "cancel":
        group.is_cancelled = True
        teller.tell_cancelled(group, [TARGET], 4)
    while not all(each.is_done for revision in group.revisions for each in revision.deliveries):
        await asyncio.sleep(0)
    return deaf.event_types


@pytest.mark.parametrize(
    ("change", "event_types"), [("none", [5] * 4), ("move", [5]), ("cancel", [5] + [4] * 4)]
)
def test_a_heads_up_is_not_repeated_after_a_move_or_a_cancellation(
    change: str, event_types: list[int]
) -> None:
    assert asyncio.run(_tell_and(_group(), change)) == event_types


def test_the_stop_waits_until_nothing_is_being_told_any_more() -> None:
    seen: list[str] = []

    async def post(url: URL, body: bytes, headers: Mapping[str, str]) -> int | None:
        try:
            seen.append("told")
            await asyncio.Event().wait()
        finally:
            seen.append("ended")
        return None

    async def run() -> list[str]:
        teller = Teller(post, ManualTimes().times())
        teller.tell_heads_up(_group(), [TARGET], 5)
        await asyncio.sleep(0)
        await teller.stop()
        return list(seen)

    assert asyncio.run(run()) == ["told", "ended"]
