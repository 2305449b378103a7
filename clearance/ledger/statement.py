"""How a statement that runs at every notification is run: compiled once, then straight by the database's driver.

SQLAlchemy works out at each execution what to send, how values are brought over and what comes back: nearly half of
the processor time that a notification took in its ledger on SQLite, a third on PostgreSQL. Here that is worked out
once for each database; the text, the types and the errors are still SQLAlchemy's. Several go to PostgreSQL together,
which is not waited for in between. For whatever does not run a hundred times a second `connection.execute` is the way.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Executable
from sqlalchemy import exc as sql
from sqlalchemy.dialects import sqlite

Values = Mapping[str, object]
_Convert = Callable[[Any], Any]
_NAMED = sqlite.dialect(paramstyle="named")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a statement, all its runs together.

    Attributes:
        written: How many rows of its table it wrote; of one that returns them, they are the number.
        rows: What it returned, as named tuples in the order of its runs.
    """

    written: int
    rows: Sequence[Any]


class Statement:
    """One statement, written in SQLAlchemy Core with named parameters.

    Args:
        core: Without expanding parameters: several ids are as many runs, which PostgreSQL is sent together.
        returns: The columns that it returns, in their order.
        sets: The columns that an insert is given values for, where it does not say so itself.
    """

    def __init__(
        self, core: Executable, *, returns: Sequence[ColumnElement[Any]] = (), sets: Sequence[str] = ()
    ) -> None:
        self._core = core
        self._returns = returns
        self._sets = sets
        self._row: Any = namedtuple("Row", [str(column.key) for column in returns])  # type: ignore[misc]
        self._by_dialect: dict[str, _Compiled] = {}

    def write(self, connection: Connection, runs: Sequence[Values]) -> int:
        """How many rows it wrote, run by itself: as `run_together`."""
        return run_together(connection, (self, runs))[0].written

    def rows(self, connection: Connection, runs: Sequence[Values]) -> Sequence[Any]:
        """What it returned, run by itself: as `run_together`."""
        return run_together(connection, (self, runs))[0].rows

    def call(self, dialect: Dialect, runs: Sequence[Values]) -> "_Call":
        """All its runs as one database's driver takes them."""
        compiled = self._by_dialect.get(dialect.name)
        if compiled is None:
            compiled = _compile(self._core, self._returns, self._sets, dialect)
            self._by_dialect[dialect.name] = compiled
        return _Call(compiled, [compiled.bound(run) for run in runs], self._row)


Asked = tuple[Statement, Sequence[Values]]
"""A statement and the values of its runs; of none it is not run."""


def run_together(connection: Connection, *asked: Asked) -> list[Result]:
    """Run each statement once for each of its runs, all in this order.

    PostgreSQL is sent them together: what one wrote the next one finds, but nobody looks in between.

    Raises:
        sqlalchemy.exc.DBAPIError: As `connection.execute` does.
    """
    calls = [statement.call(connection.dialect, runs) for statement, runs in asked]
    driver: Any = connection.connection.driver_connection
    error_class = connection.dialect.loaded_dbapi.Error
    try:
        return (
            _on_sqlite(driver, calls)
            if connection.dialect.name == "sqlite"
            else _on_postgresql(driver, calls)
        )
    except error_class as error:
        # As SQLAlchemy puts it: its classes are what the ledger's callers know. Never with the values.
        text = "\n".join(call.compiled.text for call in calls)
        raise sql.DBAPIError.instance(
            text, None, error, error_class, hide_parameters=True, dialect=connection.dialect
        ) from None


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What one database's driver is given.

    Attributes:
        constants: The values that the statement itself says, by parameter.
        binds: How a parameter's value becomes the driver's; None where it already is.
        reads: The same for each column that comes back.
    """

    text: str
    constants: dict[str, Any]
    binds: dict[str, _Convert | None]
    reads: tuple[_Convert | None, ...]

    def bound(self, values: Values) -> dict[str, Any]:
        """Every parameter's value as the driver takes it."""
        bound = self.constants.copy()
        for name, value in values.items():
            convert = self.binds[name]
            bound[name] = value if convert is None else convert(value)
        return bound

    def read(self, row: Sequence[Any]) -> list[Any]:
        """A row as the driver gave it, in our types."""
        return [
            value if convert is None else convert(value)
            for value, convert in zip(row, self.reads, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Call:
    """A statement with the values of its runs; `row` makes a named tuple of what comes back."""

    compiled: _Compiled
    values: Sequence[dict[str, Any]]
    row: Callable[..., Any]

    def result(self, written: int, found: Sequence[Sequence[Any]]) -> Result:
        """What the driver gave, as the caller gets it."""
        return Result(written, [self.row(*self.compiled.read(row)) for row in found])


def _on_sqlite(driver: Any, calls: Sequence[_Call]) -> list[Result]:
    results = []
    for call in calls:
        cursor, found = driver.cursor(), []
        if call.compiled.reads:
            # Its driver takes several values only where nothing comes back, and for it a run costs nothing to begin.
            for each in call.values:
                found += cursor.execute(call.compiled.text, each).fetchall()
        else:
            cursor.executemany(call.compiled.text, call.values)
        results.append(call.result(cursor.rowcount, found))
        cursor.close()
    return results


def _on_postgresql(driver: Any, calls: Sequence[_Call]) -> list[Result]:
    if not any(call.values for call in calls):
        return [Result(0, ()) for _ in calls]
    with driver.pipeline():
        cursors = [_sent(driver.cursor(), call) for call in calls]
    return [call.result(*_came_back(cursor, call)) for call, cursor in zip(calls, cursors, strict=True)]


def _sent(cursor: Any, call: _Call) -> Any:
    if len(call.values) == 1:
        cursor.execute(call.compiled.text, call.values[0])
    elif call.values:
        cursor.executemany(call.compiled.text, call.values, returning=bool(call.compiled.reads))
    return cursor


def _came_back(cursor: Any, call: _Call) -> tuple[int, list[Any]]:
    if not call.values:
        return 0, []
    found = []
    if call.compiled.reads:
        found += cursor.fetchall()
        while len(call.values) > 1 and cursor.nextset():
            found += cursor.fetchall()
    written: int = cursor.rowcount
    cursor.close()
    return written, found


def _compile(
    core: Executable, returns: Sequence[ColumnElement[Any]], sets: Sequence[str], dialect: Dialect
) -> _Compiled:
    # SQLite's driver takes names as well, and then needs no order.
    compiled: Any = core.compile(  # type: ignore[attr-defined]
        dialect=_NAMED if dialect.name == "sqlite" else dialect, column_keys=list(sets) or None
    )
    binds = {
        name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()
    }
    constants = {
        name: convert(bind.value) if (convert := binds[name]) else bind.value
        for name, bind in compiled.binds.items()
        if not bind.required
    }
    reads = tuple(column.type.dialect_impl(dialect).result_processor(dialect, None) for column in returns)
    return _Compiled(text=compiled.string, constants=constants, binds=binds, reads=reads)
