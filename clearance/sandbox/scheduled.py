"""What is the scheduled half of the sandbox? Both flows, V2 send groups and V1 campaigns, side by side.

A site runs one of them; the sandbox offers both, so that a test may send what the product must refuse.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from clearance.sandbox.campaigns_api import CampaignsApi
from clearance.sandbox.gate import Gate
from clearance.sandbox.scheduled_api import ScheduledApi
from clearance.sandbox.scheduled_control import CAMPAIGNS, SEND_GROUPS, ScheduledControl
from clearance.sandbox.scheduled_telling import Teller
from clearance.sandbox.times import Times


class Scheduled:
    """The wiring of both flows. `url_by_event_type` are the registered listeners."""

    def __init__(self, *, teller: Teller, url_by_event_type: Mapping[int, str], times: Times) -> None:
        self._teller = teller
        self._send_groups, self._campaigns = (
            ScheduledControl(flow=flow, teller=teller, url_by_event_type=url_by_event_type, times=times)
            for flow in (SEND_GROUPS, CAMPAIGNS)
        )
        self._send_groups_api = ScheduledApi(groups=self._send_groups.groups, times=times)
        self._campaigns_api = CampaignsApi(campaigns=self._campaigns.groups, times=times)

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        """The control's routes, and those of the V2 calls behind the gate."""
        return [
            *self._send_groups.routes(),
            *self._campaigns.routes(),
            *self._send_groups_api.routes(gate),
        ]

    def handler_by_call(self, gate: Gate) -> dict[str, dict[str, Handler]]:
        """The V1 calls behind the gate, as `legacy.dispatch` takes them."""
        return self._campaigns_api.handler_by_call(gate)

    def report(self) -> dict[str, Any]:
        """What the report adds, by flow and id."""
        return {"send_groups": self._send_groups.report(), "campaigns": self._campaigns.report()}

    async def stop(self) -> None:
        """Tell nobody anything more."""
        await self._teller.stop()

    def reset(self) -> None:
        """Forget all groups and campaigns."""
        self._send_groups.groups.clear()
        self._campaigns.groups.clear()
