"""What do the rules say of these customers, when everybody who has a say has been asked?

In: a campaign, customers, and the moment until which checks may take their time. Out: a decision for each customer, and
what the outside checks answered. Nothing raises: a check that cannot answer says so by its verdict.

The expressions of a policy are evaluated by the engine; its other checks are asked here, all at once. A check with
`ask_when = "others_approve"` is asked last, and only about customers whom nothing else refuses: an activation is not
done for somebody who will not get the campaign.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from clearance.decisions.decision import APPROVED, Campaign, Customer, Decision, Verdict
from clearance.decisions.engine import Engine
from clearance.decisions.rules import AskWhen, CelCheck, HttpCheck

AtOnce = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an outside check is asked.

    Attributes:
        ends_at: Aware UTC; an answer after it is of no use.
        occasion: Names what the question is about, so that the same question asked again is recognised: a request's
            uid, a send group and its revision.
    """

    campaign: Campaign
    customers: Sequence[Customer]
    ends_at: datetime
    occasion: str


class AsksOutside(Protocol):
    """A check that asks somebody."""

    def ask(self, question: Question) -> Sequence[Verdict]:
        """One verdict a customer, in their order. Never raises, and ends by `ends_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A decision, and what the outside checks said, by check id."""

    decision: Decision
    answers: Mapping[str, Verdict] = field(default_factory=dict)


class Judge:
    """One set of rules with everybody it asks.

    Args:
        asks_by_check: Who is asked, for each check of the rules that is no expression.
        at_once: `map`, or a thread pool's `map`: how several checks are asked.
    """

    def __init__(
        self, engine: Engine, asks_by_check: Mapping[str, AsksOutside], *, at_once: AtOnce = map
    ) -> None:
        self.engine = engine
        self._asks_by_check = asks_by_check
        self._at_once = at_once

    def asks_somebody(self, campaign: Campaign) -> bool:
        """Whether a decision about this campaign depends on more than the customer: it may differ when repeated."""
        return bool(self._outside(campaign))

    def judge(
        self, campaign: Campaign, customers: Sequence[Customer], *, ends_at: datetime, occasion: str
    ) -> list[Judged]:
        """One judgement a customer, in their order."""
        outside = self._outside(campaign)
        if not outside or not customers:
            return [Judged(decision=decision) for decision in self.engine.decide_many(campaign, customers)]
        question = Question(campaign=campaign, customers=customers, ends_at=ends_at, occasion=occasion)
        last = [check_id for check_id in outside if self._is_asked_last(check_id)]
        answers = self._asked([check_id for check_id in outside if check_id not in last], question)
        if last:
            return self._judged_with_last(last, question, answers)
        return _judged(self.engine.decide_many(campaign, customers, answers), answers)

    def _outside(self, campaign: Campaign) -> list[str]:
        policy = self.engine.policy_for(campaign)
        if isinstance(policy, Decision):
            return []
        check_by_id = self.engine.rules.check_by_id
        return [each for each in policy.checks if not isinstance(check_by_id[each], CelCheck)]

    def _is_asked_last(self, check_id: str) -> bool:
        check = self.engine.rules.check_by_id[check_id]
        return isinstance(check, HttpCheck) and check.ask_when is AskWhen.OTHERS_APPROVE

    def _asked(self, check_ids: Sequence[str], question: Question) -> list[dict[str, Verdict]]:
        """What each check says of each customer, by customer."""

        def ask(check_id: str) -> Sequence[Verdict]:
            return self._asks_by_check[check_id].ask(question)

        verdicts = list(self._at_once(ask, check_ids)) if len(check_ids) > 1 else list(map(ask, check_ids))
        return [
            {check_id: of_check[position] for check_id, of_check in zip(check_ids, verdicts, strict=True)}
            for position in range(len(question.customers))
        ]

    def _judged_with_last(
        self, last: Sequence[str], question: Question, answers: Sequence[dict[str, Verdict]]
    ) -> list[Judged]:
        campaign, customers = question.campaign, question.customers
        supposed = [{**answer, **dict.fromkeys(last, APPROVED)} for answer in answers]
        judged = _judged(self.engine.decide_many(campaign, customers, supposed), answers)
        left = [position for position, each in enumerate(judged) if each.decision.approved]
        if not left:
            return judged
        narrowed = replace(question, customers=[customers[position] for position in left])
        complete = [
            {**answers[position], **more}
            for position, more in zip(left, self._asked(last, narrowed), strict=True)
        ]
        decisions = self.engine.decide_many(campaign, narrowed.customers, complete)
        for position, each in zip(left, _judged(decisions, complete), strict=True):
            judged[position] = each
        return judged


def _judged(decisions: Sequence[Decision], answers: Sequence[Mapping[str, Verdict]]) -> list[Judged]:
    return [
        Judged(decision=decision, answers=answer) for decision, answer in zip(decisions, answers, strict=True)
    ]
