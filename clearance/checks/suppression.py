"""Is the customer on a list of those who must not get it? One look into the ledger for all customers of a question.

A ledger that is away, or slower than the question allows, is no reason to approve: there is no `on_error` here, since
who asked to be left alone must be, whatever is down.
"""

from collections.abc import Sequence
from concurrent.futures import TimeoutError as TookTooLong

import structlog

from clearance.checks.judge import Question
from clearance.clock import Clock
from clearance.decisions.decision import APPROVED, Verdict
from clearance.decisions.rules import SuppressionCheck
from clearance.errors import LedgerUnavailable
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.suppressions import Lookup, find_many
from clearance.telemetry import Metrics

log = structlog.get_logger()


class SuppressionAsks:
    """One `suppression` check: `clearance.checks.judge.AsksOutside`."""

    def __init__(
        self, check: SuppressionCheck, *, commits: GroupCommit, clock: Clock, metrics: Metrics
    ) -> None:
        self._check = check
        self._commits = commits
        self._clock = clock
        self._metrics = metrics
        self._suppressed = Verdict(approved=False, reasons=(check.reason,))
        self._failed = Verdict(approved=False, reasons=(f"CHECK_FAILED:{check.id}",))

    def ask(self, question: Question) -> Sequence[Verdict]:
        """One verdict a customer, in their order: not approved is who stands on the list now."""
        if not question.customers:
            return []
        now = self._clock()
        lookup = Lookup(
            list_name=self._check.list_name,
            customer_ids=tuple(customer.customer_id for customer in question.customers),
            now=now,
        )
        asked = self._commits.submit(find_many, lookup)
        try:
            suppressed = asked.result(timeout=max(0.0, (question.ends_at - now).total_seconds()))
        except TookTooLong:
            asked.cancel()
            return self._no_answer(question, "timeout")
        except LedgerUnavailable:
            return self._no_answer(question, "ledger")
        except Exception as error:  # noqa: BLE001 - a check never raises: what it cannot answer is not approved
            log.error("suppression.failed", check=self._check.id, error=type(error).__name__)
            return self._no_answer(question, "bug")
        return [
            self._suppressed if customer.customer_id in suppressed else APPROVED
            for customer in question.customers
        ]

    def _no_answer(self, question: Question, why: str) -> list[Verdict]:
        self._metrics.count("check_failures_total", check=self._check.id, why=why)
        return [self._failed] * len(question.customers)
