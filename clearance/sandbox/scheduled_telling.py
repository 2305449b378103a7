"""How does a group's heads-up get to its targets? One POST each, repeated until one is acknowledged or none is left.

Times in the body have no zone: they are the site's. What is no longer so is not repeated: an old deadline after a
new one, or a heads-up after a cancellation.
Source: vendor page, "If Optimove fails to deliver the notification, it will retry up to 3 times".
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from yarl import URL

from clearance.sandbox.scheduled_groups import Delivery, Group
from clearance.sandbox.times import Times
from clearance.sandbox.traffic import Post


class Teller:
    """Sends notifications in the background, through `post`."""

    def __init__(self, post: Post, times: Times) -> None:
        self._post = post
        self._times = times
        self._tasks: set[asyncio.Task[None]] = set()

    def tell_heads_up(self, group: Group, targets: Iterable[URL], event_type: int) -> None:
        """Send the heads-up of the revision in force, as often as the plan says."""
        body = group.plan.facts.heads_up(
            group.group_id,
            timestamp=site_time(group.revision.told_at_ms, group.plan.time_zone),
            deadline=site_time(group.revision.deadline_at_ms, group.plan.time_zone),
            count=group.plan.count_told,
        )
        copies = [target for target in targets for _ in range(group.plan.copies)]
        revision = group.revision
        self._tell(
            group,
            copies,
            event_type,
            body,
            is_news=lambda: group.revision is revision and not group.is_cancelled,
        )

    def tell_cancelled(self, group: Group, targets: Iterable[URL], event_type: int) -> None:
        """Send that the group is cancelled, if its flow can say so."""
        timestamp = site_time(self._times.wall_ms(), group.plan.time_zone)
        body = group.plan.facts.cancelled(group.group_id, timestamp=timestamp)
        if body is not None:
            self._tell(group, targets, event_type, body, is_news=lambda: group.is_cancelled)

    async def stop(self) -> None:
        """Send nothing more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(
        self,
        group: Group,
        targets: Iterable[URL],
        event_type: int,
        body: bytes,
        *,
        is_news: Callable[[], bool],
    ) -> None:
        for target in targets:
            delivery = Delivery(target=str(target.with_query(None)), event_type=event_type)
            group.revision.deliveries.append(delivery)
            task = asyncio.create_task(self._deliver(group, delivery, target, body, is_news))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(
        self, group: Group, delivery: Delivery, target: URL, body: bytes, is_news: Callable[[], bool]
    ) -> None:
        for attempt in range(group.plan.retries + 1):
            if attempt:
                await self._times.sleep(group.plan.retry_after_s)
            if not is_news():
                break
            status = await self._post(target, body, {})
            delivery.statuses.append(status)
            if status is not None and 200 <= status < 300:
                break
        delivery.is_done = True


def site_time(at_ms: int, zone: ZoneInfo) -> str:
    """A time as the vendor writes it: the site's wall clock, whole seconds, without a zone."""
    return datetime.fromtimestamp(at_ms // 1000, tz=zone).strftime("%Y-%m-%d %H:%M:%S")
