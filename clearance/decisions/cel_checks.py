"""What do the expressions of a policy say of these customers?

In: customers and their campaign. Out: one verdict a customer, of all `cel` checks of the policy together. Nothing
raises. A record is looked at before it is judged: an expression that refers to a value which is missing or malformed is
not evaluated at all, because `true || missing` would be true.

Customers who lack the same values are judged together, `columns.ROWS` at a time. What comes out is what each check says
of each customer alone: where one evaluation of many fails, it is halved until the one who made it fail stands alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from clearance.decisions.columns import ROWS, Columns
from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.expressions import CHECK_VARIABLES, ExpressionError, Kind, compile_condition
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


class _Alike:
    """Customers who lack the same values: some checks have their verdict by that, the others are evaluated."""

    def __init__(self, checks: Sequence[CompiledCheck], gaps: Gaps, kind_by_name: Mapping[str, Kind]) -> None:
        self._checks = checks
        self._kind_by_name = kind_by_name
        self._of_gaps = [check.of_gaps(gaps) for check in checks]
        self._evaluated = [
            check for check, verdict in zip(checks, self._of_gaps, strict=True) if verdict is None
        ]
        self._columns: Columns | None = None
        self._rows_until_compiled = _COMPILE_AFTER_ROWS
        self._verdict_by_answers: dict[tuple[object, ...], Verdict] = {}

    def compile(self) -> None:
        """Be ready for many. Where that is not possible, each is asked alone."""
        self._rows_until_compiled = -1
        try:
            self._columns = Columns([check.condition for check in self._evaluated], self._kind_by_name)
        except ExpressionError:
            self._columns = None

    def verdicts(self, columns: ColumnByName, count: int) -> list[Verdict]:
        """One for each row of the columns, in their order."""
        if self._rows_until_compiled >= 0:
            self._rows_until_compiled -= count
            if self._rows_until_compiled < 0:
                self.compile()
        found: list[Verdict] = []
        for start in range(0, count, ROWS):
            found += map(self._verdict, self._answers(columns, start, min(start + ROWS, count)))
        return found

    def _answers(self, columns: ColumnByName, start: int, stop: int) -> Iterable[tuple[object, ...]]:
        if self._columns is None:
            return [self._alone(columns, row) for row in range(start, stop)]
        found = self._columns.judge(columns, start, stop)
        if found is not None:
            return map(tuple, found)
        if stop - start == 1:
            return [self._alone(columns, start)]
        middle = (start + stop) // 2
        return [*self._half(columns, start, middle), *self._half(columns, middle, stop)]

    def _half(self, columns: ColumnByName, start: int, stop: int) -> Iterable[tuple[object, ...]]:
        # One of the two failed: check by check is next, where the other is cheap and this one is due.
        return self._answers(columns, start, stop) if stop - start > 1 else [self._alone(columns, start)]

    def _alone(self, columns: ColumnByName, row: int) -> tuple[object, ...]:
        return tuple(check.judge(columns, row) for check in self._evaluated)

    def _verdict(self, answers: tuple[object, ...]) -> Verdict:
        found = self._verdict_by_answers.get(answers)
        if found is None:
            found = self._together(answers)
            if len(self._verdict_by_answers) < _VERDICTS_MAX:
                self._verdict_by_answers[answers] = found
        return found

    def _together(self, answers: Iterable[object]) -> Verdict:
        left = iter(answers)
        each = [
            check.of_answer(next(left)) if verdict is None else verdict
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
