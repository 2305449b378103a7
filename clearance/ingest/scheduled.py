"""What happens at the two routes for scheduled campaigns: a heads-up is validated, planned, and heard by the ledger.

`POST /webhooks/optimove/send-groups` takes V2 send groups, `POST /webhooks/optimove/events` the events of V1. A site
has one of the two: the other's route refuses with 409. In: a body, the query, and the header `Authorization`. Out:
what is to be committed. Nothing of a body is looked at before the token was right.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus

import structlog

from clearance.clock import Clock
from clearance.decisions.decision import Campaign
from clearance.errors import Reject
from clearance.identifiers import new_id
from clearance.ingest.listener_token import ListenerToken
from clearance.ledger.groups import Heard, NewCancellation, NewHeadsUp
from clearance.obligations import MissedReason
from clearance.optimove.events import load_event
from clearance.optimove.heads_up import CAMPAIGN_LANE, Api, Cancellation, HeadsUp, Ignored
from clearance.optimove.send_groups import load_send_group
from clearance.optimove.site_time import SiteTime
from clearance.schedule import Schedule
from clearance.telemetry import Metrics

log = structlog.get_logger()

SEND_GROUPS_ROUTE = "/webhooks/optimove/send-groups"
EVENTS_ROUTE = "/webhooks/optimove/events"

Plan = Callable[[datetime, int | None], Schedule]
"""When the approvals of a group must leave: from its deadline, and how many customers it is said to have."""


class ScheduledIntake:
    """Turns a request into what the ledger is to hear, and tells what came of it.

    Args:
        api: The one that is in force at this site.
        hedge_after: When the guardian first looks whether a worker has what was owed at once.
        eta_window: How long before its time the guardian hands a submission over.
    """

    def __init__(
        self,
        *,
        api: Api,
        token: ListenerToken,
        site_time: SiteTime,
        plan: Plan,
        clock: Clock,
        metrics: Metrics,
        hedge_after: timedelta,
        eta_window: timedelta,
    ) -> None:
        self._api = api
        self._token = token
        self._site_time = site_time
        self._plan = plan
        self._clock = clock
        self._metrics = metrics
        self._hedge_after = hedge_after
        self._eta_window = eta_window

    def take_send_group(self, body: bytes, query: bytes, authorization: str | None) -> NewHeadsUp:
        """What to commit for a heads-up of V2.

        Raises:
            Reject: 401 no token or a wrong one, 409 the site has V1, 400 malformed, 422 invalid.
        """
        self._admit("v2", query, authorization)
        received_at = self._clock()
        told = load_send_group(body, self._site_time, received_at=received_at)
        return self._new_heads_up(told, received_at)

    def take_event(
        self, body: bytes, query: bytes, authorization: str | None
    ) -> NewHeadsUp | NewCancellation | Ignored:
        """What to commit for an event of V1; `Ignored` when there is nothing to do.

        Raises:
            Reject: 401 no token or a wrong one, 409 the site has V2, 400 malformed, 422 invalid.
        """
        self._admit("v1", query, authorization)
        received_at = self._clock()
        told = load_event(body, self._site_time, received_at=received_at)
        if isinstance(told, HeadsUp):
            return self._new_heads_up(told, received_at)
        if isinstance(told, Cancellation):
            return _new_cancellation(told, received_at)
        return told

    def tell(self, route: str, heard: Heard) -> None:
        """Count and log what came of it. A repeat was told when it came first."""
        if heard.is_duplicate:
            return
        if heard.late_s is None:
            log.info(
                "group.heard", group=heard.group_id, revision=heard.revision, cause=str(heard.cause or "")
            )
            return
        self._metrics.count("notifications_expired_total", route=route)
        log.error(
            "group.missed",
            group=heard.group_id,
            revision=heard.revision,
            reason=str(MissedReason.PAST_ON_ARRIVAL),
            late_s=round(heard.late_s, 3),
        )

    def _admit(self, api: Api, query: bytes, authorization: str | None) -> None:
        self._token.verify(query, authorization)
        if api != self._api:
            told = f"this site has the scheduled API {self._api}, and this route is for {api}"
            raise Reject(HTTPStatus.CONFLICT, "other_api", told)

    def _new_heads_up(self, told: HeadsUp, received_at: datetime) -> NewHeadsUp:
        the_id = new_id(received_at)
        return NewHeadsUp(
            group_id=the_id,
            heads_up=told,
            schedule=self._plan(told.deadline_at, told.expected_customers),
            received_at=received_at,
            hedge_after=self._hedge_after,
            eta_window=self._eta_window,
            trace_id=the_id,
        )


def _new_cancellation(told: Cancellation, received_at: datetime) -> NewCancellation:
    the_id = new_id(received_at)
    return NewCancellation(
        group_id=the_id,
        api="v1",
        vendor_id=told.vendor_id,
        told_at=told.told_at,
        received_at=received_at,
        campaign=Campaign(lane=CAMPAIGN_LANE, occurrence_id=told.vendor_id),
        trace_id=the_id,
    )
