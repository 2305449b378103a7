"""What do the expressions of a policy say of these customers?

In: customers and their campaign. Out: one verdict a customer, of all `cel` checks of the policy together. Nothing
raises. A record is looked at before it is judged: an expression that refers to a value which is missing or malformed is
not evaluated at all, because `true || missing` would be true.
"""

from collections.abc import Iterator, Mapping, Sequence

from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.expressions import CHECK_VARIABLES, Condition, Kind, compile_condition
from clearance.decisions.rules import CelCheck, Otherwise
from clearance.decisions.values import Unusable, convert

Record = Mapping[str, object]


class CompiledCheck:
    """A `cel` check, ready to be asked.

    Attributes:
        names: What its expression refers to, in the order of declaration.
    """

    def __init__(self, check: CelCheck, kind_by_name: Mapping[str, Kind]) -> None:
        self.check = check
        self.condition: Condition = compile_condition(check.expression, kind_by_name)
        self.names = tuple(name for name in kind_by_name if name in self.condition.names)
        self._refused = Verdict(approved=False, reasons=(check.reason,))
        self._failed = Verdict(approved=False, reasons=(f"ERROR:{check.id}",))

    def judge(self, record: Record) -> Verdict:
        """What it says of one record, whose values are converted or `Unusable`."""
        gaps = [(name, record[name]) for name in self.names if isinstance(record[name], Unusable)]
        if gaps:
            return self._of_gaps(gaps)
        found = self.condition.judge({name: record[name] for name in self.names})
        if found is None:
            return self._failed
        return APPROVED if found else self._refused

    def _of_gaps(self, gaps: Sequence[tuple[str, object]]) -> Verdict:
        may_pass = self.check.when_missing is Otherwise.APPROVE
        return Verdict(
            approved=may_pass and all(gap is Unusable.MISSING for _, gap in gaps),
            reasons=tuple(f"{gap}:{name}" for name, gap in gaps),
        )


class CelChecks:
    """The `cel` checks of one policy, in its order."""

    def __init__(self, checks: Sequence[CompiledCheck], kind_by_name: Mapping[str, Kind]) -> None:
        self._checks = checks
        used = {name for check in checks for name in check.names}
        self._kind_by_name = {name: kind for name, kind in kind_by_name.items() if name in used}

    def verdicts(self, campaign: Campaign, customers: Sequence[Customer]) -> list[Verdict]:
        """One a customer, in their order."""
        return [together(self._each(campaign, customer)) for customer in customers]

    def _each(self, campaign: Campaign, customer: Customer) -> Iterator[Verdict]:
        record = {
            name: convert(_raw(name, campaign, customer), kind) for name, kind in self._kind_by_name.items()
        }
        return (check.judge(record) for check in self._checks)


def together(verdicts: Iterator[Verdict]) -> Verdict:
    """Approved if all are; every reason once, in their order."""
    each = list(verdicts)
    reasons = tuple(dict.fromkeys(reason for verdict in each for reason in verdict.reasons))
    return Verdict(approved=all(verdict.approved for verdict in each), reasons=reasons)


def _raw(name: str, campaign: Campaign, customer: Customer) -> object:
    if name not in CHECK_VARIABLES:
        return customer.attributes.get(name)
    return getattr(campaign if name in ("is_control", "trigger_name") else customer, name)
