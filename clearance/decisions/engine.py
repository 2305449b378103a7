"""Who is approved by these rules, and why?

In: a campaign, customers, and what the outside checks answered about them. Out: a decision for each. Pure and total:
the same input gives the same decision, and no input raises. Approved is only whom every check of the policy approves;
what is missing, malformed, failed or was not asked has a reason of its own.

The first policy that applies is used. One that cannot tell whether it applies refuses: a laxer one further down must
not be reached by mistake.
"""

from collections.abc import Mapping, Sequence

from clearance.decisions.cel_checks import CelChecks, CompiledCheck
from clearance.decisions.decision import Campaign, Customer, Decision, Verdict
from clearance.decisions.expressions import (
    CHECK_VARIABLES,
    POLICY_VARIABLES,
    Condition,
    Kind,
    compile_condition,
)
from clearance.decisions.rules import (
    CelCheck,
    HttpCheck,
    Otherwise,
    OutsideCheck,
    Policy,
    PythonCheck,
    Rules,
)
from clearance.decisions.values import Unusable, convert

_NO_ANSWERS: Mapping[str, Verdict] = {}


class Engine:
    """One set of rules, compiled."""

    def __init__(self, rules: Rules) -> None:
        """Compile everything, so that nothing is found wrong later.

        Raises:
            ExpressionError: An expression cannot be used; rules that were loaded have none.
        """
        self.rules = rules
        kind_by_name: dict[str, Kind] = {**rules.kind_by_attribute, **CHECK_VARIABLES}
        self._compiled_by_id = {
            check.id: CompiledCheck(check, kind_by_name)
            for check in rules.check_by_id.values()
            if isinstance(check, CelCheck)
        }
        self._applies_by_policy = {
            policy.id: compile_condition(policy.applies, POLICY_VARIABLES) for policy in rules.policies
        }
        self._cel_by_policy = {
            policy.id: CelChecks(
                [self._compiled_by_id[each] for each in policy.checks if each in self._compiled_by_id],
                kind_by_name,
            )
            for policy in rules.policies
        }
        self._outside_by_policy = {
            policy.id: [
                check
                for check in (rules.check_by_id[each] for each in policy.checks)
                if not isinstance(check, CelCheck)
            ]
            for policy in rules.policies
        }

    def policy_for(self, campaign: Campaign) -> Policy | Decision:
        """The policy that decides about this campaign, or what is decided when none can."""
        for policy in self.rules.policies:
            applies = _applies(self._applies_by_policy[policy.id], campaign)
            if applies is None:
                return self._decision(approved=False, reasons=(f"ERROR:{policy.id}",))
            if applies:
                return policy
        return self._decision(approved=self.rules.no_policy is Otherwise.APPROVE, reasons=("NO_POLICY",))

    def decide(
        self, campaign: Campaign, customer: Customer, answers: Mapping[str, Verdict] = _NO_ANSWERS
    ) -> Decision:
        """The decision about one customer; `answers` are what the outside checks said, by check id."""
        return self.decide_many(campaign, [customer], [answers])[0]

    def decide_many(
        self,
        campaign: Campaign,
        customers: Sequence[Customer],
        answers: Sequence[Mapping[str, Verdict]] | None = None,
    ) -> list[Decision]:
        """One decision a customer, in their order; `answers` likewise, one mapping a customer."""
        policy = self.policy_for(campaign)
        if isinstance(policy, Decision):
            return [policy] * len(customers)
        verdicts = self._cel_by_policy[policy.id].verdicts(campaign, customers)
        outside = self._outside_by_policy[policy.id]
        if not outside:
            return self._alone(policy, verdicts)
        told = [_NO_ANSWERS] * len(customers) if answers is None else answers
        return [
            self._together(policy, verdict, [_answer(check, answer) for check in outside])
            for verdict, answer in zip(verdicts, told, strict=True)
        ]

    def typed_attributes(self, customer: Customer) -> dict[str, object]:
        """The declared attributes that the customer has, each of its kind; without what is malformed."""
        kinds = self.rules.kind_by_attribute.items()
        converted = {name: convert(customer.attributes.get(name), kind) for name, kind in kinds}
        return {name: value for name, value in converted.items() if not isinstance(value, Unusable)}

    def attributes_of(self, policy: Policy) -> tuple[str, ...]:
        """The declared attributes that a decision of this policy may depend on, in the order of declaration."""
        used: set[str] = set()
        for check_id in policy.checks:
            used.update(self._attributes_of(check_id))
        return tuple(name for name in self.rules.kind_by_attribute if name in used)

    def _attributes_of(self, check_id: str) -> Sequence[str]:
        check = self.rules.check_by_id[check_id]
        if isinstance(check, CelCheck):
            return self._compiled_by_id[check_id].names
        if isinstance(check, HttpCheck) and check.attributes is not None:
            return check.attributes
        return tuple(self.rules.kind_by_attribute) if isinstance(check, HttpCheck | PythonCheck) else ()

    def _alone(self, policy: Policy, verdicts: Sequence[Verdict]) -> list[Decision]:
        # Many customers share a verdict. To look it up by value would cost as much as to decide again.
        verdict_by_identity = {id(verdict): verdict for verdict in verdicts}
        decision_by_identity = {
            identity: self._together(policy, verdict, ()) for identity, verdict in verdict_by_identity.items()
        }
        return [decision_by_identity[id(verdict)] for verdict in verdicts]

    def _together(self, policy: Policy, verdict: Verdict, answers: Sequence[Verdict]) -> Decision:
        each = [verdict, *answers]
        return self._decision(
            approved=all(said.approved for said in each),
            reasons=tuple(dict.fromkeys(reason for said in each for reason in said.reasons)),
            policy=policy.id,
        )

    def _decision(self, *, approved: bool, reasons: tuple[str, ...], policy: str = "") -> Decision:
        return Decision(approved=approved, reasons=reasons, rules_version=self.rules.version, policy=policy)


def _applies(condition: Condition, campaign: Campaign) -> bool | None:
    values = {name: convert(getattr(campaign, name), POLICY_VARIABLES[name]) for name in condition.names}
    if any(isinstance(value, Unusable) for value in values.values()):
        return None
    return condition.judge(values)


def _answer(check: OutsideCheck, answers: Mapping[str, Verdict]) -> Verdict:
    answer = answers.get(check.id)
    if answer is None:
        return Verdict(approved=False, reasons=(f"NOT_ASKED:{check.id}",))
    if not answer.approved and not answer.reasons:
        return Verdict(approved=False, reasons=(check.reason,))
    return answer
