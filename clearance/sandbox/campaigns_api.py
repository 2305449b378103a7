"""The scheduled API, V1: the customers of a processed campaign by the page, and which of them get it.

Both are calls of the old API, looked up by path as the others are.
Source: facts sheet, "GetProcessedCampaignCustomers" (a page has at most 10,000 rows whatever is asked for, an empty one
is `[]`), "UpdateCustomerPromotionStatus" (at most 10,000 a call; 200, no body).
"""

from datetime import datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from clearance.sandbox.answers import RefusedError, load_object
from clearance.sandbox.campaigns_events import CampaignFacts
from clearance.sandbox.gate import Gate
from clearance.sandbox.limits import Group as ApiGroup
from clearance.sandbox.paging import load_number
from clearance.sandbox.scheduled_api import load_answers, split
from clearance.sandbox.scheduled_groups import Groups
from clearance.sandbox.scheduled_stream import respond
from clearance.sandbox.times import Times

PAGE_MAX = 10_000
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


class CampaignsApi:
    """Handlers of the V1 calls. Approvals are taken by this clock, on arrival."""

    def __init__(self, *, campaigns: Groups, times: Times) -> None:
        self._campaigns = campaigns
        self._times = times

    def handler_by_call(self, gate: Gate) -> dict[str, dict[str, Handler]]:
        """The handlers behind the gate, as `legacy.dispatch` takes them."""
        return {
            "customers/getprocessedcampaigncustomers": {
                "GET": gate.guard(ApiGroup.CUSTOMERS, self.get_customers)
            },
            "integrations/updatecustomerpromotionstatus": {
                "POST": gate.guard(ApiGroup.INTEGRATIONS, self.update_status)
            },
        }

    async def get_customers(self, request: web.Request) -> web.Response:
        """GetProcessedCampaignCustomers: one page."""
        campaign = self._campaigns.get(request.query.get("CampaignID", ""))
        facts = campaign.plan.facts
        if not isinstance(facts, CampaignFacts):
            raise TypeError(f"not a campaign's facts: {type(facts).__name__}")
        top = load_number(request, "$top")
        rows = campaign.customers.campaign_rows(
            split(request.query.get("CustomerAttributes", ""), ";"),
            skip=load_number(request, "$skip") or 0,
            top=PAGE_MAX if top is None else min(top, PAGE_MAX),
            action_id=facts.action_id,
            attributes_field=facts.attributes_field,
        )
        return respond(request, campaign, rows, sleep=self._times.sleep)

    async def update_status(self, request: web.Request) -> web.Response:
        """UpdateCustomerPromotionStatus: 200, no payload, also for what is late or unknown."""
        body = await request.read()
        read_at_ms = self._times.wall_ms()
        sent = load_object(body)
        _check_time(sent.get("TimeStamp"))
        campaign = self._campaigns.get(str(sent.get("CampaignID")))
        given = load_answers(sent.get("PromosUpdated"), "CustomerID", "Status")
        campaign.take(given, read_at_ms=read_at_ms)
        return web.Response()


def _check_time(text: object) -> None:
    try:
        datetime.strptime(text if isinstance(text, str) else "", _TIME_FORMAT)  # noqa: DTZ007 - it has no zone
    except ValueError:
        raise RefusedError("invalid", errors={"TimeStamp": ["must be YYYY-MM-DD HH:MM:SS"]}) from None
