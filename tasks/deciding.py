"""What is the answer to one notification, and is it recorded where that must come first?

In: a notification and its last moment. Out: a decision with what it was made from. The checks that ask somebody are
done a while before the last moment, so that the approval can still leave.

A decision from expressions alone is the same whoever makes it, and is recorded together with the approval, afterwards.
One that somebody else had a say in may come out differently the next time: it is recorded before anything is sent, and
of two workers that decide at once the first one's decision is sent by both.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from clearance.checks.judge import Judge
from clearance.clock import Clock
from clearance.decisions.decision import Decision
from clearance.decisions.inputs import digest_of, inputs_of
from clearance.ledger.decisions import NewDecision, stand_many
from clearance.ledger.group_commit import GroupCommit
from clearance.optimove.triggered import TriggeredNotification
from clearance.telemetry import Metrics

log = structlog.get_logger()


class Decides(Protocol):
    """Who answers notifications: `NotificationDecider`, or a fake."""

    def decide(
        self, notification: TriggeredNotification, *, subject: str, last_moment: datetime
    ) -> NewDecision:
        """The decision about `subject`, a notification's id. Raises `LedgerUnavailable`."""


class NotificationDecider:
    """Asks the rules in force.

    Args:
        judge: The rules in force and whom they ask; looked up for each notification.
        reserve: What must be left before the last moment when the checks are done.
    """

    def __init__(
        self,
        *,
        judge: Callable[[], Judge],
        commits: GroupCommit,
        clock: Clock,
        metrics: Metrics,
        reserve: timedelta,
    ) -> None:
        self._judge = judge
        self._commits = commits
        self._clock = clock
        self._metrics = metrics
        self._reserve = reserve

    def decide(
        self, notification: TriggeredNotification, *, subject: str, last_moment: datetime
    ) -> NewDecision:
        """See `Decides.decide`.

        Raises:
            LedgerUnavailable: A decision that must be recorded first could not be: nothing may be sent for it.
        """
        judge, campaign, customer = self._judge(), notification.campaign, notification.customer
        (judged,) = judge.judge(
            campaign, [customer], ends_at=last_moment - self._reserve, occasion=notification.request_uid
        )
        inputs = inputs_of(campaign, customer, judged.answers)
        made = NewDecision(
            subject=subject,
            customer_id=customer.customer_id,
            decision=judged.decision,
            inputs_digest=digest_of(inputs),
            inputs=inputs if judge.engine.rules.record_inputs else None,
            decided_at=self._clock(),
        )
        self._count(campaign.lane, judged.decision)
        if not judged.answers:
            return made
        standing: Future[Decision] = self._commits.submit(stand_many, made)
        # What it was made from is kept by now.
        return replace(made, decision=standing.result(), inputs=None)

    def _count(self, lane: str, decision: Decision) -> None:
        answer = "approved" if decision.approved else "rejected"
        self._metrics.count("decisions_total", lane=lane, answer=answer)
        for reason in decision.reasons:
            # What follows the colon is an attribute, a check or another system's word: too many for a label.
            self._metrics.count("decision_reasons_total", lane=lane, reason=reason.partition(":")[0])
        log.info("customer.decided", answer=answer, reasons=decision.reasons, rules=decision.rules_version)
