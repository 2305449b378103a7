"""What do several conditions say of many records, asked all at once?

In: conditions, and the records' values as columns. Out: for each record what each condition says, or nothing at all
when one of them cannot be evaluated for one of the records. Nothing raises once it is compiled. One evaluation of ten
conditions over 32 records costs a tenth of 320 evaluations.

The text of a condition stays as it was written: its names are bound to one row of the columns, and what a name means
inside it is left to the language. Knows the CEL engine, as `expressions` does and nothing else may.

Source: CEL bindings extension, `cel.bind(name, value, expression)`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings

from clearance.decisions.expressions import TYPE_BY_KIND, Condition, ExpressionError, Kind

# More at once is slower again: the engine appends to a list by copying it.
ROWS = 32


class Columns:
    """Conditions compiled together."""

    def __init__(self, conditions: Sequence[Condition], kind_by_name: Mapping[str, Kind]) -> None:
        """Compile them.

        Raises:
            ExpressionError: Together they are too deep or too large for the engine; ask each alone.
        """
        names = sorted({name for condition in conditions for name in condition.names})
        # Longer than every declared name, so that it is none of them, not even where no condition is seen to use it.
        self._row = "r" * (1 + max(map(len, kind_by_name), default=0))
        self._rows = f"{self._row}s"
        self._column_by_name = {name: f"{self._row}{position}" for position, name in enumerate(names)}
        env = cel.NewEnv(
            variables={
                self._rows: cel.Type.List(cel.Type.INT),
                **{
                    column: cel.Type.List(TYPE_BY_KIND[kind_by_name[name]])
                    for name, column in self._column_by_name.items()
                },
            },
            extensions=[ext_bindings.ExtBindings()],
        )
        together = ", ".join(map(self._of_one_row, conditions))
        try:
            self._program = env.compile(f"{self._rows}.map({self._row}, [{together}])")
        except Exception as error:  # noqa: BLE001 - the engine raises RuntimeError with all in its text
            raise ExpressionError(str(error)) from None

    def judge(
        self, column_by_name: Mapping[str, Sequence[object]], start: int, stop: int
    ) -> Sequence[Sequence[object]] | None:
        """What each condition says of each row from `start` to before `stop`; None when that cannot be said."""
        data: dict[str, Any] = {
            column: column_by_name[name][start:stop] for name, column in self._column_by_name.items()
        }
        data[self._rows] = list(range(stop - start))
        try:
            found = self._program.eval(data=data).plain_value()
        except Exception:  # noqa: BLE001 - the engine raises whatever its C++ raises
            return None
        return found if isinstance(found, list) and len(found) == stop - start else None

    def _of_one_row(self, condition: Condition) -> str:
        # The line break ends a comment that the text may end with.
        text = f"({condition.text}\n)"
        for name in sorted(condition.names):
            text = f"cel.bind({name}, {self._column_by_name[name]}[{self._row}], {text})"
        return text
