"""What do the expressions of a policy say of these customers?

In: customers and their campaign. Out: one verdict a customer, of all `cel` checks of the policy together. Nothing
raises. A record is looked at before it is judged: an expression that refers to a value which is missing or malformed is
not evaluated at all, because `true || missing` would be true.

Customers who lack the same values are judged together, `columns.ROWS` at a time. What comes out is what each check says
of each customer alone: where one evaluation of many fails, it is halved until the one who made it fail stands alone.
Checks over one value that comes again and again are not evaluated again, but remembered (`memory`).
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from clearance.decisions.columns import ROWS, Columns
from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.expressions import CHECK_VARIABLES, ExpressionError, Kind, compile_condition
from clearance.decisions.memory import Memory, memory_of
from clearance.decisions.rules import CelCheck, Otherwise
from clearance.decisions.values import Unusable, convert, convert_all

ColumnByName = Mapping[str, Sequence[object]]
Gaps = tuple[tuple[str, Unusable], ...]

_OF_CAMPAIGN = ("is_control", "trigger_name")
# Combinations of missing values, and of answers, that are remembered: more than a healthy feed has. A compiled
# combination takes some 200 kB.
_COMBINATIONS_MAX = 256
_VERDICTS_MAX = 1024
# Compiling pays once so many customers have lacked the same values.
_COMPILE_AFTER_ROWS = 64


class CompiledCheck:
    """A `cel` check, ready to be asked.

    Attributes:
        names: What its expression refers to, in the order of declaration.
        refused, failed: What it says when the expression is false, and when it cannot be evaluated.
    """

    def __init__(self, check: CelCheck, kind_by_name: Mapping[str, Kind]) -> None:
        self.condition = compile_condition(check.expression, kind_by_name)
        self.names = tuple(name for name in kind_by_name if name in self.condition.names)
        self.refused = Verdict(approved=False, reasons=(check.reason,))
        self.failed = Verdict(approved=False, reasons=(f"ERROR:{check.id}",))
        self.memory = memory_of(self.condition, kind_by_name)
        self._may_be_missing = check.when_missing is Otherwise.APPROVE

    def judge(self, columns: ColumnByName, row: int) -> bool | None:
        """What its expression says of one customer who lacks nothing it refers to; None when it fails."""
        return self.condition.judge({name: columns[name][row] for name in self.names})

    def of_gaps(self, gaps: Gaps) -> Verdict | None:
        """What it says of a customer with these gaps; None when none of them matters to it."""
        mine = [(name, gap) for name, gap in gaps if name in self.names]
        if not mine:
            return None
        return Verdict(
            approved=self._may_be_missing and all(gap is Unusable.MISSING for _, gap in mine),
            reasons=tuple(f"{gap}:{name}" for name, gap in mine),
        )

    def of_answer(self, answer: object) -> Verdict:
        """What it says when its expression gave this answer."""
        if answer is True:
            return APPROVED
        return self.refused if answer is False else self.failed


class CelChecks:
    """The `cel` checks of one policy, in its order."""

    def __init__(self, checks: Sequence[CompiledCheck], kind_by_name: Mapping[str, Kind]) -> None:
        self._checks = checks
        self._kind_by_name = kind_by_name
        used = [name for name in kind_by_name if any(name in check.names for check in checks)]
        self._attributes = [(name, kind_by_name[name]) for name in used if name not in CHECK_VARIABLES]
        self._variables = [(name, kind_by_name[name]) for name in used if name in CHECK_VARIABLES]
        self._complete = _Alike(checks, (), kind_by_name)
        self._complete.compile()
        self._incomplete_by_gaps: dict[Gaps, _Alike] = {}

    def verdicts(self, campaign: Campaign, customers: Sequence[Customer]) -> list[Verdict]:
        """One a customer, in their order; a reason that several checks give is told by each."""
        if len(customers) == 1:
            return self._verdict(campaign, customers[0])
        columns = self._columns(campaign, customers)
        gaps_by_row: dict[int, Gaps] = {}
        for name, column in columns.items():
            for row in [row for row, value in enumerate(column) if type(value) is Unusable]:
                gaps_by_row[row] = (*gaps_by_row.get(row, ()), (name, cast("Unusable", column[row])))
        if not gaps_by_row:
            return self._complete.verdicts(columns, len(customers))
        rows_by_gaps: dict[Gaps, list[int]] = {
            (): [row for row in range(len(customers)) if row not in gaps_by_row]
        }
        for row, gaps in gaps_by_row.items():
            rows_by_gaps.setdefault(gaps, []).append(row)
        verdict_by_row: dict[int, Verdict] = {}
        for gaps, rows in rows_by_gaps.items():
            theirs = {name: [column[row] for row in rows] for name, column in columns.items()}
            verdict_by_row.update(zip(rows, self._alike(gaps).verdicts(theirs, len(rows)), strict=True))
        return [verdict_by_row[row] for row in range(len(customers))]

    def _verdict(self, campaign: Campaign, customer: Customer) -> list[Verdict]:
        # One customer at a time is what the triggered lane decides: no columns to sort.
        values = {name: convert(customer.attributes.get(name), kind) for name, kind in self._attributes}
        for name, kind in self._variables:
            values[name] = convert(_variable(name, campaign, [customer])[0], kind)
        gaps = tuple((name, value) for name, value in values.items() if isinstance(value, Unusable))
        return self._alike(gaps).verdicts({name: [value] for name, value in values.items()}, 1)

    def _columns(self, campaign: Campaign, customers: Sequence[Customer]) -> ColumnByName:
        records = [customer.attributes for customer in customers]
        columns = {
            name: convert_all([record.get(name) for record in records], kind)
            for name, kind in self._attributes
        }
        for name, kind in self._variables:
            columns[name] = convert_all(_variable(name, campaign, customers), kind)
        return columns

    def _alike(self, gaps: Gaps) -> "_Alike":
        if not gaps:
            return self._complete
        found = self._incomplete_by_gaps.get(gaps)
        if found is None:
            if len(self._incomplete_by_gaps) >= _COMBINATIONS_MAX:
                self._incomplete_by_gaps.clear()
            found = self._incomplete_by_gaps[gaps] = _Alike(self._checks, gaps, self._kind_by_name)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Which checks are asked, together where `columns` is there, and which are remembered.

    Verdicts are kept by the answers: those of the checks asked, and one of each that is remembered.
    """

    asked: Sequence[CompiledCheck]
    remembered: Sequence[CompiledCheck]
    columns: Columns | None
    verdict_by_answers: dict[tuple[Any, ...], Verdict] = field(default_factory=dict)

    @property
    def memories(self) -> list[tuple[str, Memory]]:
        """Each with the name of its column."""
        return [(check.names[0], check.memory) for check in self.remembered if check.memory]


