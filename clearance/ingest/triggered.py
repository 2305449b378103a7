"""What happens at `POST /webhooks/optimove/triggered`: a signed question is verified, validated and owed an answer.

In: the raw body and its signature. Out: what is to be committed. The order matters: nothing of a body is believed, or
even parsed, before its signature holds.
"""

from datetime import datetime, timedelta
from http import HTTPStatus

import structlog

from clearance.clock import Clock
from clearance.deadline import ClockSkew, Deadline, approval_deadline
from clearance.errors import Reject
from clearance.identifiers import new_id
from clearance.ledger.notifications import TRIGGERED, NewNotification
from clearance.obligations import Lane, MissedReason, Obligation, ObligationId
from clearance.optimove.signature import SignatureCheck
from clearance.optimove.triggered import TriggeredNotification, load_triggered
from clearance.telemetry import Metrics

log = structlog.get_logger()

ROUTE = "/webhooks/optimove/triggered"
TASK = "clearance.triggered.approve"
_SKEW_LOGGED_EVERY = timedelta(minutes=1)


class TriggeredIntake:
    """Turns a request into a `NewNotification`.

    Args:
        freshness: How far the signed timestamp may be from our clock, either way.
        timeout: The tenant's response timeout.
        send_margin: What the network needs; with less than this left, the notification is missed on arrival.
        hedge_after: When the guardian first looks whether a worker has it.
        skew_alert: A clock difference beyond this is logged.
    """

    def __init__(
        self,
        *,
        signatures: SignatureCheck,
        clock: Clock,
        metrics: Metrics,
        freshness: timedelta,
        timeout: timedelta,
        send_margin: timedelta,
        hedge_after: timedelta,
        skew_alert: timedelta,
    ) -> None:
        self._signatures = signatures
        self._clock = clock
        self._metrics = metrics
        self._freshness = freshness
        self._timeout = timeout
        self._send_margin = send_margin
        self._hedge_after = hedge_after
        self._skew_alert = skew_alert
        self._skew = ClockSkew()
        self._skew_logged_at: datetime | None = None

    def take(self, body: bytes, signature: str | None) -> NewNotification:
        """What to commit for this request.

        Raises:
            Reject: 401 wrong signature or not fresh, 400 malformed, 422 invalid.
        """
        self._signatures.verify(body, signature)
        notification = load_triggered(body)
        received_at = self._clock()
        if abs(received_at - notification.signed_at) > self._freshness:
            raise Reject(HTTPStatus.UNAUTHORIZED, "stale", "the signed timestamp is too far from our clock")
        offset = self._skew.observe(signed_at=notification.signed_at, received_at=received_at)
        self._watch_skew(offset, received_at)
        deadline_at = approval_deadline(
            vendor_deadline_at=notification.vendor_deadline_at,
            received_at=received_at,
            timeout=self._timeout,
            offset=offset,
        )
        return self._new(notification, body, received_at, deadline_at)

    def _new(
        self, notification: TriggeredNotification, body: bytes, received_at: datetime, deadline_at: datetime
    ) -> NewNotification:
        notification_id = new_id(received_at)
        is_past = Deadline(deadline_at, self._send_margin).remaining_s(received_at) <= 0
        return NewNotification(
            notification_id=notification_id,
            kind=TRIGGERED,
            vendor_id=notification.request_uid,
            customer_id=notification.customer.customer_id,
            received_at=received_at,
            signed_at=notification.signed_at,
            deadline_at=deadline_at,
            body=body,
            series_id=notification.campaign.series_id or None,
            occurrence_id=notification.campaign.occurrence_id or None,
            obligation=Obligation(
                obligation_id=ObligationId(f"triggered.approve:{notification_id}"),
                lane=Lane.TRIGGERED,
                task=TASK,
                subject=notification_id,
                created_at=received_at,
                run_at=received_at,
                deadline_at=deadline_at,
                publish_at=received_at + self._hedge_after,
                trace_id=notification_id,
                missed=MissedReason.PAST_ON_ARRIVAL if is_past else None,
            ),
        )

    def _watch_skew(self, offset: timedelta, now: datetime) -> None:
        self._metrics.gauge("clock_skew_seconds", -offset.total_seconds())
        if abs(offset) <= self._skew_alert:
            return
        if self._skew_logged_at is None or now - self._skew_logged_at >= _SKEW_LOGGED_EVERY:
            self._skew_logged_at = now
            log.warning("clock.skewed", vendor_ahead_s=round(-offset.total_seconds(), 3))
