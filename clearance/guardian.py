"""Who sees to it that nothing is forgotten: a few looks a second at what the ledger says is due, overdue or abandoned.

In: the ledger. Out: messages on the broker, and obligations marked missed. It keeps nothing that another would need:
any number may run, and one that is killed leaves nothing behind. A ledger that is down is waited for; a broker that is
down has its obligations put back, and they come up again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from clearance.clock import Clock
from clearance.errors import BrokerUnavailable, LedgerUnavailable
from clearance.ledger import due as due_in_ledger
from clearance.ledger.engine import Ledger
from clearance.obligations import Due
from clearance.publishing import Publish
from clearance.telemetry import Metrics

log = structlog.get_logger()

# At five looks a second: 1,000 publications a second at the most, so that a backlog is not multiplied.
_MOST_PUBLISHED = 200
_MOST_MISSED = 500
_PUT_BACK_FOR = timedelta(milliseconds=500)
# Longer than a worker takes to find the ledger again. To record a miss this much later costs nothing.
_HOLDERS_FIRST = timedelta(seconds=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found."""

    published: int
    missed: int


class Guardian:
    """One look at a time; the process around it decides how often."""

    def __init__(
        self, *, ledger: Ledger, publish: Publish, metrics: Metrics, clock: Clock, hedge_after: timedelta
    ) -> None:
        self._ledger = ledger
        self._publish = publish
        self._metrics = metrics
        self._clock = clock
        self._hedge_after = hedge_after
        self._was_away = False
        self._miss_from: datetime | None = None

    def look(self) -> Look:
        """Mark missed what is past its deadline, then publish what is due.

        While the ledger is away nobody can renew a lease or record an answer, so for a moment after it is back
        nothing is marked missed: whoever holds an obligation tells first what became of it.

        Raises:
            LedgerUnavailable: Look again later; nothing is lost.
        """
        try:
            return Look(missed=self._miss_overdue(), published=self._publish_due())
        except LedgerUnavailable:
            self._was_away = True
            raise

    def _miss_overdue(self) -> int:
        now = self._clock()
        with self._ledger.read() as connection:
            is_any_overdue = due_in_ledger.is_any_overdue(connection, now)
        if self._was_away:
            self._was_away, self._miss_from = False, now + _HOLDERS_FIRST
        if not is_any_overdue or (self._miss_from is not None and now < self._miss_from):
            return 0
        with self._ledger.write() as connection:
            overdue = due_in_ledger.take_overdue(connection, now, _MOST_MISSED)
        for item in overdue:
            self._metrics.count("obligations_missed_total", lane=item.lane, reason=item.reason)
            self._metrics.count("guardian_missed_total", lane=item.lane)
            log.error(
                "obligation.missed",
                obligation=item.obligation_id,
                reason=item.reason,
                late_s=round(item.late_s, 3),
                trace_id=item.trace_id,
            )
        return len(overdue)

    def _publish_due(self) -> int:
        now = self._clock()
        with self._ledger.read() as connection:
            if not due_in_ledger.is_any_due(connection, now):
                return 0
        with self._ledger.write() as connection:
            due = due_in_ledger.take_due(connection, now, _MOST_PUBLISHED, self._hedge_after)
        if not due:
            return 0
        try:
            self._publish(due)
        except BrokerUnavailable as error:
            self._put_back(due)
            log.warning("guardian.publish_failed", obligations=len(due), error=str(error))
            return 0
        for item in due:
            self._metrics.count("guardian_published_total", lane=item.lane, why=item.why)
        log.info("guardian.published", obligations=len(due))
        return len(due)

    def _put_back(self, due: Sequence[Due]) -> None:
        with self._ledger.write() as connection:
            due_in_ledger.put_back(
                connection, [item.obligation_id for item in due], self._clock() + _PUT_BACK_FOR
            )
