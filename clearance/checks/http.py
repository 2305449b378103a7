"""What does an internal system say of these customers? One `http` check, asked in batches.

In: a question. Out: a verdict a customer, in their order; nothing raises. A batch that has no answer is as `on_error`
says, and `http_calls` says when that is. But who is left out of an answer was not approved, whatever `on_error` says.

Logs and metrics hold the check's id: no address, no customer, nothing that was answered.
"""

from collections.abc import Sequence

import structlog

from clearance.checks.http_calls import HttpCalls, Unanswered
from clearance.checks.http_protocol import Answers, Row, TypedAttributes, request_for
from clearance.checks.judge import AtOnce, Question
from clearance.decisions.decision import APPROVED, Customer, Verdict
from clearance.decisions.rules import HttpCheck, Otherwise
from clearance.telemetry import Metrics

log = structlog.get_logger()


class HttpAsks:
    """One `http` check as a judge asks it. Threads share it.

    Args:
        check: With its URL and headers resolved.
        at_once: How the batches of one question are asked: `map`, or that of a pool in which no question waits (a
            question that holds a thread while its batches wait for one may never end).
    """

    def __init__(
        self,
        check: HttpCheck,
        typed_attributes: TypedAttributes,
        calls: HttpCalls,
        *,
        metrics: Metrics,
        at_once: AtOnce = map,
    ) -> None:
        self._check = check
        self._typed_attributes = typed_attributes
        self._calls = calls
        self._metrics = metrics
        self._at_once = at_once
        self._failed = Verdict(
            approved=check.on_error is Otherwise.APPROVE, reasons=(f"CHECK_FAILED:{check.id}",)
        )
        self._left_out = Verdict(approved=False, reasons=(f"NO_ANSWER:{check.id}",))

    def ask(self, question: Question) -> Sequence[Verdict]:
        """See `judge.AsksOutside`."""
        try:
            verdict_by_customer = self._ask_all(question)
            return [verdict_by_customer[each.customer_id] for each in question.customers]
        except Exception:  # noqa: BLE001 - a bug in here must not cost a decision
            self._note_bug()
            return [self._failed] * len(question.customers)

    def _ask_all(self, question: Question) -> dict[str, Verdict]:
        # Each once, as first told; sorted, so that the same customers make the same batches and keys when repeated.
        customer_by_id = {each.customer_id: each for each in reversed(question.customers)}
        customers = [customer_by_id[customer_id] for customer_id in sorted(customer_by_id)]
        size = self._check.batch
        batches = [customers[start : start + size] for start in range(0, len(customers), size)]

        def ask(batch: Sequence[Customer]) -> dict[str, Verdict]:
            return self._ask_batch(question, batch)

        answered = self._at_once(ask, batches) if len(batches) > 1 else map(ask, batches)
        return {customer_id: verdict for batch in answered for customer_id, verdict in batch.items()}

    def _ask_batch(self, question: Question, customers: Sequence[Customer]) -> dict[str, Verdict]:
        asked = [each.customer_id for each in customers]
        try:
            request = request_for(self._check, question, customers, self._typed_attributes)
            answers = self._calls.answers(request, frozenset(asked), ends_at=question.ends_at)
        except Unanswered as unanswered:
            self._note_failure(unanswered)
            return dict.fromkeys(asked, self._failed)
        except Exception:  # noqa: BLE001 - one batch's bug must not cost the others their answers
            self._note_bug()
            return dict.fromkeys(asked, self._failed)
        self._note_oddities(answers)
        return {each: self._verdict(answers.row_by_customer.get(each)) for each in asked}

    def _verdict(self, row: Row | None) -> Verdict:
        if row is None:
            return self._left_out
        if row.approved is None:
            return self._failed
        if row.approved:
            return APPROVED
        reason = self._check.reason
        return Verdict(approved=False, reasons=(f"{reason}:{row.code}" if row.code else reason,))

    def _note_failure(self, unanswered: Unanswered) -> None:
        self._metrics.count("check_failures_total", check=self._check.id, why=unanswered.why)
        # An open breaker said so when it opened; now it would say it with every batch.
        if unanswered.why != "breaker_open":
            log.warning("check.failed", check=self._check.id, why=unanswered.why, status=unanswered.status)

    def _note_bug(self) -> None:
        self._metrics.count("check_failures_total", check=self._check.id, why="bug")
        log.exception("check.failed_on_a_bug", check=self._check.id)

    def _note_oddities(self, answers: Answers) -> None:
        unreadable = sum(row.approved is None for row in answers.row_by_customer.values())
        if unreadable:
            self._metrics.count("check_failures_total", check=self._check.id, why="malformed")
            log.warning("check.answered_nonsense", check=self._check.id, rows=unreadable)
        if answers.ignored:
            self._metrics.count("check_answers_ignored_total", answers.ignored, check=self._check.id)
            log.warning("check.answered_unasked", check=self._check.id, rows=answers.ignored)
