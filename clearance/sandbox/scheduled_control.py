"""How is the sandbox told of groups? `/sandbox/send-groups` and `/sandbox/campaigns`: make, move, cancel, look.

Both flows have the same calls. Like the rest of the control they need no credentials: only this machine can reach them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from marshmallow import Schema
from yarl import URL

from clearance.sandbox import campaigns_events, scheduled_notifications, scheduled_report
from clearance.sandbox.answers import RefusedError, answering, load_with, reply
from clearance.sandbox.paging import load_page
from clearance.sandbox.scheduled_groups import Group, Groups
from clearance.sandbox.scheduled_plan import GroupPlan, MoveSchema, StreamFaults, StreamFaultsSchema
from clearance.sandbox.scheduled_telling import Teller
from clearance.sandbox.times import Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One of the two flows: where it is controlled, and which events its listeners get."""

    path: str
    schema: type[Schema]
    event_type: int
    cancelled_event_type: int | None


SEND_GROUPS = Flow(
    path="/sandbox/send-groups",
    schema=scheduled_notifications.SendGroupSchema,
    event_type=scheduled_notifications.EVENT_TYPE,
    cancelled_event_type=None,
)
CAMPAIGNS = Flow(
    path="/sandbox/campaigns",
    schema=campaigns_events.CampaignSchema,
    event_type=campaigns_events.EVENT_TYPE,
    cancelled_event_type=campaigns_events.CANCELLED_EVENT_TYPE,
)


class ScheduledControl:
    """Handlers of one flow's control; owns its groups. `url_by_event_type` are the registered listeners."""

    def __init__(
        self, *, flow: Flow, teller: Teller, url_by_event_type: Mapping[int, str], times: Times
    ) -> None:
        self.groups = Groups()
        self._flow = flow
        self._teller = teller
        self._url_by_event_type = url_by_event_type
        self._times = times

    def routes(self) -> list[web.RouteDef]:
        """The control's routes."""
        path = self._flow.path
        return [
            web.post(path, answering(self.create)),
            web.get(path + "/{id}", answering(self.get)),
            web.post(path + "/{id}/move", answering(self.move)),
            web.put(path + "/{id}/stream", answering(self.put_stream)),
            web.get(path + "/{id}/answers", answering(self.get_answers)),
            web.delete(path + "/{id}", answering(self.cancel)),
        ]

    def report(self) -> dict[str, dict[str, Any]]:
        """All groups' summaries by id."""
        return scheduled_report.summarise_all(self.groups, now_ms=self._times.wall_ms())

    async def create(self, request: web.Request) -> web.Response:
        """Make a group and send its heads-up: 202 with its id and deadline."""
        plan = load_with(self._flow.schema(), await request.read(), GroupPlan)
        if not self._targets(plan, self._flow.event_type):
            message = f"no listener of event type {self._flow.event_type} is registered: name a target"
            raise RefusedError("invalid", errors={"targets": [message]})
        return self._begin(self.groups.add(plan), plan.window_s)

    async def move(self, request: web.Request) -> web.Response:
        """Send the same group's heads-up with another deadline; a cancelled one comes back by this."""
        group = self.groups.get(request.match_info["id"])
        moved: dict[str, float] = load_with(MoveSchema(), await request.read(), dict)
        return self._begin(group, moved["window_s"])

    async def cancel(self, request: web.Request) -> web.Response:
        """Take no more approvals, and tell so where the flow can."""
        group = self.groups.get(request.match_info["id"])
        group.is_cancelled = True
        event_type = self._flow.cancelled_event_type
        if event_type is not None:
            self._teller.tell_cancelled(group, self._targets(group.plan, event_type), event_type)
        return await self.get(request)

    async def get(self, request: web.Request) -> web.Response:
        """One group's summary."""
        group = self.groups.get(request.match_info["id"])
        return reply(scheduled_report.summarise(group, now_ms=self._times.wall_ms()))

    async def put_stream(self, request: web.Request) -> web.Response:
        """Put faults of the customers' stream in force instead of the group's former ones."""
        group = self.groups.get(request.match_info["id"])
        group.faults = load_with(StreamFaultsSchema(), await request.read(), StreamFaults)
        return reply(asdict(group.faults))

    async def get_answers(self, request: web.Request) -> web.Response:
        """Customer by customer: `?offset=0&limit=1000`; `&attributes=1` adds what was served of each."""
        group = self.groups.get(request.match_info["id"])
        offset, limit = load_page(request)
        return reply(
            scheduled_report.page(
                group,
                offset=offset,
                limit=limit,
                with_attributes=request.query.get("attributes") == "1",
            )
        )

    def _begin(self, group: Group, window_s: float) -> web.Response:
        targets = self._targets(group.plan, self._flow.event_type)
        revision = group.begin_revision(now_ms=self._times.wall_ms(), window_s=window_s)
        self._teller.tell_heads_up(group, targets, self._flow.event_type)
        return reply({"id": group.group_id, "deadline_at_ms": revision.deadline_at_ms}, HTTPStatus.ACCEPTED)

    def _targets(self, plan: GroupPlan, event_type: int) -> tuple[URL, ...]:
        """The plan's, or the listener that is registered for the event; none without either."""
        if plan.targets is not None:
            return plan.targets
        registered = self._url_by_event_type.get(event_type)
        return () if registered is None else (URL(registered),)