class _Alike:
    """Customers who lack the same values: some checks have their verdict by that, the others are evaluated."""

    def __init__(self, checks: Sequence[CompiledCheck], gaps: Gaps, kind_by_name: Mapping[str, Kind]) -> None:
        self._checks = checks
        self._kind_by_name = kind_by_name
        self._of_gaps = [check.of_gaps(gaps) for check in checks]
        self._evaluated = [
            check for check, verdict in zip(checks, self._of_gaps, strict=True) if verdict is None
        ]
        self._rows_until_compiled = _COMPILE_AFTER_ROWS
        self._plan = self._planned()

    def compile(self) -> None:
        """Be ready for many. Where that is not possible, each is asked alone."""
        self._rows_until_compiled = -1
        self._plan = self._planned()

    def verdicts(self, columns: ColumnByName, count: int) -> list[Verdict]:
        """One for each row of the columns, in their order."""
        if self._rows_until_compiled >= 0:
            self._rows_until_compiled -= count
            if self._rows_until_compiled < 0:
                self.compile()
        plan = self._plan
        remembered = [memory.answers(columns[name]) for name, memory in plan.memories]
        if any(answers is None for answers in remembered):
            self._plan = self._planned()
            return self.verdicts(columns, count)
        asked: list[tuple[object, ...]] = []
        for start in range(0, count, ROWS):
            asked += self._answers(plan, columns, start, min(start + ROWS, count))
        each = zip(asked, *(answers for answers in remembered if answers is not None), strict=True)
        return [self._verdict(plan, answers) for answers in each]

    def _planned(self) -> "_Plan":
        """As things are: a memory that has become full is none any more."""
        remembered = [check for check in self._evaluated if check.memory and not check.memory.is_full]
        asked = [check for check in self._evaluated if check not in remembered]
        columns = None
        if self._rows_until_compiled < 0:
            with suppress(ExpressionError):
                columns = Columns([check.condition for check in asked], self._kind_by_name)
        return _Plan(asked=asked, remembered=remembered, columns=columns)

    def _answers(
        self, plan: "_Plan", columns: ColumnByName, start: int, stop: int
    ) -> Iterable[tuple[object, ...]]:
        if not plan.asked:
            return [()] * (stop - start)
        if plan.columns is None:
            return [_alone(plan, columns, row) for row in range(start, stop)]
        found = plan.columns.judge(columns, start, stop)
        if found is not None:
            return map(tuple, found)
        if stop - start == 1:
            return [_alone(plan, columns, start)]
        middle = (start + stop) // 2
        return [*self._half(plan, columns, start, middle), *self._half(plan, columns, middle, stop)]

    def _half(
        self, plan: "_Plan", columns: ColumnByName, start: int, stop: int
    ) -> Iterable[tuple[object, ...]]:
        # One of the two failed: check by check is next, where the other is cheap and this one is due.
        return (
            self._answers(plan, columns, start, stop) if stop - start > 1 else [_alone(plan, columns, start)]
        )

    def _verdict(self, plan: "_Plan", answers: tuple[Any, ...]) -> Verdict:
        known = plan.verdict_by_answers
        found = known.get(answers)
        if found is None:
            found = self._together(plan, answers)
            if len(known) < _VERDICTS_MAX:
                known[answers] = found
        return found

    def _together(self, plan: "_Plan", answers: tuple[Any, ...]) -> Verdict:
        asked, *remembered = answers
        answer_by_check = dict(zip(plan.asked, asked, strict=True))
        answer_by_check.update(zip(plan.remembered, remembered, strict=True))
        each = [
            check.of_answer(answer_by_check[check]) if verdict is None else verdict
            for check, verdict in zip(self._checks, self._of_gaps, strict=True)
        ]
        return Verdict(
            approved=all(verdict.approved for verdict in each),
            reasons=tuple(reason for verdict in each for reason in verdict.reasons),
        )


def _variable(name: str, campaign: Campaign, customers: Sequence[Customer]) -> Sequence[object]:
    if name in _OF_CAMPAIGN:
        return [getattr(campaign, name)] * len(customers)
    return [getattr(customer, name) for customer in customers]


def _alone(plan: _Plan, columns: ColumnByName, row: int) -> tuple[object, ...]:
    return tuple(check.judge(columns, row) for check in plan.asked)
