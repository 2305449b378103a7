"""What becomes of a request that leads to nothing: counted, logged, and kept without its content, so that someone can
find out why. It was refused; or it was acknowledged and asks nothing of us.

A flood of them must not become a load on the ledger: beyond so many a second they are counted and logged only.
"""

from http import HTTPStatus
from time import monotonic

import structlog

from clearance.clock import Clock
from clearance.errors import LedgerUnavailable, Reject
from clearance.identifiers import new_id
from clearance.ledger import rejections
from clearance.ledger.group_commit import GroupCommit
from clearance.telemetry import Metrics

log = structlog.get_logger()

IGNORED = "ignored"
_KEPT_A_SECOND = 50
_DETAIL_CHARS = 500


class Refusals:
    """The book of refused and ignored requests.

    Args:
        kept: How many the ledger keeps; the oldest make room.
    """

    def __init__(self, *, commits: GroupCommit, metrics: Metrics, clock: Clock, kept: int) -> None:
        self._commits = commits
        self._metrics = metrics
        self._clock = clock
        self._kept = kept
        self._second = 0
        self._in_second = 0

    def note(self, *, route: str, reject: Reject, body_bytes: int) -> None:
        """Count, log and keep; returns at once."""
        self._metrics.count("requests_refused_total", route=route, reason=reject.reason)
        fields = ", ".join(reject.errors)
        log.warning(
            "request.refused", route=route, status=reject.status.value, reason=reject.reason, fields=fields
        )
        self._keep(route, reject.status, reject.reason, str(reject), body_bytes)

    def note_unavailable(self, *, route: str, error: LedgerUnavailable) -> None:
        """Count and log one that the ledger could not keep, and so not list either."""
        self._metrics.count("requests_refused_total", route=route, reason="ledger_unavailable")
        log.error("ledger.unavailable", route=route, error=str(error))

    def note_disconnected(self, *, route: str) -> None:
        """Count one whose sender has gone before it was whole."""
        self._metrics.count("requests_refused_total", route=route, reason="disconnected")

    def note_ignored(self, *, route: str, event_type: int, body_bytes: int) -> str:
        """The same for an event of a type that means nothing to us; the id under which it is kept."""
        self._metrics.count("notifications_ignored_total", route=route)
        log.info("event.ignored", route=route, event_type=event_type)
        return self._keep(route, HTTPStatus.ACCEPTED, IGNORED, f"event type {event_type}", body_bytes)

    def _keep(self, route: str, status: HTTPStatus, reason: str, detail: str, body_bytes: int) -> str:
        now = self._clock()
        item = rejections.Rejection(
            rejection_id=new_id(now),
            at=now,
            route=route,
            status=status.value,
            reason=reason,
            detail=detail[:_DETAIL_CHARS],
            body_bytes=body_bytes,
        )
        if self._may_keep():
            self._commits.submit(rejections.record_many, (item, self._kept))
        return item.rejection_id

    def _may_keep(self) -> bool:
        second = int(monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second <= _KEPT_A_SECOND
